//! The hidden state in a body or comment: `<!-- kubemend:v1 <base64url(json)>.<hmac> -->`. Pure.
//!
//! Everybody with write access can edit a body, so the marker is signed where a key is configured.
//! A marker that is unsigned, or whose signature is wrong, is only a hint: everything in it can be
//! rebuilt from the branch, the commit trailers and the next run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Marker {
    /// What kind of thing carries it.
    pub what: What,
    /// The finding's key (see `decide::Wanted::key`); empty for the dashboard.
    pub key: String,
    /// The finding where it is mended; empty for questions and the dashboard.
    pub fingerprint: String,
    /// Which runs report it: `manifests`, or `cluster` and its name.
    pub scope: String,
    /// What is written (see `identity::target_key`).
    pub target: String,
    /// What a close says no to (see `identity::change_key`).
    pub change: String,
    /// What the change makes of the places (see `identity::result_key`).
    pub result: String,
    /// The object that fails: `Deployment shop/cart`.
    pub object: String,
    /// kubemend's version.
    pub version: String,
    /// The base commit of the change.
    pub base: String,
    /// The head commit that kubemend wrote; another head means that a human pushed.
    pub head: String,
    /// Digest of the evidence.
    pub evidence: String,
    /// Hash of title and body without the marker, as written: no write when it is unchanged.
    pub body: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Fixes that were proposed here so far (see `identity::fix_id`): one that comes back is a loop.
    pub trees: Vec<String>,
    /// Labels that kubemend set; the rest belongs to people.
    pub labels: Vec<String>,
    /// Other findings that this pull request mends too.
    pub also: Vec<String>,
    /// Why kubemend closed it; absent when it did not.
    pub closed: Option<ClosedBecause>,
    /// Pull requests that this one replaces.
    pub replaces: Vec<u64>,
    /// Since when the workload was seen healthy, and how often.
    pub healthy: Option<Healthy>,
    /// Since when it is a draft because it looks resolved.
    pub retired: Option<Timestamp>,
    /// Topics of the notices that were given here.
    pub told: Vec<String>,
    /// What this comment answers: `issue:<id>`, `review_line:<id>`, `review:<id>`, `box:<name>`.
    pub answers: Option<String>,
    /// The topic of a sticky comment.
    pub topic: Option<String>,
    /// The dashboard only: paused by whom, until when.
    pub paused: Option<Paused>,
    /// Ignored until: absent when not ignored, the far future for ever.
    pub ignored_until: Option<Timestamp>,
    /// The text of hints that this attempt took into account.
    pub hints: Vec<String>,
    /// Values that people answered with, `KEY=VALUE`.
    pub set: Vec<String>,
    /// The option that was chosen, from 1.
    pub chosen: Option<usize>,
}

/// What carries a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A fix.
    #[default]
    Fix,
    /// A revert of a fix.
    Revert,
    /// A question.
    Question,
    /// The dashboard.
    Dashboard,
    /// A comment.
    Comment,
}

/// Why kubemend closed something itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBecause {
    /// The workload is healthy again, or Git was fixed otherwise.
    Resolved,
    /// Another pull request replaces it.
    Superseded,
    /// A question that was answered.
    Answered,
}

/// Consecutive healthy observations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthy {
    /// The first of them.
    pub since: Timestamp,
    /// How many.
    pub count: u32,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who, by name, for people.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// A key that signs markers.
pub type Key = secrecy::SecretSlice<u8>;

/// What a body says about itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// No marker.
    Absent,
    /// Signed by us.
    Signed(Box<Marker>),
    /// Readable, but without a signature that we can check (no key configured).
    Unsigned(Box<Marker>),
    /// A signature that does not fit, a broken marker, several different markers, or an unknown version.
    Tampered(String),
}

impl Read {
    /// The marker, however far it can be trusted.
    pub fn marker(&self) -> Option<&Marker> {
        match self {
            Self::Signed(m) | Self::Unsigned(m) => Some(m),
            Self::Absent | Self::Tampered(_) => None,
        }
    }
}
