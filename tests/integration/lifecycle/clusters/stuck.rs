//! A cluster that sees the failure and has no fix for it: it is listed as well, or has no say; no two
//! clusters write against each other.

use super::*;

fn without_a_fix() -> [(App, &'static str); 2] {
    let asks = App {
        asks: true,
        ..app("cart")
    };
    let refuses = App {
        refuses: true,
        ..app("cart")
    };
    [(asks, "it would be asked about"), (refuses, "`NoSafeFix`")]
}

#[tokio::test]
async fn one_without_a_fix_keeps_it_open_and_comes_to_rest() {
    for (sick, said) in without_a_fix() {
        let (mut a, mut b) = two().await;
        a.clean().await;
        let number = a.open()[0];
        b.apps = vec![sick];
        b.clean().await;
        assert_eq!(listed(&a, number), ["a", "b"]);
        assert!(shown(&a, number).contains(said), "{}", shown(&a, number));
        quiet(&[&a, &b, &a, &b]).await;
        a.apps.clear();
        for _ in 0..2 {
            often(&a).await;
            b.clean().await;
        }
        quiet(&[&a, &b, &a, &b]).await;
        assert_eq!(listed(&a, number), ["b"]);
        for _ in 0..9 {
            a.hours(24);
            quiet(&[&a, &b]).await;
        }
        assert_eq!(a.open(), [number]);
        assert!(!a.github.item(number).pull.unwrap().draft, "b is ill");
        // and closed when b is well, too
        b.apps.clear();
        often(&b).await;
        a.hours(25);
        b.clean().await;
        assert_eq!(a.open(), Vec::<u64>::new());
    }
}

/// It counted as well already when the other one came.
#[tokio::test]
async fn what_looked_resolved_is_taken_back_once() {
    for (sick, said) in without_a_fix() {
        let (mut a, mut b) = two().await;
        a.clean().await;
        let number = a.open()[0];
        a.apps.clear();
        often(&a).await;
        assert!(a.github.item(number).pull.unwrap().draft, "{said}");
        b.apps = vec![sick];
        b.clean().await;
        assert!(!a.github.item(number).pull.unwrap().draft, "{said}");
        for _ in 0..2 {
            often(&a).await;
            b.clean().await;
        }
        assert_eq!(listed(&a, number), ["b"]);
        quiet(&[&a, &b, &a, &b]).await;
        assert_eq!(a.open(), [number]);
    }
}

/// One that was listed with a fix and has none any more goes on giving its word.
#[tokio::test]
async fn one_that_has_its_fix_no_more_stays_listed() {
    for (sick, said) in without_a_fix() {
        let (a, mut b) = two().await;
        a.clean().await;
        b.clean().await;
        let number = a.open()[0];
        b.apps = vec![sick];
        b.clean().await;
        assert!(shown(&a, number).contains(said), "{}", shown(&a, number));
        quiet(&[&a, &b]).await;
        for _ in 0..9 {
            a.hours(24);
            a.clean().await;
            b.clean().await;
        }
        assert_eq!(listed(&a, number), ["a", "b"]);
        quiet(&[&a, &b]).await;
    }
}

/// A run without a cluster joins no list, and a cluster whose fix is somewhere else has its own pull
/// request: neither starts the count of the others again.
#[tokio::test]
async fn whoever_does_not_join_has_no_say() {
    let elsewhere = App {
        file: "apps/pay.yaml".to_owned(),
        ..app("cart")
    };
    for (scope, fault) in [("manifests", app("cart")), (B, elsewhere)] {
        let (mut a, _) = two().await;
        a.clean().await;
        let number = a.open()[0];
        let other = Stage {
            apps: vec![fault],
            ..a.beside(scope)
        };
        other.clean().await;
        a.apps.clear();
        for _ in 0..4 {
            a.minutes(15);
            a.clean().await;
            other.idle().await;
        }
        assert!(a.github.item(number).pull.unwrap().draft, "{scope}");
        quiet(&[&a, &other]).await;
    }
}

fn somewhere_else(sick: App, file: &str) -> App {
    App {
        file: file.to_owned(),
        ..sick
    }
}

/// Git holds what it held before, as far as this cluster goes.
fn overtaken() -> Facts {
    Facts {
        overtaken: true,
        ..well()
    }
}

/// Its object has the same name, and comes from another overlay: the change does not reach it.
#[tokio::test]
async fn one_without_a_fix_for_another_place_does_not_join() {
    for (sick, said) in without_a_fix() {
        let (mut a, mut b) = two().await;
        a.facts = Some(well());
        b.facts = Some(overtaken());
        b.apps = vec![somewhere_else(sick, "apps/pay.yaml")];
        a.clean().await;
        b.clean().await;
        quiet(&[&a, &b]).await;
        let number = a.open()[0];
        assert_eq!(listed(&a, number), ["a"], "{said}");
        a.github.human("alice").merge(number, "squash");
        minutes_pass(&[&a, &b], 4).await;
        assert_eq!(verdict(&a, number), ["verified"], "{said}");
    }
}

#[tokio::test]
async fn one_without_a_fix_for_another_place_keeps_nothing_open() {
    for (sick, said) in without_a_fix() {
        let (mut a, mut b) = two().await;
        a.facts = Some(well());
        b.apps = vec![somewhere_else(sick, "apps/pay.yaml")];
        a.clean().await;
        b.clean().await;
        a.apps.clear();
        often(&a).await;
        quiet(&[&b]).await;
        a.hours(25);
        b.clean().await;
        a.clean().await;
        assert_eq!(a.open(), Vec::<u64>::new(), "{said}");
    }
}

/// Where its object comes from is not known: it is listed, and gives no verdict about a fix that it
/// did not want.
#[tokio::test]
async fn one_without_a_fix_has_no_say_after_the_merge() {
    for (sick, said) in without_a_fix() {
        let (mut a, mut b) = two().await;
        a.facts = Some(well());
        b.facts = Some(overtaken());
        b.apps = vec![somewhere_else(sick, "")];
        a.clean().await;
        b.clean().await;
        let number = a.open()[0];
        assert_eq!(listed(&a, number), ["a", "b"], "{said}");
        a.github.human("alice").merge(number, "squash");
        minutes_pass(&[&b, &a], 4).await;
        assert_eq!(verdict(&a, number), ["verified"], "{said}");
        let said = seen(&a, number);
        assert!(said.starts_with("**Verified.**"), "{said}");
    }
}

/// Nobody else is left who could tell.
#[tokio::test]
async fn one_without_a_fix_tells_where_nobody_has_one_any_more() {
    for (sick, said) in without_a_fix() {
        let (mut a, mut b) = two().await;
        b.facts = Some(well());
        a.facts = Some(well());
        b.apps = vec![sick];
        a.clean().await;
        b.clean().await;
        let number = a.open()[0];
        a.apps.clear();
        often(&a).await;
        assert_eq!(listed(&a, number), ["b"], "{said}");
        a.github.human("alice").merge(number, "squash");
        minutes_pass(&[&a, &b], 4).await;
        assert_eq!(verdict(&a, number), ["verified"], "{said}");
    }
}
