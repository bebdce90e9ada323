#![allow(clippy::unwrap_used)]

use super::*;

fn object(yaml: &str) -> Object {
    Object::new(serde_saphyr::from_str(yaml).unwrap()).unwrap()
}

const GOOD: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: till}
spec:
  replicas: 2
  selector: {matchLabels: {app: till}}
  template:
    metadata: {labels: {app: till}}
    spec:
      containers:
      - name: till
        image: example.org/till:3
        imagePullPolicy: Always
        ports: [{containerPort: 8080, name: http}]
        env: [{name: A, value: b}]
        resources: {requests: {memory: 64Mi}, limits: {memory: 128Mi}}
        livenessProbe: {httpGet: {path: /, port: http}}
        volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
";

/// The issues of [`GOOD`] after one replacement, as text.
fn broken(old: &str, new: &str) -> Vec<String> {
    assert!(GOOD.contains(old), "{old} is not in the example");
    check(&object(&GOOD.replace(old, new)))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_embedded_tables_are_readable() {
    assert!(type_at("apps/v1", "Deployment").is_some());
    assert!(table::fields("core.v1.Container").unwrap().len() > 20);
}

#[test]
fn a_good_object_has_no_issue() {
    assert_eq!(check(&object(GOOD)), []);
}

#[test]
fn each_broken_thing_is_one_issue() {
    let c = "spec.template.spec.containers[name=till]";
    for (old, new, wanted) in [
        (
            "replicas: 2",
            "replica: 2",
            "spec.replica is an unknown field (the schema has replicas)".to_owned(),
        ),
        (
            "replicas: 2",
            "replicas: \"2\"",
            "spec.replicas has to be of type integer, and is of type string".to_owned(),
        ),
        (
            "replicas: 2",
            "colour: red",
            "spec.colour is an unknown field".to_owned(),
        ),
        (
            "Always",
            "always",
            format!(
                "{c}.imagePullPolicy is \"always\", and the allowed values are Always, IfNotPresent, Never"
            ),
        ),
        (
            "8080",
            "\"8080\"",
            format!(
                "{c}.ports[name=http].containerPort has to be of type integer, and is of type string"
            ),
        ),
        (
            "8080",
            "80800",
            format!(
                "{c}.ports[name=http].containerPort: 80800 is no port; it has to be between 1 and 65535"
            ),
        ),
        (
            "value: b",
            "value: true",
            format!("{c}.env[name=A].value has to be of type string, and is of type boolean"),
        ),
        (
            "64Mi",
            "64MB",
            format!("{c}.resources.requests.memory is \"64MB\", which is no quantity"),
        ),
        (
            "64Mi",
            "1Gi",
            format!(
                "{c}.resources.requests.memory: the request 1Gi has to be at most the memory limit 128Mi"
            ),
        ),
        (
            "image: example.org/till:3",
            "tty: true",
            format!("{c}.image is required and missing"),
        ),
        (
            "labels: {app: till}}",
            "labels: {app: tall}}",
            "spec.template.metadata.labels does not have the selector's labels app=till".to_owned(),
        ),
        (
            "{name: till}",
            "{name: Till}",
            format!(
                "metadata.name is \"Till\": {}",
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', must start and end with an alphanumeric character, and must be no more than 253 characters"
            ),
        ),
        (
            "name: tmp, mountPath",
            "name: temp, mountPath",
            format!("{c}.volumeMounts[0].name is \"temp\", which is not defined (defined: tmp)"),
        ),
    ] {
        assert_eq!(broken(old, new), [wanted], "{old} -> {new}");
    }
}

#[test]
fn text_that_something_replaces_later_is_not_judged() {
    for (old, new) in [
        ("replicas: 2", "replicas: ${REPLICAS}"),
        ("{name: till}", "{name: '{{ name }}'}"),
        ("64Mi", "$(MEMORY)"),
    ] {
        assert_eq!(broken(old, new), Vec::<String>::new(), "{new}");
    }
}

#[test]
fn kinds_that_are_not_built_in_are_not_judged() {
    assert_eq!(
        check(&object(
            "{apiVersion: example.org/v1, kind: Till, metadata: {name: A B}, spec: {any: 1}}"
        )),
        []
    );
}

#[test]
fn values_of_secrets_stay_out_of_issues() {
    let secret = object(
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: 1, b: true}, stringdata: {x: z}}",
    );
    let issues = check(&secret);
    assert_eq!(issues.len(), 1);
    assert_eq!(
        issues[0].to_string(),
        "stringdata is an unknown field (the schema has stringData)"
    );
}

#[test]
fn a_conversion_to_apps_v1_takes_the_selector_from_the_template() {
    let old = GOOD.replace("apps/v1", "apps/v1beta1").replace(
        "  selector: {matchLabels: {app: till}}\n",
        "  rollbackTo: {revision: 0}\n",
    );
    let converted = convert(&object(&old)).unwrap();
    assert_eq!(converted.open, Vec::<String>::new());
    assert_eq!(converted.moves.len(), 3);
    assert_eq!(check(&converted.object), []);
    assert_eq!(converted.object, object(GOOD));
}

#[test]
fn a_conversion_without_labels_is_not_mechanical() {
    let old = object(
        "{apiVersion: extensions/v1beta1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}",
    );
    assert_eq!(convert(&old).unwrap().open.len(), 1);
}

#[test]
fn an_ingress_moves_its_backends() {
    let old = object(
        "
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: front}
spec:
  backend: {serviceName: fallback, servicePort: 80}
  rules:
  - http: {paths: [{path: /, backend: {serviceName: shop, servicePort: web}}]}
",
    );
    let converted = convert(&old).unwrap();
    assert_eq!(check(&converted.object), []);
    let path = &converted.object.list("spec.rules")[0]["http"]["paths"][0];
    assert_eq!(
        path["backend"],
        serde_json::json!({"service": {"name": "shop", "port": {"name": "web"}}})
    );
    assert_eq!(path["pathType"], "ImplementationSpecific");
    assert_eq!(
        converted
            .object
            .get("spec.defaultBackend.service.port.number"),
        Some(&serde_json::json!(80))
    );
}

#[test]
fn an_autoscaler_gets_targets() {
    let old = object(
        "
apiVersion: autoscaling/v2beta1
kind: HorizontalPodAutoscaler
metadata: {name: till}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: till}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, targetAverageUtilization: 60}}]
",
    );
    let converted = convert(&old).unwrap();
    assert_eq!(check(&converted.object), []);
    assert_eq!(
        converted.object.list("spec.metrics")[0]["resource"]["target"],
        serde_json::json!({"type": "Utilization", "averageUtilization": 60})
    );
}

#[test]
fn a_change_may_not_bring_in_an_issue_but_may_leave_one() {
    let before = object(&GOOD.replace("Always", "always"));
    let worse = object(&GOOD.replace("Always", "always").replace("8080", "true"));
    assert!(validate_change(&before, &before).is_ok());
    assert!(validate_change(&before, &object(GOOD)).is_ok());
    assert_eq!(validate_change(&before, &worse).unwrap_err().len(), 1);
}

#[test]
fn the_nearest_word_has_to_be_near_and_alone() {
    assert_eq!(
        nearest("imagepullpolicy", ["imagePullPolicy", "image"]),
        Some("imagePullPolicy")
    );
    assert_eq!(
        nearest("replcias", ["replicas", "selector"]),
        Some("replicas")
    );
    assert_eq!(nearest("host", ["port", "cost", "most"]), None);
    assert_eq!(nearest("command", ["args", "image"]), None);
}
