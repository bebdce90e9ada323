//! Scorecard row 65: what is told of the passes after a merge, by phase.

use std::sync::{Arc, Mutex};

use kubemend::phase;
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::trials::{ill, merged, well};
use super::{Stage, app, stage};

/// The phases that were begun, in order.
#[derive(Clone, Default)]
struct Begun(Arc<Mutex<Vec<&'static str>>>);

impl<S: Subscriber> Layer<S> for Begun {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if span.metadata().target() == phase::TARGET {
            self.0.lock().unwrap().push(span.metadata().name());
        }
    }
}

impl Begun {
    /// What a pass goes through, from `hear` to the end.
    async fn in_pass(&self, stage: &Stage) -> Vec<&'static str> {
        stage.clean().await;
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn a_merged_fix_is_verified_and_taken_back_in_phases_of_their_own() {
    let begun = Begun::default();
    let watched = tracing_subscriber::registry().with(begun.clone());
    let _guard = tracing::subscriber::set_default(watched);

    let opens = stage(vec![app("cart")]).await;
    assert_eq!(begun.in_pass(&opens).await, ["open"]);

    let (bad, _) = merged(ill()).await;
    begun.0.lock().unwrap().clear();
    let mut passes = Vec::new();
    for _ in 0..3 {
        passes.push(begun.in_pass(&bad).await);
        bad.minutes(9);
    }
    assert_eq!(bad.open().len(), 1, "the revert");
    let both = ["verify", "open", "revert"];
    let taken_back = passes.iter().filter(|p| **p == both).count();
    assert_eq!(taken_back, 1, "{passes:?}");
    assert_eq!(passes[0], ["verify", "open"], "it may still come up");

    let (good, number) = merged(well()).await;
    begun.0.lock().unwrap().clear();
    let mut phases = Vec::new();
    for _ in 0..5 {
        phases.push(begun.in_pass(&good).await.join(" "));
        good.minutes(2);
    }
    phases.dedup();
    assert_eq!(super::trials::verdict(&good, number), ["verified"]);
    assert_eq!(
        phases,
        ["verify open", "open"],
        "and no more after the verdict"
    );
}
