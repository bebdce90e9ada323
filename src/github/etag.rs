//! Answers that are kept, so that asking again is free where nothing changed. Bounded, and compressed: JSON takes a
//! tenth of its room. One cache belongs to one installation: what one may read, another may not.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::answer::Answer;
use crate::pack;

/// The most answers, the largest one, and all of them together as they are kept.
const MAX_ANSWERS: usize = 1_000;
const MAX_ANSWER: usize = 1 << 20;
const MAX_ALL: usize = 16 << 20;

/// The headers that somebody asks for in an answer that is kept.
const HEADERS: [&str; 2] = ["link", "x-github-request-id"];

/// Kept answers, by address and accepted format.
#[derive(Default)]
pub(super) struct Cache {
    kept: HashMap<String, Kept>,
    size: usize,
    clock: u64,
}

struct Kept {
    etag: String,
    /// Without its body.
    answer: Answer,
    body: Vec<u8>,
    /// Bytes of the body before it was compressed.
    length: usize,
    used: u64,
}

impl Cache {
    /// What was answered last time, with its tag.
    pub(super) fn get(&mut self, key: &str) -> Option<(String, Answer)> {
        self.clock += 1;
        let kept = self.kept.get_mut(key)?;
        kept.used = self.clock;
        let answer = Answer {
            body: pack::unpack(&kept.body, kept.length)?.into(),
            ..kept.answer.clone()
        };
        Some((kept.etag.clone(), answer))
    }

    /// Keeps an answer that has a tag; the ones that were not used for longest make room.
    pub(super) fn put(&mut self, key: &str, answer: &Answer) {
        self.forget(key);
        let Some(etag) = answer.header("etag").map(str::to_owned) else {
            return;
        };
        if answer.body.len() > MAX_ANSWER {
            return;
        }
        let Some(body) = pack::pack(&answer.body) else {
            return;
        };
        self.clock += 1;
        self.size += body.len();
        let kept = Kept {
            etag,
            answer: head(answer),
            body,
            length: answer.body.len(),
            used: self.clock,
        };
        self.kept.insert(key.to_owned(), kept);
        while self.kept.len() > MAX_ANSWERS || self.size > MAX_ALL {
            let oldest = self.kept.iter().min_by_key(|(_, k)| k.used);
            match oldest.map(|(key, _)| key.clone()) {
                Some(key) => self.forget(&key),
                None => break,
            }
        }
    }

    fn forget(&mut self, key: &str) {
        if let Some(old) = self.kept.remove(key) {
            self.size = self.size.saturating_sub(old.body.len());
        }
    }
}

/// A copy of its own, without the body: what an answer holds are views of the buffer that the connection was read
/// into, and would hold all of it.
fn head(answer: &Answer) -> Answer {
    let header = |name: &&'static str| {
        let value = answer.headers.get(*name)?;
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    Answer {
        status: answer.status,
        headers: HEADERS.iter().filter_map(header).collect::<HeaderMap>(),
        body: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(etag: Option<&str>, size: usize) -> Answer {
        let mut headers = http::HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert("etag", etag.parse().unwrap());
        }
        Answer {
            status: http::StatusCode::OK,
            headers,
            body: vec![b'x'; size].into(),
        }
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut cache = Cache::default();
        let mut dice = 7_u64;
        for n in 0..20 {
            let mut large = answer(Some("e"), 0);
            let noise: Vec<u8> = std::iter::repeat_with(|| {
                // xorshift: nothing that can be packed
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                dice.to_le_bytes()[3]
            })
            .take(MAX_ANSWER)
            .collect();
            large.body = noise.into();
            cache.put(&n.to_string(), &large);
            assert!(cache.get("0").is_some(), "in use");
        }
        assert!(cache.size <= MAX_ALL);
        assert!(
            (14..=16).contains(&cache.kept.len()),
            "noise stays as large"
        );
        assert!(cache.get("1").is_none());
        assert!(cache.get("19").is_some());
        for n in 0..3_000 {
            cache.put(&format!("s{n}"), &answer(Some("e"), 1));
        }
        assert_eq!(cache.kept.len(), MAX_ANSWERS);
    }

    #[test]
    fn what_is_kept_comes_back_and_takes_less_room() {
        let mut cache = Cache::default();
        let mut first = answer(Some("e"), 0);
        let one = r#"{"id": 1, "user": {"login": "alice"}, "body": "a comment"},"#;
        first.body = one.repeat(2_000).into();
        cache.put("a", &first);
        assert!(cache.size * 10 < first.body.len(), "{}", cache.size);
        assert_eq!(cache.get("a").unwrap().1.body, first.body);
    }

    #[test]
    fn what_is_kept_holds_nothing_else() {
        let mut cache = Cache::default();
        let buffer = Bytes::from(vec![b'x'; MAX_ANSWER]);
        let mut first = answer(Some("e"), 0);
        first.body = buffer.slice(..10);
        first
            .headers
            .insert("link", HeaderValue::from_static("next"));
        first
            .headers
            .insert("server", HeaderValue::from_static("s"));
        cache.put("a", &first);
        drop(first);
        assert!(buffer.is_unique());
        let (_, kept) = cache.get("a").unwrap();
        assert_eq!(kept.body, buffer.slice(..10));
        assert_eq!(kept.header("link"), Some("next"));
        assert_eq!(kept.header("server"), None);
    }

    #[test]
    fn an_answer_without_a_tag_replaces_the_old_one_and_is_not_kept() {
        let mut cache = Cache::default();
        cache.put("a", &answer(Some("e1"), 10));
        assert_eq!(cache.get("a").unwrap().0, "e1");
        cache.put("a", &answer(None, 10));
        assert!(cache.get("a").is_none());
        cache.put("big", &answer(Some("e"), MAX_ANSWER + 1));
        assert!(cache.get("big").is_none());
        assert_eq!(cache.size, 0);
    }
}
