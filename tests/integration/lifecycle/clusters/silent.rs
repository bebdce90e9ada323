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
    assert_eq!(listed(&a, number), ["a", "b"], "b expired, and is on the list");
    a.github.human("alice").merge(number, "squash");
    minutes_pass(&[&a], 4).await;
    let [revert] = a.open()[..] else {
        panic!("{:?}", a.open());
    };
    assert_eq!(listed(&a, revert), ["a"]);
}
