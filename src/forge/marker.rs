//! The hidden state in a body or comment: `<!-- kubemend:v1 <base64url(json)>.<hmac> -->`. Pure.
//!
//! Everybody with write access can edit a body, so the marker is signed where a key is configured.
//! A marker that is unsigned, or whose signature is wrong, is only a hint: everything in it can be
//! rebuilt from the branch, the commit trailers and the next run.
//!
//! The JSON is plain ASCII: its base64url then never holds two dashes in a row, which would end the
//! HTML comment. The signature is hexadecimal for the same reason. A signature alone does not say
//! where a marker belongs: [`fits`] refuses one that was copied from somewhere else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::finding::Class;
use crate::forge::identity;
use crate::forge::reporters::{self, Reporter};
use crate::verify::expect::Expected;
use crate::verify::together::Trial;

/// How every marker begins; a version, white space and the data follow.
const OPENING: &str = "<!--";
const CLOSING: &str = "-->";
const NAME: &str = "kubemend:";
const VERSION: &str = "v1";

/// The largest JSON that is written.
const MAX_JSON: usize = 12 << 10;
/// The largest data that is read: a full JSON in base64url, with its signature and room to grow.
const MAX_DATA: usize = 32 << 10;
/// The largest text that is searched. A forge's own limit is far below.
const MAX_TEXT: usize = 1 << 20;
/// The most entries of a list, and the most characters of an entry.
const MAX_ENTRIES: usize = 32;
const MAX_ENTRY: usize = 1_000;

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Marker {
    /// What kind of thing carries it.
    pub what: What,
    /// The repository's numeric id: a marker of another repository says nothing here.
    pub repo: u64,
    /// The issue that carries it; 0 for a pull request, which its branch names, and for an issue
    /// whose number was not known yet.
    pub issue: u64,
    /// The finding's key (see `decide::Wanted::key`); empty for the dashboard.
    pub key: String,
    /// The finding where it is mended; empty for questions and the dashboard.
    pub fingerprint: String,
    /// Which runs opened it: `manifests`, or `cluster` and its name.
    pub scope: String,
    /// The runs that report it, those that came first at the front.
    pub reporters: Vec<Reporter>,
    /// What is written (see `identity::target_key`).
    pub target: String,
    /// What a close says no to (see `identity::change_key`).
    pub change: String,
    /// What the change makes of the places (see `identity::result_key`).
    pub result: String,
    /// The object that fails: `Deployment shop/cart`.
    pub object: String,
    /// How it fails.
    pub class: Option<Class>,
    /// What the cluster shall hold when the change is applied; empty where that is not known.
    pub expects: Vec<Expected>,
    /// A comment about the rollout only: what each cluster remembers between looks.
    pub trials: Vec<Trial>,
    /// kubemend's version.
    pub version: String,
    /// The base commit of the change.
    pub base: String,
    /// The head commit that kubemend wrote; another head means that a human pushed.
    pub head: String,
    /// Hash of title and body without the marker, as written: no write when it is unchanged.
    pub body: String,
    /// What the check on the head said last (see `decide::Checks::mark`).
    pub checked: String,
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
    /// The dashboard only: when it was written last.
    pub beat: Option<Timestamp>,
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
    /// Digest of the options that a question offers (see `identity::options_key`).
    pub options: String,
    /// Since when these options are offered: who chose before chose among others.
    pub offered: Option<Timestamp>,
    /// Digest of the options that were offered when one was chosen.
    pub chosen_of: String,
    /// What was asked for and is not done yet: `recreate@<head>`, `retry@<head>`. It holds only for
    /// that head.
    pub pending: Vec<String>,
}

