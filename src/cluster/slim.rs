//! Objects as the watch decodes them: a fraction of what is on the wire, the rest is skipped while
//! parsing. What has another shape than expected is left out, never an error: an error would end the
//! watch of all the others.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

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
        let wire = Wire::deserialize(from)?;
        let (metadata, spec, status) = (wire.metadata.good(), wire.spec.good(), wire.status.good());
        let sighting = sighting(&metadata, spec, status);
        Ok(Self {
            meta: ObjectMeta {
                name: metadata.name.good(),
                namespace: metadata.namespace.good(),
                resource_version: metadata.resource_version.good(),
                ..ObjectMeta::default()
            },
            sighting,
        })
    }
}

fn sighting(metadata: &Metadata, spec: Spec, status: Status) -> Sighting {
    let health = status.health.good().status.good();
    let available = [
        status.available_replicas,
        status.number_available,
        status.ready_replicas,
    ];
    let containers = [status.init_container_statuses, status.container_statuses];
    Sighting {
        generation: metadata.generation.get().copied().unwrap_or(0),
        leaving: metadata.deletion_timestamp.get().is_some(),
        replicas: spec.replicas.good(),
        resting: spec.paused.good() == Some(true) || spec.suspend.good() == Some(true),
        phase: status.phase.good().or(health),
        reason: status.reason.good(),
        observed: status.observed_generation.good(),
        available: available.into_iter().find_map(Lenient::good),
        scheduled: status.desired_number_scheduled.good(),
        conditions: status
            .conditions
            .good()
            .into_iter()
            .map(condition)
            .collect(),
        containers: containers
            .into_iter()
            .flat_map(|c| c.good())
            .map(container)
            .collect(),
    }
}

fn condition(wire: Lenient<Condition>) -> (String, String, String) {
    let wire = wire.good();
    let text = |t: Lenient<Option<String>>| t.good().unwrap_or_default();
    (text(wire.kind), text(wire.status), text(wire.reason))
}

fn container(wire: Lenient<ContainerStatus>) -> Container {
    let wire = wire.good();
    let (now, before) = (wire.state.good(), wire.last_state.good());
    Container {
        ready: wire.ready.good() == Some(true),
        waiting: now.waiting.good().and_then(|w| w.reason.good()),
        ended: badly(now.terminated).or_else(|| badly(before.terminated)),
    }
}

fn badly(ended: Lenient<Option<Ended>>) -> Option<String> {
    let ended = ended.good()?;
    (ended.exit_code.good().unwrap_or(0) != 0).then(|| ended.reason.good().unwrap_or_default())
}

/// A value, or anything else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Good(T),
    Bad(IgnoredAny),
}

impl<T: Default> Default for Lenient<T> {
    fn default() -> Self {
        Self::Good(T::default())
    }
}

impl<T: Default> Lenient<T> {
    fn good(self) -> T {
        match self {
            Self::Good(value) => value,
            Self::Bad(IgnoredAny) => T::default(),
        }
    }
}

impl<T> Lenient<Option<T>> {
    fn get(&self) -> Option<&T> {
        match self {
            Self::Good(value) => value.as_ref(),
            Self::Bad(IgnoredAny) => None,
        }
    }
}

type Text = Lenient<Option<String>>;
type Number = Lenient<Option<i64>>;
type Flag = Lenient<Option<bool>>;

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Lenient<Metadata>,
    #[serde(default)]
    spec: Lenient<Spec>,
    #[serde(default)]
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
    conditions: Lenient<Vec<Lenient<Condition>>>,
    init_container_statuses: Lenient<Vec<Lenient<ContainerStatus>>>,
    container_statuses: Lenient<Vec<Lenient<ContainerStatus>>>,
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
    waiting: Lenient<Option<Waiting>>,
    terminated: Lenient<Option<Ended>>,
}

#[derive(Deserialize)]
struct Waiting {
    #[serde(default)]
    reason: Text,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    #[serde(default)]
    exit_code: Number,
    #[serde(default)]
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
                let read: Result<Slim, _> = serde_json::from_str(&text);
                let Ok(slim) = read else {
                    assert_eq!(pointer, "", "{text}");
                    continue;
                };
                if !pointer.starts_with("/metadata") && !pointer.is_empty() {
                    assert_eq!(slim.meta().name.as_deref(), Some("cart-1"), "{text}");
                }
                sign(Watched::Pod, &slim.sighting);
            }
        }
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
