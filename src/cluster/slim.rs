//! Objects as the watch decodes them: a fraction of what is on the wire, the rest is skipped while
//! parsing. What has another shape than expected is left out, never an error: an error would end the
//! watch of all the others.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::Deserialize;
use serde::de::Deserializer;

use super::lenient::{Flag, Lenient, Number, Shape, Text, from_maps};
use crate::watch::Watched;
use crate::watch::sign::{Container, Sighting};

/// The kind as kube wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind(pub(super) Watched);

/// One watched object.
#[derive(Clone)]
pub(super) struct Slim {
    meta: ObjectMeta,
    pub(super) sighting: Sighting,
}

impl fmt::Debug for Slim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slim")
            .field("name", &self.meta.name)
            .finish_non_exhaustive()
    }
}

impl kube::Resource for Slim {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &Kind) -> Cow<'_, str> {
        kind.0.names().2.into()
    }

    fn group(kind: &Kind) -> Cow<'_, str> {
        kind.0.names().0.into()
    }

    fn version(kind: &Kind) -> Cow<'_, str> {
        kind.0.names().1.into()
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        kind.0.names().3.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

impl<'de> Deserialize<'de> for Slim {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Lenient(wire) = Lenient::<Wire>::deserialize(from)?;
        let metadata = wire.metadata.0;
        let sighting = sighting(&metadata, wire.spec.0, wire.status.0);
        Ok(Self {
            meta: ObjectMeta {
                name: metadata.name.0,
                namespace: metadata.namespace.0,
                resource_version: metadata.resource_version.0,
                ..ObjectMeta::default()
            },
            sighting,
        })
    }
}

fn sighting(metadata: &Metadata, spec: Spec, status: Status) -> Sighting {
    let available = [
        status.available_replicas,
        status.number_available,
        status.ready_replicas,
    ];
    let containers = [status.init_container_statuses, status.container_statuses];
    Sighting {
        generation: metadata.generation.0.unwrap_or(0),
        leaving: metadata.deletion_timestamp.0.is_some(),
        replicas: spec.replicas.0,
        resting: spec.paused.0 == Some(true) || spec.suspend.0 == Some(true),
        phase: status.phase.0.or(status.health.0.status.0),
        reason: status.reason.0,
        observed: status.observed_generation.0,
        available: available.into_iter().find_map(|number| number.0),
        scheduled: status.desired_number_scheduled.0,
        conditions: status.conditions.0.into_iter().map(condition).collect(),
        containers: containers
            .into_iter()
            .flat_map(|c| c.0)
            .map(container)
            .collect(),
    }
}

fn condition(wire: Condition) -> (String, String, String) {
    let [kind, status, reason] =
        [wire.kind, wire.status, wire.reason].map(|text| text.0.unwrap_or_default());
    (kind, status, reason)
}

fn container(wire: ContainerStatus) -> Container {
    let (now, before) = (wire.state.0, wire.last_state.0);
    Container {
        ready: wire.ready.0 == Some(true),
        waiting: now.waiting.0.reason.0,
        ended: badly(now.terminated.0).or_else(|| badly(before.terminated.0)),
    }
}

fn badly(ended: Ended) -> Option<String> {
    (ended.exit_code.0.unwrap_or(0) != 0).then(|| ended.reason.0.unwrap_or_default())
}