impl Marker {
    /// Names another finding that the pull request mends. `false`: it did already, or the marker has
    /// no room, and what it cannot keep is not worth a write.
    pub fn name_also(&mut self, ids: [&str; 2]) -> bool {
        let mut more = self.clone();
        let is_new = |id: &&str| !self.also.iter().any(|a| a == id);
        let new = ids.into_iter().filter(is_new).map(str::to_owned);
        more.also.extend(new);
        let kept = serde_json::from_str::<Self>(&packed(&more));
        let fits = kept.is_ok_and(|kept| kept.also == more.also);
        let named = fits && more.also.len() > self.also.len();
        if named {
            self.also = more.also;
        }
        named
    }
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

/// What signs markers. While it is changed there are several: the first signs, each is believed.
#[derive(Debug)]
pub struct Key {
    signs: SecretSlice<u8>,
    former: Vec<SecretSlice<u8>>,
}

impl Key {
    fn all(&self) -> impl Iterator<Item = &[u8]> {
        let former = self.former.iter();
        std::iter::once(&self.signs)
            .chain(former)
            .map(|k| k.expose_secret())
    }
}

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

/// The secrets in a text: separated by commas or line ends.
pub fn secrets(text: &SecretString) -> impl Iterator<Item = &str> {
    let all = text.expose_secret().split([',', '\n']);
    all.map(str::trim).filter(|s| !s.is_empty())
}

/// A key from whatever [`secrets`] are configured, the one that signs first; `None` when there is
/// none, for an empty key protects nothing. A secret itself may sign other things too (deliveries),
/// so it is not used directly.
pub fn key_from(text: &SecretString) -> Option<Key> {
    let derived = |secret: &str| {
        let key = signature(secret.as_bytes(), "kubemend marker key").finalize();
        SecretSlice::from(key.into_bytes().to_vec())
    };
    let mut all = secrets(text).map(derived);
    Some(Key {
        signs: all.next()?,
        former: all.collect(),
    })
}

/// The marker as text: one HTML comment on one line.
pub fn write(marker: &Marker, key: Option<&Key>) -> String {
    let payload = URL_SAFE_NO_PAD.encode(packed(marker));
    match key {
        None => format!("{OPENING} {NAME}{VERSION} {payload} {CLOSING}"),
        Some(key) => {
            let mac = signature(key.signs.expose_secret(), &signed_text(&payload)).finalize();
            let mac: String = mac
                .into_bytes()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            format!("{OPENING} {NAME}{VERSION} {payload}.{mac} {CLOSING}")
        }
    }
}

/// What a body or comment says about itself.
pub fn read(text: &str, key: Option<&Key>) -> Read {
    if text.len() > MAX_TEXT {
        return Read::Tampered("the text is too large".to_owned());
    }
    let mut found = places(text);
    let Some(first) = found.next() else {
        return Read::Absent;
    };
    if found.any(|other| other.raw != first.raw) {
        return Read::Tampered("several different markers".to_owned());
    }
    let Some(raw) = first.raw else {
        return Read::Tampered("a marker without an end".to_owned());
    };
    open(raw, key).unwrap_or_else(|why| Read::Tampered(why.to_owned()))
}

/// The text without its markers: what is compared to know whether it must be written again.
/// Line ends are `\n`, and nothing is left at the end.
pub fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for place in places(text).filter(|p| p.raw.is_some()) {
        out.push_str(text.get(from..place.start).unwrap_or_default());
        from = place.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.replace("\r\n", "\n").trim_end().to_owned()
}

/// Whether a marker belongs where it was found. Somebody who may edit bodies can copy a signed
/// marker from one of our pull requests or repositories into another.
///
/// `head_ref` is the branch of the pull request, or empty for an issue or comment.
pub fn fits(marker: &Marker, repo_id: u64, head_ref: &str) -> bool {
    let here = marker.repo == repo_id;
    match marker.what {
        What::Fix => here && names(head_ref, &marker.fingerprint),
        What::Revert => {
            let digits = identity::reverted_of_branch(head_ref);
            here && digits.is_some() && digits == marker.fingerprint.get(..8)
        }
        What::Question | What::Dashboard | What::Comment => here && head_ref.is_empty(),
    }
}

/// Whether a marker belongs to this very issue of a repository: one that names none yet does.
pub fn fits_issue(marker: &Marker, repo_id: u64, number: u64) -> bool {
    fits(marker, repo_id, "") && (marker.issue == 0 || marker.issue == number)
}

/// A branch of ours ends in the first eight digits of the fingerprint.
fn names(head_ref: &str, fingerprint: &str) -> bool {
    let digits = fingerprint.get(..8);
    let rest = digits.and_then(|digits| head_ref.strip_suffix(digits));
    rest.is_some_and(|rest| rest.ends_with('-'))
}

/// Where a marker stands in a text.
struct Place<'t> {
    start: usize,
    end: usize,
    /// What stands between `kubemend:` and the end; `None` when the comment does not end.
    raw: Option<&'t str>,
}

/// Every comment that says it is a marker, of whatever version. Other comments of ours, such as
/// those of checkboxes, are none.
fn places(text: &str) -> impl Iterator<Item = Place<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text.get(from..)?.find(OPENING)?;
            let inside = start + OPENING.len();
            from = inside;
            let rest = text.get(inside..)?;
            let Some(name) = rest.trim_start().strip_prefix(NAME) else {
                continue;
            };
            if !is_versioned(name) {
                continue;
            }
            let length = rest.find(CLOSING);
            from = length.map_or(text.len(), |l| inside + l + CLOSING.len());
            let raw = length.and_then(|_| name.split(CLOSING).next());
            return Some(Place {
                start,
                end: from,
                raw: raw.map(str::trim),
            });
        }
    })
}

