#![allow(clippy::unwrap_used)]
use crate::propose::playbook::container::stage::{Stage, deployment, docs, rollout, waiting};

fn env(kind: &str, name: &str, key: &str) -> String {
    format!(
        "image: registry.test/web:1\nenv: [{{name: TOKEN, valueFrom: {{{kind}: {{name: {name}, key: {key}}}}}}}]"
    )
}

fn stage(container: &str, message: &str, existing: &str) -> Stage {
    let base = rollout(
        container,
        container,
        &waiting("CreateContainerConfigError", message),
    );
    Stage::new(
        &docs(&[base.dump, existing.to_owned()]),
        &deployment(container),
    )
}

fn config_map(name: &str, key: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{{key}: x}}\n"
    )
}

fn secret(name: &str, keys: &[&str]) -> String {
    let data: Vec<String> = keys.iter().map(|k| format!("{k}: eA==")).collect();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{{}}}\n",
        data.join(", ")
    )
}

const REF: &str = "spec.template.spec.containers[name=app].env[name=TOKEN].valueFrom";

#[test]
fn a_misspelled_config_map_is_found() {
    let c = env("configMapKeyRef", "setings", "url");
    let message = "configmap \"setings\" not found";
    assert_eq!(
        stage(&c, message, &config_map("settings", "url")).fix(),
        [format!("{REF}.configMapKeyRef.name = \"settings\"")]
    );
    // the same name without the needed key, and a name that is not near
    for other in [
        config_map("settings", "host"),
        config_map("defaults", "url"),
    ] {
        let words = stage(&c, message, &other).words();
        assert!(
            words.starts_with("ask MissingValue") && words.contains("setings"),
            "{words}"
        );
    }
}

/// An earlier revision that worked names it, with what kustomize added.
#[test]
fn a_slip_of_a_name_that_kustomize_completes_is_found_in_an_earlier_revision() {
    let from = |name: &str| {
        format!("image: registry.test/web:1\nenvFrom: [{{configMapRef: {{name: {name}}}}}]")
    };
    let stage = |wrong: &str, earlier: &str, existing: &str| {
        let message = format!("configmap \"{wrong}\" not found");
        let state = waiting("CreateContainerConfigError", &message);
        let base = rollout(&from(earlier), &from(wrong), &state);
        Stage::new(
            &docs(&[base.dump, config_map(existing, "url")]),
            &deployment(&from(wrong)),
        )
    };
    let at = "spec.template.spec.containers[name=app].envFrom[0].configMapRef.name";
    assert_eq!(
        stage("web-cofnig", "prod-web-config", "prod-web-config").fix(),
        [format!("{at} = \"prod-web-config\"")]
    );
    for (wrong, earlier, existing) in [
        // it is not there any more
        ("web-cofnig", "prod-web-config", "prod-web-settings"),
        // it is there, and never was named
        ("web-cofnig", "prod-web-defaults", "prod-web-config"),
        // another name altogether: it may be meant, and its ConfigMap forgotten
        ("flags", "prod-web-config", "prod-web-config"),
    ] {
        let words = stage(wrong, earlier, existing).words();
        assert!(words.starts_with("ask MissingValue"), "{words}");
    }
}

/// The content of a generated ConfigMap changed since: its old name is there until it is pruned.
#[test]
fn a_name_that_was_generated_for_an_earlier_content_is_not_used() {
    let from = |name: &str| {
        format!("image: registry.test/web:1\nenvFrom: [{{configMapRef: {{name: {name}}}}}]")
    };
    let (old, new) = ("web-config-2m8c5g6b7d", "web-config-9k4h7t2m5f");
    let stage = |earlier: &str, desired: &str| {
        let message = "configmap \"web-cofnig\" not found";
        let state = waiting("CreateContainerConfigError", message);
        let base = rollout(&from(earlier), &from("web-cofnig"), &state);
        let dump = docs(&[base.dump, config_map(earlier, "url")]);
        let git = docs(&[deployment(&from("web-cofnig")), config_map(desired, "url")]);
        Stage::new(&dump, &git)
    };
    let at = "spec.template.spec.containers[name=app].envFrom[0].configMapRef.name";
    assert_eq!(stage(new, new).fix(), [format!("{at} = \"{new}\"")]);
    let words = stage(old, new).words();
    assert!(words.starts_with("ask MissingValue"), "{words}");
}

#[test]
fn a_misspelled_key_is_found() {
    let c = env("configMapKeyRef", "settings", "adress");
    let message = "couldn't find key adress in ConfigMap shop/settings";
    assert_eq!(
        stage(&c, message, &config_map("settings", "address")).fix(),
        [format!("{REF}.configMapKeyRef.key = \"address\"")]
    );
    assert!(
        stage(&c, message, &config_map("settings", "port"))
            .words()
            .starts_with("ask")
    );
}

#[test]
fn a_missing_secret_is_asked_for_and_never_replaced() {
    let c = env("secretKeyRef", "api-token", "token");
    let words = stage(
        &c,
        "secret \"api-token\" not found",
        &secret("other-token", &["token"]),
    )
    .words();
    assert!(words.starts_with("ask MissingSecretInput"), "{words}");
    for part in [
        "api-token",
        "key token",
        "namespace shop",
        "environment variable TOKEN",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!words.contains("other-token"), "{words}");
}

#[test]
fn the_only_key_of_a_secret_is_taken_where_the_names_agree() {
    let c = env("secretKeyRef", "db", "APP_PASSWORD");
    let message = "couldn't find key APP_PASSWORD in Secret shop/db";
    assert_eq!(
        stage(&c, message, &secret("db", &["password"])).fix(),
        [format!("{REF}.secretKeyRef.key = \"password\"")]
    );
    for keys in [&["username"][..], &["password", "user"][..]] {
        let words = stage(&c, message, &secret("db", keys)).words();
        assert!(words.starts_with("ask MissingSecretInput"), "{words}");
    }
}

#[test]
fn a_config_map_that_git_has_and_the_cluster_has_not_waits_for_the_sync() {
    let c = env("configMapKeyRef", "settings", "url");
    let base = rollout(
        &c,
        &c,
        &waiting(
            "CreateContainerConfigError",
            "configmap \"settings\" not found",
        ),
    );
    let git = docs(&[deployment(&c), config_map("settings", "url")]);
    let words = Stage::new(&base.dump, &git).words();
    assert!(words.starts_with("refuse PendingSync"), "{words}");
}
