//! Copies of secrets that were found before: whole, trimmed at either end, or encoded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// The most secrets that are remembered.
pub(super) const MAX_KNOWN: usize = 200;

/// How many characters may be missing from a copy, before and behind together.
const TRIMMED: usize = 8;

/// A matcher for every form of every known secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// For each window: the forms that hold it, and where.
    windows: BTreeMap<Vec<u8>, Vec<(Arc<str>, usize)>>,
    matcher: Option<Regex>,
}

impl Known {
    pub(super) fn new(values: &BTreeSet<String>) -> Self {
        let mut index: BTreeMap<Vec<u8>, Vec<(Arc<str>, usize)>> = BTreeMap::new();
        for form in values.iter().flat_map(|v| forms(v)) {
            let form: Arc<str> = form.into();
            for (offset, window) in windows(&form) {
                let places = index.entry(window.as_bytes().to_vec()).or_default();
                if places.len() < MAX_PLACES {
                    places.push((form.clone(), offset));
                }
            }
        }
        Self {
            matcher: matcher(index.keys()),
            windows: index,
        }
    }

    /// Every place that holds a form of a known secret, or most of one.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let Some(matcher) = &self.matcher else {
            return Vec::new();
        };
        matcher
            .find_iter(text)
            .map(|m| self.widen(text, m.range()))
            .collect()
    }

    /// Widens a window's match to all of the secret that stands around it.
    fn widen(&self, text: &[u8], at: Range<usize>) -> Range<usize> {
        let window = text.get(at.clone()).unwrap_or_default();
        let mut widest = at.clone();
        for (form, offset) in self.windows.get(window).into_iter().flatten() {
            let form = form.as_bytes();
            let before = form.get(..*offset).unwrap_or_default().iter().rev();
            let in_front = text.get(..at.start).unwrap_or_default().iter().rev();
            let left = before.zip(in_front).take_while(|(a, b)| a == b).count();
            let behind = form.iter().skip(offset + window.len());
            let after = text.get(at.end..).unwrap_or_default().iter();
            let right = behind.zip(after).take_while(|(a, b)| a == b).count();
            widest.start = widest.start.min(at.start - left);
            widest.end = widest.end.max(at.end + right);
        }
        widest
    }
}

/// How many forms one window may point to; windows that more forms share are no secret's own.
const MAX_PLACES: usize = 8;

fn matcher<'w>(windows: impl Iterator<Item = &'w Vec<u8>>) -> Option<Regex> {
    let escaped: Vec<String> = windows
        .map(|w| regex::escape(&String::from_utf8_lossy(w)))
        .collect();
    if escaped.is_empty() {
        return None;
    }
    RegexBuilder::new(&escaped.join("|"))
        .unicode(false)
        .size_limit(64 << 20)
        .build()
        .ok()
}

/// The pieces of a form of which one is in every copy that lacks at most [`TRIMMED`] characters.
fn windows(form: &str) -> Vec<(usize, &str)> {
    let trim = TRIMMED.min(form.len().saturating_sub(8) / 2);
    let length = form.len() - trim;
    (0..=trim)
        .filter_map(|i| Some((i, form.get(i..i + length)?)))
        .collect()
}

/// The value itself, and the ways in which programs write it.
fn forms(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let mut out = vec![value.to_owned(), hex(bytes), hex(bytes).to_uppercase()];
    for alphabet in [STANDARD, URL_SAFE] {
        out.push(base64(bytes, alphabet));
        // `user:password` and the like: the two other alignments of the same bytes.
        for skip in [1, 2] {
            out.push(base64(bytes.get(3 - skip..).unwrap_or_default(), alphabet));
        }
    }
    let percent = percent(bytes);
    out.extend([percent.to_lowercase(), percent]);
    out.retain(|f| f.len() >= 8);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 of the whole groups of three bytes.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for group in bytes.chunks_exact(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, b| bits << 8 | u32::from(*b));
        for shift in [18, 12, 6, 0] {
            let index = usize::try_from(bits >> shift & 63).unwrap_or_default();
            out.push(alphabet.get(index).copied().map_or('A', char::from));
        }
    }
    out
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(b) {
            out.push(char::from(*b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

/// The text behind base64, if it is one.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let (mut bits, mut have) = (0_u32, 0);
    for b in text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace() && *b != b'=')
    {
        let digit = STANDARD.iter().position(|d| *d == b)?;
        bits = (bits << 6 | u32::try_from(digit).ok()?) & 0xff_ffff;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from(bits >> have & 0xff).ok()?);
        }
    }
    String::from_utf8(out).ok()
}
