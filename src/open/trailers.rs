//! What a commit of ours says about itself: the state of the fix that it holds, so that a pull
//! request can be understood from its branch alone. Pure.

use crate::forge::Actor;
use crate::forge::identity;
use crate::forge::marker::Marker;
use crate::github::CommitFacts;
use crate::message;
use crate::message::commit::{signed_off, trailer, unfolded};

const FINGERPRINT: &str = "Kubemend-Fingerprint";
const TARGET: &str = "Kubemend-Target";
const STATE: &str = "Kubemend-State";
/// The account with which GitHub itself commits and signs.
const WEB_FLOW: u64 = 19_864_447;

/// A commit message with the state of its fix, and signed off by who commits it where that is wanted.
pub(super) fn complete(message: &str, marker: &Marker, signer: Option<&Actor>) -> String {
    let message = with_state(message, marker);
    match signer {
        Some(by) => signed_off(&message, by),
        None => message,
    }
}

/// The message with the state next to the other trailers.
fn with_state(message: &str, marker: &Marker) -> String {
    let state = format!(
        "key={} target={} change={} result={} scope={}",
        marker.key,
        marker.target,
        marker.change,
        marker.result,
        one_line(&marker.scope)
    );
    let state = trailer(STATE, &state);
    let named = format!("{FINGERPRINT}: {}", marker.fingerprint);
    let mut out = String::new();
    let mut found = false;
    for line in message.trim_end().lines() {
        out.push_str(line);
        out.push('\n');
        if !found && line.trim_end() == named {
            found = true;
            out.push_str(&state);
        }
    }
    if !found {
        out.push_str(&format!("\n{named}\n{state}"));
    }
    out
}

