#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn key(secret: &str) -> Key {
    key_from(&SecretString::from(secret)).unwrap()
}

fn marker() -> Marker {
    Marker {
        what: What::Fix,
        repo: 42,
        key: "aaaa00001111".to_owned(),
        fingerprint: "3f9c1a2b7d10".to_owned(),
        scope: "cluster prod".to_owned(),
        head: "c0ffee".to_owned(),
        attempt: 2,
        trees: vec!["t1".to_owned(), "t2".to_owned()],
        hints: vec!["use 512Mi, größer → 🚀 --> <!-- ~~~>>>".to_owned()],
        set: vec!["memory=512Mi".to_owned()],
        chosen: Some(2),
        closed: Some(ClosedBecause::Resolved),
        healthy: Some(Healthy {
            since: "2026-08-01T10:00:00Z".parse().unwrap(),
            count: 3,
        }),
        ..Marker::default()
    }
}

fn tampered(text: &str, key: Option<&Key>) -> String {
    match read(text, key) {
        Read::Tampered(why) => why,
        other => panic!("{text:?} should be tampered with, is {other:?}"),
    }
}

/// The data of a marker: what stands between the version and the end.
fn data(text: &str) -> String {
    let inner = text.strip_prefix("<!-- kubemend:v1 ").unwrap();
    inner.strip_suffix(" -->").unwrap().to_owned()
}

/// Row 12: while a key is changed, the new one signs, and what the old one signed is believed.
#[test]
fn of_several_keys_the_first_signs_and_each_is_believed() {
    let (old, new) = (key("an old secret"), key("a new secret"));
    for both in [
        "a new secret, an old secret",
        "a new secret\nan old secret\n",
    ] {
        let both = key(both);
        for signed in [write(&marker(), Some(&old)), write(&marker(), Some(&new))] {
            assert_eq!(read(&signed, Some(&both)), Read::Signed(Box::new(marker())));
        }
        let signed = write(&marker(), Some(&both));
        assert_eq!(read(&signed, Some(&new)), Read::Signed(Box::new(marker())));
        assert_eq!(tampered(&signed, Some(&old)), "the signature is wrong");
        let foreign = write(&marker(), Some(&key("another secret")));
        assert_eq!(tampered(&foreign, Some(&both)), "the signature is wrong");
    }
    assert!(key_from(&SecretString::from(" ,\n, ")).is_none());
}

#[test]
fn what_is_written_is_read_back() {
    let key = key("secret");
    let signed = write(&marker(), Some(&key));
    assert_eq!(
        read(&signed, Some(&key)),
        Read::Signed(Box::new(marker())),
        "{signed}"
    );
    let unsigned = write(&marker(), None);
    assert_eq!(read(&unsigned, None), Read::Unsigned(Box::new(marker())));
    // who has no key can still read a signed one, as a hint
    assert_eq!(read(&signed, None), Read::Unsigned(Box::new(marker())));
    assert_eq!(read("a body\n\n- [ ] a box", Some(&key)), Read::Absent);
}

#[test]
fn a_forge_may_change_line_ends_and_spaces() {
    let key = key("secret");
    let signed = data(&write(&marker(), Some(&key)));
    for text in [
        format!("body\r\n\r\n<!-- kubemend:v1 {signed} -->\r\n"),
        format!("<!--kubemend:v1 {signed}-->"),
        format!("<!--\r\nkubemend:v1\r\n{signed}\r\n-->tail"),
    ] {
        assert_eq!(read(&text, Some(&key)), Read::Signed(Box::new(marker())));
    }
}

/// Scorecard row 12: state that was tampered with is refused, and so rebuilt.
#[test]
fn every_change_of_a_signed_marker_is_seen() {
    let key = key("secret");
    let text = write(&marker(), Some(&key));
    let data = data(&text);
    for at in 0..data.len() {
        for with in ["A", "b", "_", "0", ""] {
            let mut changed = data.clone();
            changed.replace_range(at..=at, with);
            if changed != data {
                tampered(&format!("<!-- kubemend:v1 {changed} -->"), Some(&key));
            }
        }
    }
}

