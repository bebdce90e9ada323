//! More findings share one value than a marker names: what they write in common says that they
//! belong together.

use super::*;
use crate::lifecycle::APPS;
use kubemend::finding::Class;

/// Eighteen findings on one value, in two clusters.
async fn eighteen() -> (Stage, Stage) {
    let classes = [
        Class::OOMKilled,
        Class::CrashLoopBackOff,
        Class::ReadinessProbeFailing,
    ];
    let of = |class| {
        APPS.map(|name| App {
            class,
            file: "apps/cart.yaml".to_owned(),
            ..app(name)
        })
    };
    let mut a = stage(classes.into_iter().flat_map(of).collect()).await;
    a.scope = A;
    let b = a.beside(B);
    (a, b)
}

#[tokio::test]
async fn what_a_marker_has_no_room_for_is_not_written_again() {
    let (a, b) = eighteen().await;
    a.clean().await;
    let [number] = a.open()[..] else {
        panic!("{:?}", a.open());
    };
    quiet(&[&a]).await;
    b.clean().await;
    assert_eq!(listed(&a, number), ["a", "b"]);
    quiet(&[&b, &a, &b]).await;
    assert_eq!(a.all(), [number]);
}

#[tokio::test]
async fn a_close_is_a_no_for_those_that_a_marker_does_not_name() {
    let (a, b) = eighteen().await;
    a.clean().await;
    b.clean().await;
    let number = a.open()[0];
    let alice = a.github.human("alice");
    alice.close(number);
    a.clean().await;
    a.hours(24 * 30);
    b.clean().await;
    a.clean().await;
    quiet(&[&b, &a]).await;
    assert_eq!(a.all(), [number]);
    // the way back is one for all of them, too
    alice.unlabel(number, "kubemend/ignored");
    a.clean().await;
    b.clean().await;
    assert_eq!(a.all().len(), 2);
    quiet(&[&b, &a]).await;
}
