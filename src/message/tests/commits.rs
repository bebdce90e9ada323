//! Scorecard 35: sign-off, conventional subjects as the repository has them, trailers.

use crate::config::rules::Conventional;
use crate::forge::Actor;
use crate::message::commit::{MAX_SUBJECT, Style, chosen, signed_off, signed_off_locally};
use crate::message::plain::inert;

#[test]
fn a_commit_speaks_to_nobody() {
    for (hostile, inert_form) in [
        ("/lgtm this", "lgtm this"),
        ("fixes #12 and acme/x#7", "fixes 12 and acme/x 7"),
        ("GH-8 [skip ci]", "GH 8 skip ci"),
        (
            "see @octocat at https://evil.example",
            "see octocat at https:evil.example",
        ),
        ("Signed-off-by: Someone", "Signed-off-by Someone"),
        ("nginx:1.25-alpine", "nginx:1.25-alpine"),
        ("web-1 and 12", "web-1 and 12"),
    ] {
        assert_eq!(inert(hostile), inert_form);
    }
}

#[test]
fn subjects_are_written_as_the_repository_writes_them() {
    let conventional = [
        "feat(api): x",
        "fix!: y",
        "chore: z",
        "Merge branch 'a'",
        "Bump q",
    ];
    assert_eq!(
        chosen(Conventional::Auto, conventional),
        Style::Conventional
    );
    assert_eq!(
        chosen(Conventional::Auto, ["Add x", "Raise y", "fix: z", "Drop q"]),
        Style::Capital
    );
    assert_eq!(
        chosen(
            Conventional::Auto,
            ["add x", "raise y", "note: z", "drop q"]
        ),
        Style::Plain
    );
    // too few to tell, merges do not count
    assert_eq!(
        chosen(Conventional::Auto, ["Add x", "Merge a", "Merge b", "Add y"]),
        Style::Conventional
    );
    assert_eq!(chosen(Conventional::Auto, []), Style::Conventional);
    // only the newest count
    let old = std::iter::repeat_n("Add x", 20).chain(std::iter::repeat_n("fix: y", 100));
    assert_eq!(chosen(Conventional::Auto, old), Style::Capital);
}

#[test]
fn the_configuration_decides_before_the_repository() {
    let capital = ["Add x", "Raise y", "Drop q"];
    let conventional = ["fix: x", "fix: y", "fix: q"];
    assert_eq!(chosen(Conventional::Always, capital), Style::Conventional);
    assert_eq!(chosen(Conventional::Auto, capital), Style::Capital);
    assert_eq!(chosen(Conventional::Never, conventional), Style::Plain);
    assert_eq!(chosen(Conventional::Never, capital), Style::Capital);
}

#[test]
fn a_long_subject_is_cut_between_words_and_told_in_full_below() {
    let long = "raise the memory limit of Deployment shop/cart, container cart from 128Mi to 256Mi";
    let commit = super::bodies::commit_of(long, Style::Conventional);
    insta::assert_snapshot!("commit", commit);
    let subject = commit.lines().next().unwrap();
    assert!(subject.chars().count() <= MAX_SUBJECT);
}

#[test]
fn a_sign_off_comes_last() {
    let message = "fix(k8s): raise the limit\n\nwhy\n\nKubemend-Fingerprint: abc\n";
    let me = Actor {
        id: 123,
        login: "kubemend[bot]".to_owned(),
        bot: true,
    };
    assert_eq!(
        signed_off(message, &me),
        format!(
            "{message}Signed-off-by: kubemend[bot] <123+kubemend[bot]@users.noreply.github.com>\n"
        )
    );
    assert_eq!(
        signed_off_locally(message),
        format!("{message}Signed-off-by: kubemend[bot] <kubemend[bot]@users.noreply.github.com>\n")
    );
}
