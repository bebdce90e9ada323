//! `Remediation` objects: the records of kubemend in its own namespace. Writes nothing else.

use kube::CustomResource;
use kube::CustomResourceExt as _;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cluster, ClusterError, answered};
use crate::remediation::{MOST, Record, Spec, Status};

/// Who owns the fields of the status.
const MANAGER: &str = "kubemend";

/// A finding of kubemend and what became of it. Only kubemend writes it; deleting it loses nothing
/// that the forge does not hold, but for what the model cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "kubemend.dev",
    version = "v1alpha1",
    kind = "Remediation",
    plural = "remediations",
    namespaced,
    status = "Status",
    printcolumn = r#"{"name": "Object", "type": "string", "jsonPath": ".spec.object"}"#,
    printcolumn = r#"{"name": "Class", "type": "string", "jsonPath": ".spec.class"}"#,
    printcolumn = r#"{"name": "Outcome", "type": "string", "jsonPath": ".status.outcome"}"#,
    printcolumn = r#"{"name": "PR", "type": "integer", "jsonPath": ".status.pullRequest.number"}"#,
    printcolumn = r#"{"name": "Verdict", "type": "string", "jsonPath": ".status.verdict.state"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(transparent)]
pub struct RemediationSpec(Spec);

/// The definition of the custom resource, as JSON.
pub fn definition() -> Value {
    let mut definition = serde_json::to_value(Remediation::crd()).unwrap_or_default();
    let about = "A finding of kubemend and what became of it; written by kubemend alone.";
    let at = "/spec/versions/0/schema/openAPIV3Schema/description";
    if let Some(text) = definition.pointer_mut(at) {
        *text = about.into();
    }
    definition
}

/// The records of one namespace.
#[derive(Clone)]
pub struct Remediations {
    api: Api<Remediation>,
}

impl Cluster {
    /// The records in kubemend's own namespace.
    pub fn remediations(&self, namespace: &str) -> Remediations {
        let api = Api::namespaced(self.client.clone(), namespace);
        Remediations { api }
    }
}

impl Remediations {
    /// All records, and a few more than may be there.
    pub async fn list(&self) -> Result<Vec<Record>, ClusterError> {
        let most = u32::try_from(2 * MOST).unwrap_or(u32::MAX);
        let params = ListParams::default().limit(most);
        let found = answered("remediations", self.api.list(&params)).await?;
        Ok(found.items.into_iter().map(record).collect())
    }

    /// One record as it is now.
    pub async fn read(&self, name: &str) -> Result<Option<Record>, ClusterError> {
        let found = answered("a remediation", self.api.get_opt(name)).await?;
        Ok(found.map(record))
    }

    /// Writes a record that was read, or is new. A conflict means that somebody else did meanwhile.
    pub async fn write(&self, record: &Record) -> Result<Record, ClusterError> {
        let mut written = match record.version.as_str() {
            "" => self.make(record).await?,
            _ => record.clone(),
        };
        written.status = record.status.clone();
        // of a new one the generation is only known now
        written.status.observed_generation = written.generation;
        for condition in &mut written.status.conditions {
            condition.observed_generation = written.generation;
        }
        let mut object = Remediation::new(&written.name, RemediationSpec(written.spec));
        object.metadata.resource_version = Some(written.version);
        object.status = Some(written.status);
        // only the status is taken from it; the spec is there since the beginning
        let params = PatchParams::apply(MANAGER).force();
        let name = object.name_any();
        let patch = Patch::Apply(&object);
        let done = self.api.patch_status(&name, &params, &patch);
        let done = answered("a remediation's status", done).await?;
        Ok(self::record(done))
    }

    async fn make(&self, record: &Record) -> Result<Record, ClusterError> {
        let object = Remediation::new(&record.name, RemediationSpec(record.spec.clone()));
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let made = answered("a new remediation", self.api.create(&params, &object)).await?;
        Ok(self::record(made))
    }

    /// Deletes a record; one that is gone is fine.
    pub async fn forget(&self, name: &str) -> Result<(), ClusterError> {
        let params = DeleteParams::default();
        let gone = answered("an old remediation", self.api.delete(name, &params)).await;
        match gone {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(()),
        }
    }
}

fn record(object: Remediation) -> Record {
    Record {
        name: object.name_any(),
        version: object.metadata.resource_version.unwrap_or_default(),
        generation: object.metadata.generation,
        spec: object.spec.0,
        status: object.status.unwrap_or_default(),
    }
}