from_maps!(
    Wire,
    Metadata,
    Spec,
    Status,
    Health,
    Condition,
    ContainerStatus,
    State,
    Waiting,
    Ended
);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    metadata: Lenient<Metadata>,
    spec: Lenient<Spec>,
    status: Lenient<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Text,
    namespace: Text,
    resource_version: Text,
    generation: Number,
    deletion_timestamp: Text,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Number,
    paused: Flag,
    suspend: Flag,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Text,
    reason: Text,
    health: Lenient<Health>,
    observed_generation: Number,
    available_replicas: Number,
    number_available: Number,
    ready_replicas: Number,
    desired_number_scheduled: Number,
    conditions: Lenient<Vec<Condition>>,
    init_container_statuses: Lenient<Vec<ContainerStatus>>,
    container_statuses: Lenient<Vec<ContainerStatus>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Health {
    status: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: Text,
    status: Text,
    reason: Text,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    ready: Flag,
    state: Lenient<State>,
    last_state: Lenient<State>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Lenient<Waiting>,
    terminated: Lenient<Ended>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: Text,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ended {
    exit_code: Number,
    reason: Text,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::watch::sign::sign;
    use kube::Resource as _;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn pod() -> Value {
        json!({
            "metadata": {"name": "cart-1", "namespace": "shop", "resourceVersion": "7", "managedFields": [{"manager": "x"}]},
            "spec": {"containers": [{"name": "cart", "image": "cart:1"}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
                "containerStatuses": [{
                    "name": "cart", "ready": false, "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
                }]
            }
        })
    }

    #[test]
    fn a_pod_is_read() {
        let slim: Slim = serde_json::from_value(pod()).unwrap();
        assert_eq!(slim.meta().name.as_deref(), Some("cart-1"));
        assert_eq!(slim.meta().resource_version.as_deref(), Some("7"));
        let container = slim.sighting.containers.first().unwrap();
        assert_eq!(container.waiting.as_deref(), Some("CrashLoopBackOff"));
        assert_eq!(container.ended.as_deref(), Some("OOMKilled"));
        assert!(sign(Watched::Pod, &slim.sighting).is_some());
    }

    /// Every value of a pod, one after the other, replaced by each of these.
    #[test]
    fn no_shape_is_an_error_and_what_is_well_formed_stays_readable() {
        let strange = [
            json!(null),
            json!(7),
            json!("x"),
            json!([[]]),
            json!({"a": {}}),
            json!(true),
        ];
        for pointer in pointers(&pod()) {
            for value in &strange {
                let mut mutant = pod();
                *mutant.pointer_mut(&pointer).unwrap() = value.clone();
                let text = mutant.to_string();
                let slim: Slim = serde_json::from_str(&text).unwrap();
                if !pointer.starts_with("/metadata") && !pointer.is_empty() {
                    assert_eq!(slim.meta().name.as_deref(), Some("cart-1"), "{text}");
                }
                sign(Watched::Pod, &slim.sighting);
            }
        }
    }

    #[test]
    fn nothing_is_too_deep() {
        let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
        let text = pod()
            .to_string()
            .replace("\"cart:1\"", &deep)
            .replace("\"Error\"", &deep);
        let slim: Slim = serde_json::from_str(&text).unwrap();
        assert!(sign(Watched::Pod, &slim.sighting).is_some());
    }

    fn pointers(value: &Value) -> Vec<String> {
        let mut all = vec![String::new()];
        let below = |key: String, value: &Value| {
            pointers(value)
                .into_iter()
                .map(move |p| format!("/{key}{p}"))
                .collect::<Vec<_>>()
        };
        match value {
            Value::Object(map) => all.extend(map.iter().flat_map(|(k, v)| below(k.clone(), v))),
            Value::Array(list) => {
                all.extend(
                    list.iter()
                        .enumerate()
                        .flat_map(|(i, v)| below(i.to_string(), v)),
                );
            }
            _ => {}
        }
        all
    }

    proptest! {
        #[test]
        fn no_text_of_a_reason_gets_through_unbounded(reason in ".{0,300}") {
            let mut pod = pod();
            *pod.pointer_mut("/status/containerStatuses/0/state/waiting/reason").unwrap() = json!(reason);
            let slim: Slim = serde_json::from_value(pod).unwrap();
            let sign = sign(Watched::Pod, &slim.sighting);
            prop_assert!(sign.is_none_or(|s| s.as_str().len() <= 64));
        }
    }
}
