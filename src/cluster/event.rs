//! Kubernetes Events on the workloads that findings are about. Writes nothing else.
//!
//! The recorder counts a repeated Event up instead of making another one.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::{Cluster, ClusterError, answered};
use crate::remediation::news::News;
use crate::snapshot::REPORTER;

/// Where Events go.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Cluster {
    /// Events in the name of this replica.
    pub fn events(&self, me: &str) -> Events {
        let reporter = Reporter {
            controller: REPORTER.to_owned(),
            instance: Some(me.to_owned()),
        };
        Events {
            recorder: Recorder::new(self.client.clone(), reporter),
        }
    }
}

impl Events {
    /// Tells it.
    pub async fn tell(&self, news: &News) -> Result<(), ClusterError> {
        let about = &news.about;
        let reference = ObjectReference {
            api_version: Some(about.api_version.clone()),
            kind: Some(about.kind.clone()),
            name: Some(about.name.clone()),
            namespace: about.namespace.clone(),
            uid: news.uid.clone(),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: match news.warning {
                true => EventType::Warning,
                false => EventType::Normal,
            },
            reason: news.reason.to_owned(),
            note: Some(news.note.clone()),
            action: news.action.clone(),
            secondary: None,
        };
        answered("an event", self.recorder.publish(&event, &reference)).await
    }
}