/// Scorecard row 12.
#[test]
fn a_marker_that_is_not_ours_is_refused_and_says_why() {
    let ours = key("secret");
    let signed = write(&marker(), Some(&ours));
    let payload = data(&write(&marker(), None));
    let other = write(&marker(), Some(&key("other")));
    let many = format!("{signed}\n{}", write(&Marker::default(), Some(&ours)));
    let huge = "A".repeat(MAX_DATA + 1);
    let cases = [
        ("another key", other),
        ("no signature", write(&marker(), None)),
        (
            "an empty signature",
            format!("<!-- kubemend:v1 {payload}. -->"),
        ),
        (
            "a short signature",
            format!("<!-- kubemend:v1 {payload}.00ff -->"),
        ),
        (
            "upper case",
            signed.to_uppercase().replace("KUBEMEND:V", "kubemend:v"),
        ),
        ("a next version", signed.replace(":v1", ":v2")),
        ("no data", "<!-- kubemend:v1 -->".to_owned()),
        ("no end", signed.replace("-->", "")),
        ("two different ones", many),
        ("too much data", format!("<!-- kubemend:v1 {huge} -->")),
        ("too much text", format!("{}{signed}", " ".repeat(MAX_TEXT))),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(what, text)| format!("{what}: {}", tampered(text, Some(&ours))))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @"
    another key: the signature is wrong
    no signature: the marker is not signed
    an empty signature: the signature is not readable
    a short signature: the signature is not readable
    upper case: the signature is not readable
    a next version: unknown version
    no data: an empty marker
    no end: a marker without an end
    two different ones: several different markers
    too much data: the marker is too large
    too much text: the text is too large
    ");
    let broken = ["%%%".to_owned(), URL_SAFE_NO_PAD.encode("[1")];
    let said = broken.map(|data| tampered(&format!("<!-- kubemend:v1 {data} -->"), None));
    assert_eq!(said, ["not base64url", "not the JSON of a marker"]);
}

#[test]
fn the_same_marker_twice_is_one() {
    let key = key("secret");
    let text = write(&marker(), Some(&key));
    let twice = format!("{text}\nquoted by somebody\n{text}");
    assert_eq!(read(&twice, Some(&key)), Read::Signed(Box::new(marker())));
}

#[test]
fn other_comments_are_no_markers() {
    for text in [
        "<!-- kubemend:box retry -->",
        "<!-- kubemend:verify -->",
        "<!-- kubemend:v -->",
        "<!-- kubemend:v1x -->",
        "<!-- renovate-debug:eyJ -->",
        "kubemend:v1 eyJ -->",
        "<!--",
    ] {
        assert_eq!(read(text, None), Read::Absent, "{text}");
        assert_eq!(strip(text), text);
    }
}