/// `v` and digits, and then no letter that would make it another word.
fn is_versioned(name: &str) -> bool {
    let Some(digits) = name.strip_prefix('v') else {
        return false;
    };
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < digits.len() && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Reads what stands between `kubemend:` and the end.
fn open(raw: &str, key: Option<&Key>) -> Result<Read, &'static str> {
    let (version, data) = raw
        .split_once(char::is_whitespace)
        .ok_or("an empty marker")?;
    match version {
        VERSION => open_v1(data.trim(), key),
        _ => Err("unknown version"),
    }
}

fn open_v1(data: &str, key: Option<&Key>) -> Result<Read, &'static str> {
    if data.len() > MAX_DATA {
        return Err("the marker is too large");
    }
    let (payload, mac) = match data.split_once('.') {
        Some((payload, mac)) => (payload, Some(mac)),
        None => (data, None),
    };
    if let Some(key) = key {
        check(payload, mac.ok_or("the marker is not signed")?, key)?;
    }
    let json = URL_SAFE_NO_PAD
        .decode(payload)
        .map_err(|_| "not base64url")?;
    let marker: Marker = serde_json::from_slice(&json).map_err(|_| "not the JSON of a marker")?;
    Ok(match key {
        Some(_) => Read::Signed(Box::new(marker)),
        None => Read::Unsigned(Box::new(marker)),
    })
}

fn check(payload: &str, mac: &str, key: &Key) -> Result<(), &'static str> {
    let mac = from_hex(mac).ok_or("the signature is not readable")?;
    let text = signed_text(payload);
    // compares in constant time
    let signed = |key: &[u8]| signature(key, &text).verify_slice(&mac).is_ok();
    match key.all().any(signed) {
        true => Ok(()),
        false => Err("the signature is wrong"),
    }
}

fn signed_text(payload: &str) -> String {
    format!("{VERSION}.{payload}")
}

fn signature(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    // only what `write` writes: one spelling for one signature
    let plain = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    if digits.len() != 64 || !digits.iter().all(plain) {
        return None;
    }
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

/// The JSON in ASCII, within its size: the oldest of what people said and of what was tried goes
/// first, the answers to a question last.
fn packed(marker: &Marker) -> String {
    let mut marker = bounded(marker);
    loop {
        let json = ascii_json(&marker);
        if json.len() <= MAX_JSON || !shorten(&mut marker) {
            return json;
        }
    }
}

/// A marker with lists and texts of sane lengths.
fn bounded(marker: &Marker) -> Marker {
    let mut marker = marker.clone();
    // half an answer is a wrong answer
    marker.set.retain(|entry| entry.len() <= MAX_ENTRY);
    for text in texts(&mut marker) {
        cut(text);
    }
    marker.reporters.truncate(reporters::MOST);
    marker.trials.truncate(reporters::MOST);
    for list in lists(&mut marker) {
        list.drain(..list.len().saturating_sub(MAX_ENTRIES));
        list.iter_mut().for_each(cut);
    }
    marker
}

fn texts(marker: &mut Marker) -> Vec<&mut String> {
    let mut all = vec![
        &mut marker.key,
        &mut marker.fingerprint,
        &mut marker.scope,
        &mut marker.target,
        &mut marker.change,
        &mut marker.version,
        &mut marker.base,
        &mut marker.head,
        &mut marker.body,
    ];
    all.extend(marker.answers.as_mut());
    all.extend(marker.topic.as_mut());
    all.extend(marker.paused.as_mut().map(|p| &mut p.by));
    all
}

/// The lists, the most expendable first.
fn lists(marker: &mut Marker) -> [&mut Vec<String>; 5] {
    [
        &mut marker.hints,
        &mut marker.also,
        &mut marker.labels,
        &mut marker.trees,
        &mut marker.set,
    ]
}

/// Drops one entry; `false` when there is none. Half of what is expected would prove too much, half of
/// what failed before would blame too much.
fn shorten(marker: &mut Marker) -> bool {
    let mut baselines = marker.reporters.iter_mut().rev();
    if baselines.any(|r| r.baseline.take().is_some()) {
        return true;
    }
    let told = marker.trials.iter_mut().map(|t| &mut t.says);
    let longest = told.max_by_key(|s| s.len());
    if let Some(longest) = longest.filter(|s| !s.is_empty()) {
        longest.clear();
        return true;
    }
    if !marker.expects.is_empty() {
        marker.expects.clear();
        return true;
    }
    for list in lists(marker) {
        if !list.is_empty() {
            list.remove(0);
            return true;
        }
    }
    let longest = texts(marker).into_iter().max_by_key(|t| t.len());
    longest.is_some_and(|text| {
        let had = !text.is_empty();
        text.clear();
        had
    })
}

fn cut(text: &mut String) {
    if text.len() > MAX_ENTRY {
        let end = (0..=MAX_ENTRY).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
}

fn ascii_json(marker: &Marker) -> String {
    let json = serde_json::to_string(marker).expect("a marker is plain data");
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            // non-ASCII stands only in strings, where JSON takes escapes
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
