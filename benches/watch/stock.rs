//! A controller as the documentation of kube-rs has it.

use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client};

/// Watches all pods and reconciles each without doing anything.
pub(crate) async fn run() {
    let client = Client::try_default().await.unwrap();
    let pods: Api<Pod> = Api::all(client);
    let controller = Controller::new(pods, watcher::Config::default().streaming_lists());
    let store = controller.store();
    let nothing =
        |_: Arc<Pod>, _: Arc<()>| async { Ok::<_, std::io::Error>(Action::await_change()) };
    let policy = |_: Arc<Pod>, _: &std::io::Error, _: Arc<()>| Action::await_change();
    let running = controller
        .run(nothing, policy, Arc::new(()))
        .for_each(|_| async {});
    let listed = async {
        store.wait_until_ready().await.unwrap();
        println!("{}", store.state().len());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = running => {}
        () = listed => {}
        () = crate::stdin_ends() => {}
    }
}