#[test]
fn what_a_later_version_adds_is_ignored_and_what_an_earlier_one_lacked_is_empty() {
    let key = key("secret");
    let sign = |json: &str| {
        let payload = URL_SAFE_NO_PAD.encode(json);
        let mac = signature(key.signs.expose_secret(), &signed_text(&payload)).finalize();
        let mac: String = mac
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("<!-- kubemend:v1 {payload}.{mac} -->")
    };
    let text = sign(r#"{"what":"question","key":"k","brand_new":{"a":[1]}}"#);
    let expected = Marker {
        what: What::Question,
        key: "k".to_owned(),
        ..Marker::default()
    };
    assert_eq!(read(&text, Some(&key)), Read::Signed(Box::new(expected)));
    // a kind that we do not know decides nothing
    tampered(&sign(r#"{"what":"sculpture"}"#), Some(&key));
}

#[test]
fn a_key_needs_a_secret_and_is_not_the_secret() {
    assert!(key_from(&SecretString::from(" \n")).is_none());
    let key = key("s3cret\n");
    assert_eq!(key.signs.expose_secret().len(), 32);
    assert_ne!(key.signs.expose_secret(), b"s3cret");
    assert!(!format!("{key:?}").contains("s3cret"));
}

/// A person with write access can copy a signed marker to another place; it does not fit there.
#[test]
fn a_marker_fits_only_where_it_was_written() {
    let fix = marker();
    assert!(fits(&fix, 42, "kubemend/prod/deployment-api-oom-3f9c1a2b"));
    for (repo, branch) in [
        (43, "kubemend/prod/deployment-api-oom-3f9c1a2b"),
        (42, "kubemend/prod/deployment-api-oom-3f9c1a2c"),
        (42, "kubemend/prod/deployment-api-oom3f9c1a2b"),
        (42, "3f9c1a2b"),
        (42, ""),
    ] {
        assert!(!fits(&fix, repo, branch), "{repo} {branch}");
    }
    let nameless = Marker {
        fingerprint: String::new(),
        ..fix.clone()
    };
    assert!(!fits(&nameless, 42, "kubemend/prod/deployment-api-"));
    let question = Marker {
        what: What::Question,
        ..fix
    };
    assert!(fits(&question, 42, ""));
    assert!(!fits(
        &question,
        42,
        "kubemend/prod/deployment-api-oom-3f9c1a2b"
    ));
    assert!(!fits(&question, 7, ""));
}

#[test]
fn a_body_is_the_same_with_and_without_its_marker() {
    let body = "# Title\n\nText <!-- kept --> more";
    let text = format!("{body}\n\n{}\n", write(&marker(), Some(&key("k"))));
    assert_eq!(strip(&text), body);
    assert_eq!(strip(&text.replace('\n', "\r\n")), body);
    assert_eq!(strip(body), body);
    // a comment that does not end hides the rest: it stays, so that the body counts as changed
    let broken = format!("{body}\n<!-- kubemend:v1 abc");
    assert_eq!(strip(&broken), broken);
}

#[test]
fn a_marker_stays_small_and_keeps_the_answers_longest() {
    let long = |n: usize| vec!["ü".repeat(3_000); n];
    let big = Marker {
        hints: long(100),
        trees: long(100),
        labels: long(100),
        also: long(100),
        set: (0..40)
            .map(|n| format!("key{n}=value"))
            .chain(["long=".to_owned() + &"x".repeat(2_000)])
            .collect(),
        key: "k".repeat(100_000),
        ..marker()
    };
    let key = key("secret");
    let text = write(&big, Some(&key));
    assert!(text.len() < 17_000, "{}", text.len());
    let Read::Signed(read) = read(&text, Some(&key)) else {
        panic!("not readable");
    };
    let expected: Vec<String> = (8..40).map(|n| format!("key{n}=value")).collect();
    assert_eq!(read.set, expected);
    assert_eq!(read.fingerprint, big.fingerprint);
    assert_eq!(read.chosen, big.chosen);
}

fn some_marker() -> impl Strategy<Value = Marker> {
    let words = || proptest::collection::vec(".{0,40}", 0..4);
    (
        (any::<u64>(), ".*", "[0-9a-f]{12}", any::<u32>()),
        (words(), words(), words(), proptest::option::of(0usize..9)),
        proptest::option::of(".{0,30}"),
    )
        .prop_map(
            |((repo, key, fingerprint, attempt), (hints, set, labels, chosen), answers)| Marker {
                repo,
                key: key.chars().take(80).collect(),
                fingerprint,
                attempt,
                hints,
                set,
                labels,
                chosen,
                answers,
                ..Marker::default()
            },
        )
}

proptest! {
    #[test]
    fn every_marker_comes_back_from_any_body(m in some_marker(), before in "[^<]{0,200}", after in "[^<]{0,200}") {
        let key = key("secret");
        for (text, expected) in [
            (write(&m, Some(&key)), Read::Signed(Box::new(m.clone()))),
            (write(&m, None), Read::Unsigned(Box::new(m.clone()))),
        ] {
            let inner = text.strip_prefix("<!--").unwrap().strip_suffix("-->").unwrap();
            prop_assert!(!inner.contains("--"), "{}", text);
            prop_assert!(text.is_ascii() && !text.contains('\n'));
            let body = format!("{before}{text}{after}");
            if matches!(expected, Read::Signed(_)) {
                prop_assert_eq!(read(&body, Some(&key)), expected);
            } else {
                let back = read(&body, None);
                prop_assert_eq!(back.marker(), expected.marker());
            }
            let plain = format!("{before}{after}").replace("\r\n", "\n");
            prop_assert_eq!(strip(&body), plain.trim_end());
        }
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in "(<!--|-->|kubemend:|v1|v2| |\r\n|[A-Za-z0-9_.-]{0,8}|ü){0,40}") {
        let _ = read(&text, Some(&key("k")));
        let _ = read(&text, None);
        let _ = strip(&text);
    }

    #[test]
    fn nobody_signs_without_the_key(m in some_marker(), other in "[a-z]{1,20}") {
        let text = write(&m, Some(&key(&other)));
        prop_assert!(matches!(read(&text, Some(&key("SECRET"))), Read::Tampered(_)));
    }
}
