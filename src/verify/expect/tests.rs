#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;

/// Many names end in ten letters; few of them are hashes.
#[test]
fn only_generated_names_are_followed() {
    let named = |kind: &str, name: &str| {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
        Desired {
            object: Object::new(object).unwrap(),
            file: "settings.env".to_owned(),
            document: 0,
            root: None,
        }
    };
    let follows = |kind: &str, from: &str, to: &str| {
        let expected = Expected {
            object: ObjectRef::new("v1", kind, Some("shop"), from),
            ..expected("data.A", value(json!("2")))
        };
        let found = expected.as_named_in_git(&[named(kind, to), named(kind, "settings")]);
        found.object.name == to
    };
    assert!(follows(
        "ConfigMap",
        "settings-2bk9hfh5t4",
        "settings-8mmdfg7tkh"
    ));
    assert!(!follows(
        "ConfigMap",
        "settings-2bk9hfh5t4",
        "others-8mmdfg7tkh"
    ));
    assert!(!follows("ConfigMap", "web-production", "web-monitoring"));
    assert!(!follows("Deployment", "web-2bk9hfh5t4", "web-8mmdfg7tkh"));
}

fn snapshot(objects: &[Value]) -> Snapshot {
    let objects = objects.iter().cloned().filter_map(Object::new).collect();
    Snapshot::new(objects, std::collections::BTreeMap::new())
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "managedFields": [
            {"manager": "kustomize-controller", "time": "2026-01-02T12:00:00Z", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}}}},
            {"manager": "kubectl-edit", "time": "2026-01-02T12:05:00Z", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}}}},
            {"manager": "horizontal-autoscaler", "time": "2026-01-02T13:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        ]},
        "spec": {"template": {"spec": {"containers": [
            {"name": "web", "image": image, "resources": {"limits": {"memory": "1Gi", "cpu": "500m"}}},
        ]}}},
    })
}

fn expected(path: &str, to: Wished) -> Expected {
    Expected {
        object: ObjectRef::new("apps/v1", "Deployment", Some("shop"), "web"),
        file: "apps/web.yaml".to_owned(),
        path: path.parse().unwrap(),
        to,
    }
}

fn value(json: Value) -> Wished {
    Wished::Value(json.to_string())
}

const IMAGE: &str = "spec.template.spec.containers[name=web].image";
const MEMORY: &str = "spec.template.spec.containers[name=web].resources.limits.memory";

#[test]
fn a_field_holds_what_was_merged_however_it_is_spelled() {
    let cluster = snapshot(&[deployment("web:2")]);
    let live = |path, to| expected(path, to).live(&cluster, &[]);
    assert_eq!(live(IMAGE, value(json!("web:2"))), Live::Holds);
    assert_eq!(live(MEMORY, value(json!("1024Mi"))), Live::Holds);
    let missing = "spec.template.spec.nodeSelector";
    assert_eq!(live(missing, Wished::Gone), Live::Holds);
    assert!(matches!(live(IMAGE, Wished::Gone), Live::Differs { .. }));
    assert_eq!(live(IMAGE, Wished::Value("{".to_owned())), Live::Unknown);
    let other = Expected {
        object: ObjectRef::new("apps/v1", "Deployment", Some("shop"), "api"),
        ..expected(IMAGE, value(json!("web:2")))
    };
    assert_eq!(other.live(&cluster, &[]), Live::Unknown);
}

#[test]
fn whoever_wrote_something_else_is_named() {
    let cluster = snapshot(&[deployment("web:3")]);
    let live = expected(IMAGE, value(json!("web:2"))).live(&cluster, &[]);
    let manager = Some("kubectl-edit".to_owned());
    assert_eq!(live, Live::Differs { manager });
    let nobody = expected(MEMORY, value(json!("2Gi"))).live(&cluster, &[]);
    assert_eq!(nobody, Live::Differs { manager: None });
}

fn in_git(image: &str) -> Desired {
    Desired {
        object: Object::new(deployment(image)).unwrap(),
        file: "apps/web.yaml".to_owned(),
        document: 0,
        root: None,
    }
}

#[test]
fn what_is_too_long_to_record_is_compared_with_git() {
    let cluster = snapshot(&[deployment("web:2")]);
    let wish = expected(IMAGE, Wished::AsInGit);
    assert_eq!(wish.live(&cluster, &[in_git("web:2")]), Live::Holds);
    let newer = wish.live(&cluster, &[in_git("web:4")]);
    assert!(matches!(newer, Live::Differs { .. }));
    assert_eq!(wish.live(&cluster, &[]), Live::Unknown, "Git lost it");
    let twice = [in_git("web:2"), in_git("web:2")];
    assert_eq!(wish.live(&cluster, &twice), Live::Unknown);
}

#[test]
fn a_change_is_overtaken_when_git_says_something_else() {
    let wish = expected(IMAGE, value(json!("web:2")));
    assert!(!wish.is_overtaken(&[in_git("web:2")]));
    assert!(wish.is_overtaken(&[in_git("web:1")]));
    assert!(!wish.is_overtaken(&[]), "not known is not overtaken");
    assert!(!wish.as_in_git().is_overtaken(&[in_git("web:1")]));
    let gone = expected(IMAGE, Wished::Gone);
    assert!(gone.is_overtaken(&[in_git("web:2")]));
}
