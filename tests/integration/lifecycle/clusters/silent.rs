//! Clusters that are asked about a merged fix and never look.

use super::*;

/// `fix --open --cluster b` from a terminal, once: nobody looks there.
#[tokio::test]
async fn one_that_never_looks_is_called_not_seen_in_the_end() {
    let (a, b, number) = merged(well(), well()).await;
    minutes_pass(&[&a], 5).await;
    assert_eq!(verdict(&a, number), Vec::<String>::new(), "too soon");
    quiet(&[&a]).await;
    minutes_pass(&[&a], 2).await;
    assert_eq!(verdict(&a, number), ["inconclusive"], "never verified");
    let said = seen(&a, number);
    assert!(said.contains("| `b` | Not seen |"), "{said}");
    assert!(said.contains("cluster b: not seen"), "{said}");
    assert_eq!(a.open(), Vec::<u64>::new(), "nothing is taken back");
    quiet(&[&a, &b]).await;
}

#[tokio::test]
async fn one_that_looks_late_is_waited_for() {
    let (a, mut b, number) = merged(well(), waiting()).await;
    minutes_pass(&[&a], 2).await;
    minutes_pass(&[&a, &b], 9).await;
    assert_eq!(verdict(&a, number), Vec::<String>::new(), "b waits");
    b.facts = Some(well());
    minutes_pass(&[&b, &a], 4).await;
    assert_eq!(verdict(&a, number), ["verified"]);

    // the other one is bad: nobody is waited for
    let (a, _, number) = merged(ill(), well()).await;
    minutes_pass(&[&a], 4).await;
    assert_eq!(verdict(&a, number), ["regressed"]);
    assert_eq!(a.open().len(), 1);
}

/// Whoever was silent at the merge is not asked about the revert.
#[tokio::test]
async fn a_revert_asks_those_who_were_asked_about_the_fix() {
    let (mut a, b) = two().await;
    a.facts = Some(ill());
    a.clean().await;
    b.clean().await;
    let number = a.open()[0];
    a.hours(6 * 24 + 20);
    a.clean().await;
    a.hours(5);
    assert_eq!(
        listed(&a, number),
        ["a", "b"],
        "b expired, and is on the list"
    );
    a.github.human("alice").merge(number, "squash");
    minutes_pass(&[&a], 4).await;
    let [revert] = a.open()[..] else {
        panic!("{:?}", a.open());
    };
    assert_eq!(listed(&a, revert), ["a"]);
}

/// Twenty merged fixes that other clusters apply are newer than the one of this cluster.
#[tokio::test]
async fn merged_fixes_of_other_clusters_take_no_place_of_our_own() {
    let names: Vec<&'static str> = (0..20)
        .map(|n| &*Box::leak(format!("other{n}").into_boxed_str()))
        .collect();
    let seed = names.iter().fold(crate::lifecycle::seed(), |seed, name| {
        seed.file(&app(name).file, format!("name: {name}\nmemory: 256Mi\n"))
    });
    let mut a = crate::lifecycle::stage_on(seed, vec![app("cart")]).await;
    a.scope = A;
    a.facts = Some(well());
    a.clean().await;
    let number = a.open()[0];
    let alice = a.github.human("alice");
    alice.merge(number, "squash");
    let mut manifests = a.beside("manifests");
    manifests.facts = None;
    manifests.records = true;
    manifests.apps = names.iter().map(|name| app(name)).collect();
    manifests.rules.max_open_prs = 50;
    manifests.rules.hard_cap = 50;
    manifests.rules.max_open_per_namespace = 50;
    manifests.rules.max_prs_per_hour = 50;
    manifests.clean().await;
    let others = a.open();
    assert_eq!(others.len(), names.len());
    a.minutes(1);
    others.iter().for_each(|other| {
        alice.merge(*other, "squash");
    });
    a.elsewhere = true;
    minutes_pass(&[&a], 4).await;
    assert_eq!(verdict(&a, number), ["verified"]);
    assert_eq!(told(&a, others[0]), Vec::<String>::new());
}
