#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use super::rules::Draft;
use super::*;
use crate::finding::{Class, Severity};
use crate::object::ObjectRef;

fn files(all: &[(&str, &str)]) -> Files {
    let pairs = all
        .iter()
        .map(|(n, t)| ((*n).to_owned(), t.as_bytes().to_vec()));
    Files {
        by_path: pairs.collect::<BTreeMap<_, _>>(),
    }
}

fn layers(operator: &str, repository: &str) -> Loaded {
    let files = files(&[(".github/kubemend.yaml", repository)]);
    Loaded::of(Some(("op.yaml", operator)), &files, &Overrides::default()).unwrap()
}

fn problems(text: &str) -> String {
    Config::parse("k.yaml", text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_default() {
    for text in ["", "# nothing\n", "---\n", "model:\npull_requests:\n", "{}"] {
        assert_eq!(
            Config::parse("k.yaml", text).unwrap(),
            Config::default(),
            "{text:?}"
        );
    }
}

/// Scorecard row 60.
#[test]
fn every_problem_has_its_place_and_what_was_meant() {
    let text = "\
# settings
version: one
raise_memroy: false
max_open_prs: 3
pull_requests:
  maxOpenPrs: 4
  draft: alway
  min_failure_age: 10 minutes
  labels: [\"ok\", \"a,b\"]
  quiet_hours:
    - {from: \"25:00\", to: \"06:00\", days: [monday]}
  max_prs_per_hour: -1
  dashboard: \"yes\"
  ignore: everything
colour: red
";
    insta::assert_snapshot!(problems(text));
    insta::assert_snapshot!(problems(
        "pull_requests:\n  branch_prefix: kubemend\n  labels: [ok, 'a,b']\n  base_branch: ../x\n  ignore:\n    - {reason: all}\nrules:\n  - {ignore: true}\n  - match: {kinds: [Job]}\n"
    ));
    insta::assert_snapshot!(problems("version: 2\ncolour: red\n"));
    insta::assert_snapshot!(problems("- a\n"));
    insta::assert_snapshot!(problems("a: 1\na: 2\n"));
    insta::assert_snapshot!(problems("a: [\n"));
    insta::assert_snapshot!(problems("a: 1\n---\nb: 2\n"));
}

#[test]
fn a_repository_cannot_choose_model_renderer_or_caps() {
    for text in [
        "renderer: ./evil\n",
        "model: {name: m, base_url: http://evil}\n",
        "caps: {max_open_prs: 99}\n",
    ] {
        let error = Config::load(None, &files(&[(".kubemend.yaml", text)])).unwrap_err();
        assert!(
            error.to_string().starts_with(".kubemend.yaml:1:1: "),
            "{error}"
        );
        assert!(error.to_string().contains("--config"), "{error}");
    }
}

#[test]
fn a_repository_may_tighten_and_never_loosen() {
    let operator = "\
protected_namespaces: [core]
raise_memory: false
pull_requests: {paused_namespaces: [old], max_open_prs: 4, ignore: [{namespace: infra}]}
caps:
  max_open_prs: 5
  max_open_per_namespace: 1
  max_prs_per_hour: 9
  hard_cap: 6
  min_failure_age: 5m
  cooldown_after_close: 7d
  raise_memory: false
  shared_base: overlay
  draft: auto
  dashboard: true
  readers_may_ask: false
  allowed_bots: [1]
";
    let loose = "\
protected_namespaces: [mine]
raise_memory: true
shared_base: base
pull_requests:
  paused_namespaces: [new]
  ignore: [{kind: Job}]
  max_open_prs: 50
  max_open_per_namespace: 50
  max_prs_per_hour: 50
  hard_cap: 50
  min_failure_age: 0s
  cooldown_after_close: 1h
  draft: never
  dashboard: false
  readers_may_ask: true
  allowed_bots: [1, 2]
";
    let Loaded { config, notes, .. } = layers(operator, loose);
    let rules = &config.pull_requests;
    assert_eq!(config.protected_namespaces, ["core", "mine"]);
    assert_eq!(
        (config.raise_memory, config.shared_base),
        (false, SharedBase::Overlay)
    );
    assert_eq!(rules.paused_namespaces, ["old", "new"]);
    assert_eq!(rules.ignore.len(), 2);
    let numbers = [
        rules.max_open_prs,
        rules.max_open_per_namespace,
        rules.max_prs_per_hour,
        rules.hard_cap,
    ];
    assert_eq!(numbers, [5, 1, 9, 6]);
    assert_eq!(
        (
            rules.min_failure_age.as_mins(),
            rules.cooldown_after_close.as_hours()
        ),
        (5, 168)
    );
    assert_eq!(
        (rules.draft, rules.dashboard, rules.readers_may_ask),
        (Draft::Auto, true, false)
    );
    assert_eq!(rules.allowed_bots, [1]);
    insta::assert_snapshot!(notes.join("\n"));
    let strict = layers(
        operator,
        "pull_requests: {max_open_prs: 1, draft: always, min_failure_age: 1h}\n",
    );
    assert_eq!(strict.notes, Vec::<String>::new());
    assert_eq!(strict.config.pull_requests.max_open_prs, 1);
    assert_eq!(strict.config.pull_requests.draft, Draft::Always);
}

/// Scorecard row 68 (settings).
#[test]
fn off_stays_off() {
    let off = layers(
        "pull_requests: {enabled: false}\n",
        "pull_requests: {enabled: true}\n",
    );
    assert!(!off.config.pull_requests.enabled);
    let off = layers("", "pull_requests: {enabled: false}\n");
    assert!(!off.config.pull_requests.enabled);
    assert!(layers("", "").config.pull_requests.enabled);
}

#[test]
fn a_repository_cannot_unprotect_the_defaults() {
    let loaded = Loaded::of(
        None,
        &files(&[(".kubemend.yaml", "protected_namespaces: []\n")]),
        &Overrides::default(),
    );
    assert_eq!(
        loaded.unwrap().config.protected_namespaces,
        Config::default().protected_namespaces
    );
    assert_eq!(
        layers("protected_namespaces: []\n", "")
            .config
            .protected_namespaces,
        Vec::<String>::new()
    );
}

#[test]
fn flags_count_after_files_and_before_caps() {
    let files = files(&[(
        ".github/kubemend.yaml",
        "pull_requests: {max_open_prs: 2}\n",
    )]);
    let overrides = Overrides {
        max_open_prs: Some(30),
        draft: Some(Draft::Always),
    };
    let free = Loaded::of(None, &files, &overrides)
        .unwrap()
        .config
        .pull_requests;
    assert_eq!((free.max_open_prs, free.draft), (30, Draft::Always));
    let capped = Loaded::of(
        Some(("op", "caps: {max_open_prs: 7}\n")),
        &files,
        &overrides,
    )
    .unwrap();
    assert_eq!(capped.config.pull_requests.max_open_prs, 7);
}

#[test]
fn near_misses_and_doubles_are_told() {
    let all = files(&[
        (".github/kubemend.yaml", ""),
        (".kubemend.yaml", ""),
        (".github/kubemend.yml", ""),
        ("kubemend.toml", ""),
        ("Kubemend.YAML", ""),
        (".github/workflows/kubemend.yaml", ""),
        ("apps/kubemend.yaml", ""),
        ("config.yaml", ""),
    ]);
    let loaded = Loaded::of(None, &all, &Overrides::default()).unwrap();
    insta::assert_snapshot!(loaded.notes.join("\n"));
    assert_eq!(loaded.file.as_deref(), Some(".github/kubemend.yaml"));
}

fn finding(namespace: &str, kind: &str) -> Finding {
    Finding::new(
        Class::OOMKilled,
        Severity::High,
        ObjectRef::new("apps/v1", kind, Some(namespace), "web"),
        "killed",
    )
}

#[test]
fn the_last_rule_that_says_something_counts() {
    let Loaded { config, .. } = layers(
        "rules: [{match: {namespaces: [vault]}, ignore: true, reason: by hand only}]\n",
        "\
rules:
  - match: {paths: ['legacy/*']}
    ignore: true
  - match: {paths: ['legacy/*'], kinds: [StatefulSet]}
    ignore: false
    draft: true
  - match: {namespaces: [vault]}
    ignore: false
",
    );
    let web = finding("shop", "Deployment");
    let ignored = |f: &Finding, file: &str| config.ignored(f, &[file]);
    assert!(ignored(&web, "apps/web.yaml").is_none());
    assert!(ignored(&web, "legacy/web.yaml").is_some());
    let stateful = finding("shop", "StatefulSet");
    assert!(ignored(&stateful, "legacy/web.yaml").is_none());
    assert!(
        config.is_draft(&stateful, &["legacy/web.yaml"])
            && !config.is_draft(&web, &["legacy/web.yaml"])
    );
    let vault = ignored(&finding("vault", "Deployment"), "apps/vault.yaml");
    assert_eq!(
        vault.as_deref(),
        Some("`rules` of the configuration says so: by hand only")
    );
}

#[test]
fn hostile_files_are_refused_without_harm() {
    let bomb: String = (0..40).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        text + &format!(
            "a{}: &a{} [{}]\n",
            i + 1,
            i + 1,
            vec![format!("*a{i}"); 9].join(", ")
        )
    });
    for text in [
        bomb,
        "[".repeat(100_000),
        "a: ".repeat(50_000),
        "\u{0}".to_owned(),
        "x".repeat(300 << 10),
    ] {
        let error = Loaded::of(
            None,
            &files(&[(".kubemend.yaml", &text)]),
            &Overrides::default(),
        );
        let message = error.unwrap_err().to_string();
        assert!(
            message.starts_with(".kubemend.yaml") && message.len() < 3000,
            "{message}"
        );
    }
}

/// Scorecard row 60: what the file says counts more than its preset, and the operator's bounds more
/// than both.
#[test]
fn a_preset_lies_under_the_file_that_extends_it() {
    let text = "extends: kubemend:careful\npull_requests: {max_open_prs: 4}\n";
    let careful = layers("version: 1\n", text).config;
    assert_eq!(careful.pull_requests.max_open_prs, 4, "the file's own");
    assert_eq!(careful.pull_requests.max_prs_per_hour, 1, "the preset's");
    assert_eq!(careful.pull_requests.draft, Draft::Always);
    assert_eq!(careful.pull_requests.keep_branch_days, 7, "the default");
    assert!(!careful.raise_memory);
    let operators = layers("extends: kubemend:observe\n", "").config;
    assert_eq!(operators.pull_requests.max_open_prs, 0);
    assert!(!operators.pull_requests.questions);
    let capped = layers(
        "caps: {max_open_prs: 1, dashboard: true}\n",
        "extends: kubemend:careful\n",
    );
    assert_eq!(capped.config.pull_requests.max_open_prs, 1);
    assert_eq!(capped.notes.len(), 1, "{:?}", capped.notes);
}

#[test]
fn every_preset_is_what_a_repository_could_write() {
    for preset in Preset::ALL {
        let alone = files(&[(".github/kubemend.yaml", preset.text())]);
        let written = Config::load(None, &alone).unwrap();
        let name = serde_json::to_value(preset).unwrap();
        let extends = format!("extends: {}\n", name.as_str().unwrap());
        let extended = Config::load(None, &files(&[(".kubemend.yaml", &extends)])).unwrap();
        assert_ne!(written, Config::default(), "{preset:?} changes something");
        assert_eq!(extended.extends, Some(preset));
        assert_eq!(
            Config {
                extends: None,
                ..extended
            },
            written
        );
    }
}

/// Nothing is fetched: a preset of somebody else is a fault of the file, at its place.
#[test]
fn only_presets_of_kubemend_are_known() {
    assert_eq!(
        problems("version: 1\nextends: kubemend:carefull\n"),
        "k.yaml:2:10: `extends`: \"kubemend:carefull\" is not one of kubemend:careful, kubemend:observe; did you mean `kubemend:careful`?"
    );
    assert!(problems("extends: acme/.github//base.yaml@v1\n").starts_with("k.yaml:1:10: "));
    assert!(problems("extends: [kubemend:careful]\n").starts_with("k.yaml:1:10: "));
}

/// Scorecard row 60: what the onboarding adds changes nothing.
#[test]
fn what_a_repository_starts_with_are_the_defaults() {
    assert_eq!(Config::parse("k.yaml", STARTER).unwrap(), Config::default());
    // what stands there as a comment can be switched on as it is
    let on = |line: &str| {
        line.replacen("# extends", "extends", 1)
            .replacen("# protected", "protected", 1)
            .replacen("# paused", "paused", 1)
            .replacen("# ignore", "ignore", 1)
            .replacen("# quiet", "quiet", 1)
    };
    let all: Vec<String> = STARTER.lines().map(on).collect();
    let config = Config::parse("k.yaml", &all.join("\n")).unwrap();
    assert_eq!(config.protected_namespaces, ["vault"]);
    assert_eq!(config.pull_requests.ignore.len(), 1);
    assert_eq!(config.pull_requests.quiet_hours.len(), 1);
}
