//! Plays the provisioner of disks: makes a volume for every claim whose StorageClass exists.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

/// Looks after all claims, for ever.
pub async fn run(client: kube::Client) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let changes = watcher(claims, watcher::Config::default()).default_backoff();
    let mut changes = std::pin::pin!(changes.applied_objects());
    while let Some(change) = changes.next().await {
        if let Ok(claim) = change {
            provide(&client, &claim).await;
        }
    }
}

async fn provide(client: &kube::Client, claim: &PersistentVolumeClaim) -> Option<()> {
    let spec = claim.spec.as_ref().filter(|s| s.volume_name.is_none())?;
    let class = spec
        .storage_class_name
        .as_deref()
        .filter(|c| !c.is_empty())?;
    let classes: Api<StorageClass> = Api::all(client.clone());
    classes.get_opt(class).await.ok().flatten()?;
    let meta = &claim.metadata;
    let volume = json!({
        "metadata": {"name": format!("disk-{}", meta.uid.as_ref()?)},
        "spec": {
            "capacity": spec.resources.as_ref()?.requests,
            "accessModes": spec.access_modes,
            "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/disk"},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
        },
    });
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = serde_json::from_value(volume).ok()?;
    // it may have been made already
    volumes
        .create(&PostParams::default(), &volume)
        .await
        .ok()
        .map(drop)
}
