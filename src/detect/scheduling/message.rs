//! The scheduler's own words: `0/4 nodes are available: 1 node(s) had untolerated taint {…}, …`.

use std::sync::LazyLock;

use regex::Regex;

/// Why a pod cannot be placed, as one part of the scheduler's message says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Cordoned,
    NodeName,
    Taint(String),
    Selector,
    HostPort,
    Resource(String),
    TooManyPods,
    VolumeConflict,
    VolumeUnavailable,
    UnboundClaims,
    ClaimNotFound(String),
    ClassNotFound(String),
    VolumeNodeAffinity,
    Spread,
    PodAffinity,
    PodAntiAffinity,
    Other(String),
}

/// One part of the message: how many nodes (all, where it gives no number) and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub nodes: Option<u32>,
    pub reason: Reason,
}

/// The whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Number of nodes in the cluster, as the scheduler counted.
    pub total: Option<u32>,
    pub parts: Vec<Part>,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

static HEAD: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?s)^.*?\d+/(\d+) nodes are available: ?(.*)$"));
static PREEMPTION: LazyLock<Regex> = LazyLock::new(|| regex(r"(?s)\.?\s*preemption: .*$"));
static OLD_TAINT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(taint \{[^}]*\}), that the pod didn't tolerate"));
static COUNT: LazyLock<Regex> = LazyLock::new(|| regex(r"^(\d+) (?:node\(s\) )?(.*)$"));
static TAINT: LazyLock<Regex> = LazyLock::new(|| regex(r"taints? \{([^}]*)\}"));
static CLAIM: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"persistentvolumeclaim "([^"]+)" not found"#));
static CLASS: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"storageclass(?:\.storage\.k8s\.io)? "([^"]+)" not found"#));
static INSUFFICIENT: LazyLock<Regex> = LazyLock::new(|| regex(r"Insufficient (\S+)"));

/// Reads a message; folded lines may still be in it.
pub(super) fn read(text: &str) -> Message {
    let flat: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat: String = flat.chars().take(8000).collect();
    let (total, body) = match HEAD.captures(&flat) {
        Some(found) => (
            found.get(1).and_then(|n| n.as_str().parse().ok()),
            found.get(2).map_or("", |b| b.as_str()).to_owned(),
        ),
        None => (None, flat.clone()),
    };
    let body = PREEMPTION.replace(&body, "");
    let body = OLD_TAINT.replace_all(&body, "$1");
    let parts = split(&body).into_iter().filter_map(part).collect();
    Message { total, parts }
}

/// Splits at `, ` outside of braces and quotes.
fn split(body: &str) -> Vec<&str> {
    let (mut out, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0_u32, false);
    for (at, c) in body.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' | '(' => depth += 1,
            '}' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 && !quoted => {
                out.extend(body.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    out.extend(body.get(start..));
    out
}

fn part(text: &str) -> Option<Part> {
    let text = text.trim().trim_end_matches('.');
    if text.is_empty() {
        return None;
    }
    let (nodes, rest) = match COUNT.captures(text) {
        Some(found) => (
            found.get(1).and_then(|n| n.as_str().parse().ok()),
            found.get(2).map_or("", |r| r.as_str()),
        ),
        None => (None, text),
    };
    Some(Part {
        nodes,
        reason: reason(rest),
    })
}

fn reason(text: &str) -> Reason {
    let first = |pattern: &Regex| {
        let found = pattern.captures(text)?;
        Some(found.get(1)?.as_str().trim().to_owned())
    };
    if let Some(claim) = first(&CLAIM) {
        return Reason::ClaimNotFound(claim);
    }
    if let Some(class) = first(&CLASS) {
        return Reason::ClassNotFound(class);
    }
    if let Some(resource) = first(&INSUFFICIENT) {
        return Reason::Resource(resource);
    }
    if let Some(taint) = first(&TAINT) {
        return Reason::Taint(
            taint
                .trim_end_matches(": ")
                .trim_end_matches(':')
                .to_owned(),
        );
    }
    let low = text.to_lowercase();
    let known = PHRASES.iter().find(|(phrase, _)| low.contains(phrase));
    known.map_or_else(|| Reason::Other(text.to_owned()), |(_, make)| make())
}

type Make = fn() -> Reason;

/// Phrases of Kubernetes 1.16 to 1.35, the more specific first.
const PHRASES: &[(&str, Make)] = &[
    ("unbound immediate persistentvolumeclaims", || {
        Reason::UnboundClaims
    }),
    ("untolerated taint", || Reason::Taint(String::new())),
    ("existing pods anti-affinity", || Reason::PodAntiAffinity),
    ("anti-affinity", || Reason::PodAntiAffinity),
    ("pod affinity", || Reason::PodAffinity),
    ("volume node affinity conflict", || {
        Reason::VolumeNodeAffinity
    }),
    ("no available volume zone", || Reason::VolumeNodeAffinity),
    ("node affinity/selector", || Reason::Selector),
    ("match node selector", || Reason::Selector),
    ("didn't match the requested node name", || Reason::NodeName),
    ("didn't match the requested hostname", || Reason::NodeName),
    ("free ports for the requested pod ports", || {
        Reason::HostPort
    }),
    ("topology spread", || Reason::Spread),
    ("too many pods", || Reason::TooManyPods),
    ("were unschedulable", || Reason::Cordoned),
    ("find available persistent volumes", || {
        Reason::VolumeUnavailable
    }),
    ("bound to non-existent", || Reason::VolumeUnavailable),
    ("enough free storage", || Reason::VolumeUnavailable),
    ("max volume count", || Reason::VolumeConflict),
    ("no available disk", || Reason::VolumeConflict),
    ("readwriteoncepod", || Reason::VolumeConflict),
];

impl Message {
    /// The reason that a fix has to remove. The scheduler reports for each node the first filter
    /// that it fails, so a node that fails a late filter has passed the earlier ones: the latest
    /// reason binds. Only taint before selector needs the nodes: `selected_exists` says whether
    /// any node meets the selector.
    pub(super) fn binding(&self, selected_exists: Option<bool>) -> Option<&Reason> {
        let reasons = || self.parts.iter().map(|p| &p.reason);
        let latest = reasons().max_by_key(|r| stage(r))?;
        if *latest == Reason::Selector && selected_exists == Some(true) {
            let earlier = reasons()
                .filter(|r| match r {
                    Reason::Taint(taint) => !taint.is_empty(),
                    reason => **reason == Reason::Cordoned,
                })
                .max_by_key(|r| stage(r));
            return Some(earlier.unwrap_or(latest));
        }
        Some(latest)
    }

    /// All resources that the message calls insufficient.
    pub(super) fn resources(&self) -> Vec<&str> {
        let mut out: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|p| match &p.reason {
                Reason::Resource(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}

/// The order of the scheduler's filters; what concerns the pod as a whole comes last.
fn stage(reason: &Reason) -> (u8, u8) {
    let specific = |taint: &str| {
        u8::from(!taint.starts_with("node.kubernetes.io/"))
            + u8::from(!taint.starts_with("node-role.kubernetes.io/"))
    };
    match reason {
        // a control plane keeps ordinary pods away in every cluster: that explains nothing
        Reason::Taint(taint) if taint.starts_with("node-role.kubernetes.io/") => (0, 0),
        Reason::Other(_) => (0, 1),
        Reason::Cordoned => (1, 0),
        Reason::Taint(taint) => (2, specific(taint)),
        Reason::NodeName => (3, 0),
        Reason::Selector => (4, 0),
        Reason::HostPort => (5, 0),
        Reason::TooManyPods => (6, 0),
        Reason::Resource(name) => (6, 1 + u8::from(name.contains('/'))),
        Reason::VolumeConflict => (7, 0),
        Reason::VolumeUnavailable => (8, 0),
        Reason::VolumeNodeAffinity => (8, 1),
        Reason::Spread => (9, 0),
        Reason::PodAffinity => (10, 0),
        Reason::PodAntiAffinity => (10, 1),
        Reason::UnboundClaims => (11, 0),
        Reason::ClassNotFound(_) => (11, 1),
        Reason::ClaimNotFound(_) => (11, 2),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn binding(text: &str) -> Reason {
        read(text).binding(None).unwrap().clone()
    }

    #[test]
    fn each_phrase_has_its_reason() {
        for (text, reason) in [
            (
                "0/3 nodes are available: 3 Insufficient cpu.",
                Reason::Resource("cpu".into()),
            ),
            (
                "0/3 nodes are available: 3 Insufficient example.com/fpga. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.",
                Reason::Resource("example.com/fpga".into()),
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
                Reason::Selector,
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match node selector.",
                Reason::Selector,
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
                Reason::PodAntiAffinity,
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match pod affinity/anti-affinity rules, 2 node(s) didn't match pod anti-affinity rules.",
                Reason::PodAntiAffinity,
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.",
                Reason::PodAffinity,
            ),
            (
                "0/2 nodes are available: 2 node(s) had taint {team: a}, that the pod didn't tolerate.",
                Reason::Taint("team: a".into()),
            ),
            (
                "0/2 nodes are available: 2 node(s) had untolerated taint {team: a}.",
                Reason::Taint("team: a".into()),
            ),
            (
                "0/2 nodes are available: 2 node(s) had untolerated taint(s).",
                Reason::Taint(String::new()),
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.",
                Reason::HostPort,
            ),
            (
                "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
                Reason::UnboundClaims,
            ),
            (
                "0/2 nodes are available: persistentvolumeclaim \"cart\" not found.",
                Reason::ClaimNotFound("cart".into()),
            ),
            (
                "persistentvolumeclaim \"cart\" not found",
                Reason::ClaimNotFound("cart".into()),
            ),
            (
                "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
                Reason::VolumeNodeAffinity,
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints (missing required label).",
                Reason::Spread,
            ),
            (
                "0/2 nodes are available: 2 Too many pods.",
                Reason::TooManyPods,
            ),
            (
                "0/2 nodes are available: 2 node(s) were unschedulable.",
                Reason::Cordoned,
            ),
            (
                "no nodes available to schedule pods",
                Reason::Other("no nodes available to schedule pods".into()),
            ),
        ] {
            assert_eq!(binding(text), reason, "{text}");
        }
    }

    #[test]
    fn the_latest_filter_binds() {
        let two = "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 node(s) didn't match Pod's node affinity/selector, 1 Insufficient memory.";
        assert_eq!(binding(two), Reason::Resource("memory".into()));
        assert_eq!(read(two).parts.len(), 3);
        assert_eq!(read(two).total, Some(4));
        let taints = "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 node(s) had untolerated taint {team: a}.";
        assert_eq!(binding(taints), Reason::Taint("team: a".into()));
    }

    #[test]
    fn a_selector_that_some_node_meets_leaves_the_taint() {
        let text = "0/3 nodes are available: 1 node(s) had untolerated taint {team: a}, 2 node(s) didn't match Pod's node affinity/selector.";
        assert_eq!(
            *read(text).binding(Some(true)).unwrap(),
            Reason::Taint("team: a".into())
        );
        assert_eq!(*read(text).binding(Some(false)).unwrap(), Reason::Selector);
    }

    #[test]
    fn the_control_plane_explains_nothing() {
        let cordoned = "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 node(s) were unschedulable.";
        assert_eq!(binding(cordoned), Reason::Cordoned);
        let selected = "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector.";
        let reason = read(selected).binding(Some(true)).unwrap().clone();
        assert_eq!(reason, Reason::Cordoned);
    }

    #[test]
    fn folded_and_hostile_texts_are_read() {
        let folded = "0/1 nodes are available: 1 Insufficient\n  cpu.\n";
        assert_eq!(binding(folded), Reason::Resource("cpu".into()));
        for text in [
            "",
            ",",
            "0/ nodes are available: ",
            "999999999999/1 nodes are available: 99999999999999 x",
            "{{{",
            "\"",
            "0/1 nodes are available: é,ü",
        ] {
            let _ = read(text).binding(None);
        }
    }
}