fn one_line(text: &str) -> String {
    let clean = message::clean(text).replace('@', "");
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The state of the fix in a commit message; `None` when it names no finding.
pub(super) fn read(message: &str) -> Option<Marker> {
    let message = unfolded(message);
    let value = |name: &str| {
        let mut lines = message.lines();
        lines.find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
    };
    let mut marker = Marker {
        fingerprint: value(FINGERPRINT)?.trim().to_owned(),
        object: value(TARGET).map(object).unwrap_or_default(),
        ..Marker::default()
    };
    let state = value(STATE).unwrap_or_default();
    let (fields, scope) = state.split_once("scope=").unwrap_or((state, ""));
    marker.scope = scope.trim().to_owned();
    for (name, value) in fields.split_whitespace().filter_map(|f| f.split_once('=')) {
        match name {
            "key" => marker.key = value.to_owned(),
            "target" => marker.target = value.to_owned(),
            "change" => marker.change = value.to_owned(),
            "result" => marker.result = value.to_owned(),
            _ => {}
        }
    }
    Some(marker)
}

/// `Deployment/shop/cart` as markers have it: `Deployment shop/cart`.
fn object(target: &str) -> String {
    let parts: Vec<&str> = target.trim().split('/').collect();
    match parts.as_slice() {
        [kind, "-", name] => format!("{kind} {name}"),
        [kind, namespace, name] => format!("{kind} {namespace}/{name}"),
        _ => String::new(),
    }
}

/// Whether a commit is ours: we are its author, nobody amended or rebased it, and it names its
/// finding. Everything else on a branch belongs to people.
pub(super) fn is_ours(commit: &CommitFacts, me: &Actor) -> bool {
    let author = commit.author.as_ref().is_some_and(|a| a.id == me.id);
    let committer = commit.committer.as_ref();
    let committed = committer.is_none_or(|c| c.id == me.id || c.id == WEB_FLOW);
    author && committed && commit.parents.len() == 1 && read(&commit.message).is_some()
}

/// Takes over what the commit says about its fix.
pub(super) fn overlay(marker: &mut Marker, commit: &CommitFacts) {
    let Some(said) = read(&commit.message) else {
        return;
    };
    let fill = |to: &mut String, from: String| {
        if !from.is_empty() {
            *to = from;
        }
    };
    fill(&mut marker.fingerprint, said.fingerprint);
    fill(&mut marker.object, said.object);
    fill(&mut marker.key, said.key);
    fill(&mut marker.target, said.target);
    fill(&mut marker.change, said.change);
    fill(&mut marker.result, said.result);
    fill(&mut marker.scope, said.scope);
    marker.base = commit.parents.first().cloned().unwrap_or_default();
    remember(marker);
}

/// Remembers the fix that a marker tells about as one that was proposed.
pub(super) fn remember(marker: &mut Marker) {
    const MOST: usize = 20;
    let id = identity::fix_id(&marker.target, &marker.change, &marker.result);
    if !marker.trees.contains(&id) {
        marker.trees.push(id);
        let extra = marker.trees.len().saturating_sub(MOST);
        marker.trees.drain(..extra);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MESSAGE: &str = "fix(k8s): x\n\nwhy\n\nKubemend-Fingerprint: 3f9c1a2b7d10\nKubemend-Target: Deployment/shop/cart\nSigned-off-by: k <k@x>\n";

    fn marker() -> Marker {
        Marker {
            fingerprint: "3f9c1a2b7d10".into(),
            object: "Deployment shop/cart".into(),
            key: "k1".into(),
            target: "t1".into(),
            change: "c1".into(),
            result: "r1".into(),
            scope: "cluster eu west".into(),
            ..Marker::default()
        }
    }

    #[test]
    fn a_commit_tells_what_its_marker_would() {
        let message = with_state(MESSAGE, &marker());
        insta::assert_snapshot!(message, @r"
        fix(k8s): x

        why

        Kubemend-Fingerprint: 3f9c1a2b7d10
        Kubemend-State: key=k1 target=t1 change=c1 result=r1 scope=cluster eu west
        Kubemend-Target: Deployment/shop/cart
        Signed-off-by: k <k@x>
        ");
        assert_eq!(read(&message).unwrap(), marker());
        let bare = with_state("fix", &marker());
        assert_eq!(read(&bare).unwrap().key, "k1");
        assert_eq!(read("fix: something else"), None);
    }

    /// Scorecard 35: no line is longer than linters allow, and what is folded is read back.
    #[test]
    fn long_trailers_are_folded() {
        for scope in [
            "cluster eu west".repeat(9),
            "größe ".repeat(40) + "x",
            "x".repeat(200),
        ] {
            let marker = Marker {
                scope,
                key: "k".repeat(90),
                ..marker()
            };
            let message = with_state(MESSAGE, &marker);
            assert!(
                message.lines().all(|l| l.chars().count() <= 100),
                "{message}"
            );
            assert_eq!(read(&message).unwrap(), marker);
        }
    }

    #[test]
    fn an_amended_commit_is_not_ours() {
        let actor = |id| Actor {
            id,
            ..Actor::default()
        };
        let commit = |author, committer: Option<u64>, parents: usize, message: &str| CommitFacts {
            sha: "a".into(),
            tree: "t".into(),
            parents: vec!["p".to_owned(); parents],
            message: message.to_owned(),
            committed_at: jiff::Timestamp::UNIX_EPOCH,
            author: Some(actor(author)),
            committer: committer.map(actor),
            verified: false,
        };
        let ours = |c: CommitFacts| is_ours(&c, &actor(1));
        assert!(ours(commit(1, Some(1), 1, MESSAGE)));
        assert!(ours(commit(1, Some(WEB_FLOW), 1, MESSAGE)));
        assert!(ours(commit(1, None, 1, MESSAGE)));
        assert!(!ours(commit(2, Some(1), 1, MESSAGE)), "another author");
        assert!(!ours(commit(1, Some(2), 1, MESSAGE)), "amended");
        assert!(!ours(commit(1, Some(1), 2, MESSAGE)), "a merge");
        assert!(!ours(commit(1, Some(1), 1, "fix: by hand with our token")));
    }
}
