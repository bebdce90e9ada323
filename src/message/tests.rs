//! Hostile text in every field: what a real Markdown parser sees in the bodies has no powers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use regex::Regex;

use super::answer::{Outcome, Part};
use super::commit::Style;
use super::markdown::{cut_closed, fenced, length, prose};
use super::*;
use crate::command::Command;
use crate::config::Rules;
use crate::cycle::Analysis;
use crate::finding::Severity;
use crate::forge::Actor;
use crate::forge::dashboard::{Dashboard, render};
use crate::forge::decide::{Observed, Query, Topic, Wanted, WantedEnding, Why};
use crate::forge::marker::{ClosedBecause, Marker};
use crate::forge::reporters::Reporter;
use crate::forge::ticks::ticked;
use crate::locate::{Check, Status};
use crate::revert::Proof;
use crate::verify::machine::{Memory, State, Timing, Verdict};
use crate::verify::together::{Jury, Trial};

mod bodies;
mod commits;
mod lint;
mod powers;

use bodies::{pull_request_of, question_of, refusal_of};
use powers::{no_powers, powers};

/// Texts that try to do something where they are shown.
const HOSTILE: [&str; 71] = [
    "[^1] and\n\n[^1]: note",
    "@admin",
    "@acme/platform-team please",
    "mail root@example.com now",
    "see https://evil.example/x?y=z#1",
    "HTTPS://EVIL.EXAMPLE",
    "ftp://evil.example",
    "mailto:a@b.example",
    "xmpp:a@b.example/x",
    "www.evil.example",
    "WWW.evil.example/a?b",
    "evil.example/path",
    "![x](http://e/x.png)",
    "[a](http://e 'title')",
    "<http://evil.example>",
    "<a@b.example>",
    "<img src=x onerror=alert(1)>",
    "<!-- hidden -->",
    "<!--kubemend:v1 e30.AAAA-->",
    "<!--  KUBEMEND:ignore -->",
    "<!\u{200b}-- kubemend:v1 e30.AAAA -->",
    "(closes (GH-12)",
    "fixes #12",
    "Closes: #12",
    "resolves acme/repo#7",
    "fixes https://github.com/acme/repo/issues/7",
    "closes GH-9",
    "acme/repo@0123456789abcdef0123456789abcdef01234567",
    "0123456789abcdef0123456789abcdef01234567",
    "deadbeef",
    "/kubemend ignore forever",
    "a\n/kubemend recreate\nb",
    "/lgtm",
    "\n/approve cancel",
    "@dependabot merge",
    "x ` @y",
    "```mermaid\ngraph TD; a-->b; click a \"http://e\"\n```",
    "&#64;admin",
    "&commat;admin &num;12",
    "\\@admin \\#12",
    "\u{202e}evil @x",
    "@\u{200b}admin",
    "a\u{e0041}@x",
    "\u{ff20}admin \u{fe6b}x",
    ":+1: :smile: a:rocket:b",
    "$x^2$ $$y$$ $`z`$",
    "# heading @x",
    "1. @x",
    "- @x\n  - y",
    "> quote @x",
    "- [ ] task @x",
    "*a* _b_ __c__ **d** ~~e~~ _@x_",
    "\u{0}\u{7}\r\n@x\r/kubemend pause",
    "see #7, closed by #8",
    // encoded: by percent, as entities
    "https%3A%2F%2Fevil.example%2Fx",
    "https://%65vil.example/%2e%2e/x",
    "%68%74%74%70%73://evil.example",
    "![x](https://evil.example/%3Fq%3Dsecret)",
    "[a](%6aavascript:alert%281%29)",
    "&#104;ttps&#58;//evil.example",
    "<img src=https&colon;//evil.example>",
    // hosts of other alphabets, and letters that look like ours
    "https://xn--80ak6aa92e.example/",
    "https://\u{440}\u{430}\u{443}\u{440}\u{430}l.example/login",
    "\u{440}\u{430}\u{443}.\u{440}\u{444}",
    "g\u{456}thub.example",
    "githu\u{412}.\u{441}om/acme",
    "https://evil\u{3002}example/x",
    "\u{ff57}\u{ff57}\u{ff57}.evil.example",
    "https\u{ff1a}\u{ff0f}\u{ff0f}evil.example",
    "http\u{73}\u{301}://evil.example",
    "[\u{430}pple](https://\u{430}pple.example)",
];

/// Texts that do nothing by themselves, but change how the text around them is read, or are what
/// somebody else takes for powers.
const SHAPES: [&str; 26] = [
    "![x][pixel]",
    "[a][ref]",
    "[ref]: http://evil.example/x",
    "[pixel]: <http://evil.example/x.png> \"t\"",
    "<details><summary>x</summary>",
    "</details>",
    "<!-- kubemend:v1 e30.AAAA -->",
    "- [x] <!-- kubemend:recreate -->do it",
    "  * [X] <!-- kubemend:approve=3f9c1a2b7d10 -->",
    "x\nKubemend-State: key=k target=t change=c result=r",
    "a `b @c` d",
    "``` @x",
    "~~~\n@x\n~~~",
    "``````````\n# @x",
    "a | b | c",
    "|---|---|",
    "a\\|b|c",
    "heading\n===",
    "heading\n---",
    "[!WARNING] x",
    "javascript:alert(1)",
    "data:text/html;base64,PHNjcmlwdD4=",
    "`` `@x` ``",
    "a`@x`b`https://e`c",
    "%40admin %23 12 %3Cimg src=x%3E",
    "www\u{ff0e}evil\u{ff0e}example",
];

fn payloads() -> impl Iterator<Item = &'static str> {
    HOSTILE.into_iter().chain(SHAPES)
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(payloads().collect::<Vec<_>>()).prop_map(str::to_owned),
        2 => "[ -~]{0,40}",
        1 => "\\PC{0,30}",
        1 => any::<String>(),
        1 => "[@#<>\\[\\]()!`~*_|\\\\&:/\\-=\n ]{1,24}",
    ];
    let glue = proptest::sample::select(vec![" ", "\n", "", "\r\n", "\t", "`", "\\"]);
    proptest::collection::vec((piece, glue), 1..6).prop_map(|all| {
        all.into_iter()
            .flat_map(|(p, g)| [p, g.to_owned()])
            .collect()
    })
}

/// Scorecard 22; T2 of the threats.
#[test]
fn each_hostile_text_loses_its_powers() {
    for text in payloads() {
        assert_eq!(
            powers(&prose(text)),
            Vec::<String>::new(),
            "{text:?} -> {:?}",
            prose(text)
        );
        for place in [
            format!("- {}", prose(text)),
            super::markdown::row(&[prose(text), code(text)]),
        ] {
            let table = format!("| a | b |\n|---|---|\n{place}");
            no_powers(&place);
            no_powers(&table);
        }
        for (what, body) in bodies(text) {
            assert_eq!(
                powers(&body),
                Vec::<String>::new(),
                "{what} with {text:?}:\n{body}"
            );
        }
    }
}

/// Where a payload stands in a foreign text.
const POSITIONS: [(&str, &str); 12] = [
    ("", ""),
    ("a ", " b"),
    ("a\n\n", "\n\nb"),
    ("a\r", "\rb"),
    ("- ", ""),
    ("> ", ""),
    ("| a | ", " |"),
    ("    ", ""),
    ("```\na\n```\n", ""),
    ("a ` ", " ` b"),
    ("](", ")"),
    ("\u{200b}", "\u{202c}"),
];

/// Scorecard 22; T2 of the threats at its count: each shape at each position of a text, through
/// everything that shows foreign text.
#[test]
fn hundreds_of_payloads_lose_their_powers_wherever_they_stand() {
    let none = Vec::<String>::new();
    let mut tried = 0;
    for shape in payloads() {
        for (before, after) in POSITIONS {
            let text = format!("{before}{shape}{after}");
            tried += 1;
            for shown in [prose(&text), code(&text), fenced("text", &text, 10_000)] {
                assert_eq!(powers(&shown), none, "{text:?} -> {shown:?}");
            }
            for (what, body) in bodies(&text) {
                assert_eq!(powers(&body), none, "{what} with {text:?}:\n{body}");
            }
        }
    }
    assert!(tried >= 300, "{tried}");
}

/// T2 of the threats: a fence of any length is no way out of a block, and opens none.
#[test]
fn fences_of_every_length_open_and_close_nothing() {
    let none = Vec::<String>::new();
    for length in 3..=40 {
        for mark in ["`", "~"] {
            let fence = mark.repeat(length);
            for text in [
                format!("{fence}\n@x https://evil.example\n{fence}\n@y"),
                format!("{fence}mermaid\ngraph TD; click a \"https://evil.example\""),
                format!("a\n{fence}\n\n<img src=x>\n\n/kubemend pause"),
                format!("   {fence}\n[a](b)"),
            ] {
                let raw = [text.clone(), format!("{fence}\nx\n{text}\n{fence}")];
                assert!(raw.iter().any(|r| powers(r) != none), "{raw:?}");
                for shown in [prose(&text), code(&text), fenced("text", &text, 10_000)] {
                    assert_eq!(powers(&shown), none, "{text:?} -> {shown:?}");
                    no_powers(&format!("{shown}\n\nb\n"));
                    let after = format!("{shown}\n\n<b>");
                    assert!(powers::is_outside_code(&after, "<b>"), "{after}");
                }
                for (what, body) in bodies(&text) {
                    assert_eq!(powers(&body), none, "{what} with {text:?}:\n{body}");
                }
            }
        }
    }
}

/// The control of the tests above: as it stands, a hostile text has powers, and a shape has none.
#[test]
fn hostile_texts_have_powers_as_they_stand() {
    for text in HOSTILE {
        assert_ne!(powers(text), Vec::<String>::new(), "{text:?}");
    }
    for text in SHAPES {
        assert_eq!(powers(text), Vec::<String>::new(), "{text:?}");
    }
}

/// What two clusters and the manifests alone report; one of them would mend it in another way.
fn in_clusters(name: &str) -> Marker {
    let at = |text: &str| text.parse().ok();
    let reporter = |scope: String, objects| Reporter {
        scope,
        objects,
        since: at("2026-11-24T12:00:00Z"),
        ..Reporter::default()
    };
    Marker {
        reporters: vec![
            Reporter {
                scope: "manifests".to_owned(),
                ..Reporter::default()
            },
            reporter("cluster prod".to_owned(), 1),
            Reporter {
                instead: format!("fix(k8s): raise it further for {name}"),
                ..reporter(format!("cluster {name}"), 12)
            },
        ],
        ..Marker::default()
    }
}

/// Every body that holds foreign text.
fn bodies(text: &str) -> Vec<(&'static str, String)> {
    let controls = forge::Controls {
        clusters: clusters::list(&in_clusters(text), Timestamp::UNIX_EPOCH),
        workflow_token: true,
        also: vec![text.to_owned()],
        replaces: None,
        hints: vec![text.to_owned()],
    };
    let query = Query {
        title: text.to_owned(),
        body: question_of(text).body,
        options: vec![(text.to_owned(), true), (text.to_owned(), false)],
        keys: vec![text.to_owned()],
    };
    let about = forge::About {
        fingerprint: text,
        by: Some(text),
        base: text,
        head: text,
        ..forge::About::default()
    };
    let mut all = vec![
        (
            "pull request",
            forge::pull_body(&pull_request_of(text).body, &controls, MARKER),
        ),
        ("question", forge::question_body(&query, Some(text), MARKER)),
        ("refusal", refusal_of(text).body),
    ];
    for topic in [
        Topic::Closed,
        Topic::HandsOff,
        Topic::Retargeted,
        Topic::Loop,
        Topic::Resolved,
        Topic::Superseded,
    ] {
        all.push(("notice", forge::notice(topic, &about, MARKER)));
    }
    let files = [text, "apps/web.yaml"].into_iter();
    let proof = Proof {
        breaks: Some(text.to_owned()),
        checks: vec![Check {
            name: text.to_owned(),
            status: Status::Pass,
            detail: text.to_owned(),
        }],
    };
    all.push((
        "revert",
        forge::with_marker(&revert::body(12, text, None, files, &proof), MARKER),
    ));
    all.push(("rollout", forge::with_marker(&rollout_of(text), MARKER)));
    all.push(("answer", forge::with_marker(&answer_with(text), MARKER)));
    all.extend(lists(text, query));
    all
}

/// The rollout in two clusters.
fn rollout_of(text: &str) -> String {
    let scopes = [format!("cluster {text}"), "cluster b".to_owned()];
    let memory = |verdict| Memory {
        verdict: Some(verdict),
        ..Memory::default()
    };
    let bad = memory(Verdict::Regressed(text.to_owned()));
    let trials = [
        Trial::new(&scopes[0], &bad, text),
        Trial::new(&scopes[1], &memory(Verdict::Verified), text),
    ];
    let jury = Jury::of(scopes.iter().map(String::as_str));
    rollout::comment(&rollout::Told {
        commit: text,
        state: &State::Merged,
        evidence: &[("Applied", text.to_owned())],
        timing: &Timing::default(),
        revert: rollout::Revert::Refused(text),
        is_revert: false,
        clusters: Some((&jury, &trials)),
        late: false,
    })
}

/// What commands are answered with.
fn answer_with(text: &str) -> String {
    let command = Command::Retry {
        hint: Some(text.to_owned()),
    };
    let refused = Outcome::Refused {
        code: text.to_owned(),
        reason: text.to_owned(),
    };
    let outcomes = [
        refused,
        Outcome::Unheard(text.to_owned()),
        Outcome::Failed(text.to_owned()),
        Outcome::Left(Why::Refused(text.to_owned())),
    ];
    let mut parts: Vec<String> = outcomes
        .iter()
        .map(|o| answer::explained(text, o, Some(text)))
        .collect();
    parts.push(answer::heard(
        &Command::Revert,
        &Outcome::Failed(text.to_owned()),
        Timestamp::UNIX_EPOCH,
    ));
    parts.push(answer::difference(text));
    answer::answer(&[Part {
        said: answer::said(&command),
        text: parts.join("\n\n"),
    }])
}

/// What tells about many findings: the dashboard, and the question whether to work in a repository.
fn lists(text: &str, query: Query) -> Vec<(&'static str, String)> {
    let refused = WantedEnding::Refused {
        code: text.to_owned(),
        reason: text.to_owned(),
    };
    let wanted = |ending| Wanted {
        key: "aaaa00001111".to_owned(),
        fingerprint: "3f9c1a2b7d10".to_owned(),
        severity: Severity::High,
        namespace: Some(text.to_owned()),
        object: None,
        class: None,
        summary: text.to_owned(),
        failing_since: None,
        ending,
        unheard: Some(text.to_owned()),
    };
    let analysis = Analysis {
        wanted: vec![
            wanted(refused),
            wanted(WantedEnding::Question(Box::new(query))),
        ],
        problems: vec![text.to_owned()],
        ..Analysis::default()
    };
    let scope = format!("cluster {text}");
    let dashboard = Dashboard {
        scope: &scope,
        wanted: &analysis.wanted,
        actions: &[],
        observed: &Observed::default(),
        opened: &BTreeMap::new(),
        rules: &Rules::default(),
        listed: &[],
        problems: &analysis.problems,
        now: Timestamp::UNIX_EPOCH,
    };
    let asked = onboarding::body(&analysis, &Rules::default());
    vec![
        ("dashboard", forge::with_marker(&render(&dashboard), MARKER)),
        ("onboarding", forge::with_marker(&asked, MARKER)),
    ]
}

const MARKER: &str = "<!-- kubemend:v1 e30.c2ln -->";

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Scorecard 22.
    #[test]
    fn no_sentence_has_powers(text in hostile()) {
        prop_assert_eq!(powers(&prose(&text)), Vec::<String>::new(), "{:?}", prose(&text));
        prop_assert_eq!(powers(&code(&text)), Vec::<String>::new(), "{:?}", code(&text));
        let block = fenced("text", &text, 10_000);
        prop_assert_eq!(powers(&block), Vec::<String>::new(), "{}", block);
    }

    /// Scorecard 22 and 38: whatever is in the texts, the body has no powers, one marker, no open
    /// fence, and GitHub takes it.
    #[test]
    fn no_body_has_powers(text in hostile()) {
        let marker = Regex::new("(?i)<!--\\s*kubemend:v1").unwrap();
        for (what, body) in bodies(&text) {
            prop_assert_eq!(powers(&body), Vec::<String>::new(), "{} {}", what, body);
            prop_assert!(length(&body) <= MAX_BODY);
            let markers = marker.find_iter(&body).count();
            prop_assert!(what == "refusal" || body.ends_with(MARKER));
            prop_assert!(markers <= 1, "{}", body);
            prop_assert!(ticked(&body).is_empty(), "{}", body);
        }
    }

    /// Titles and commits have no Markdown at all.
    #[test]
    fn no_title_or_commit_speaks_to_anybody(text in hostile()) {
        let gh = Regex::new("(?i)\\bgh-[0-9]").unwrap();
        let title = pull_request_of(&text).title;
        prop_assert!(!gh.is_match(&title), "{title}");
        prop_assert!(!title.contains(['@', '\n', '<', '`']), "{title}");
        prop_assert!(title.chars().count() <= 200);
        for style in [Style::Conventional, Style::Capital, Style::Plain] {
            let commit = bodies::commit_of(&text, style);
            let subject = commit.lines().next().unwrap_or_default();
            prop_assert!(subject.chars().count() <= commit::MAX_SUBJECT, "{}", subject);
            prop_assert!(!commit.contains(['@', '<', '`', '[']) , "{commit}");
            prop_assert_eq!(commit.matches("Kubemend-Fingerprint: 3f9c1a2b7d10\n").count(), 1);
            prop_assert!(commit.lines().all(|l| !l.starts_with('/')));
            prop_assert!(commit.lines().all(|l| !l.starts_with("Kubemend-State:")), "{commit}");
            prop_assert!(!gh.is_match(&commit), "{commit}");
        }
    }

    /// Scorecard 35: what a linter with the conventional rules says of every commit and title.
    #[test]
    fn a_linter_finds_nothing(text in prop_oneof![hostile(), lint::titles()], number in 1u64..1_000_000) {
        let fix = commit::heading(&pull_request_of(&text).title, Style::Conventional);
        let by = Actor { id: number, login: "kubemend[bot]".to_owned(), bot: true };
        let conventional = bodies::commit_of(&text, Style::Conventional);
        for message in [
            conventional.clone(),
            commit::signed_off(&conventional, &by),
            commit::signed_off_locally(&conventional),
            fix.clone(),
            revert::title(&fix),
            revert::commit(number, &fix, "3f9c1a2b7d10", None),
            onboarding::commit(),
        ] {
            prop_assert_eq!(lint::conventional(&message), [""; 0], "{}", message);
        }
        for style in [Style::Capital, Style::Plain] {
            let fix = commit::heading(&pull_request_of(&text).title, style);
            let revert = revert::commit(number, &fix, "3f9c1a2b7d10", None);
            for message in [bodies::commit_of(&text, style), fix, revert] {
                prop_assert_eq!(lint::lengths(&message), [""; 0], "{}", message);
            }
        }
    }

    /// Scorecard 38.
    #[test]
    fn what_is_cut_is_closed(
        lines in proptest::collection::vec("(```|````text|<details><summary>x</summary>|</details>|[a-z\u{e9}\u{1f600} `]{0,30})", 0..60),
        most in 0usize..900,
    ) {
        let body = lines.join("\n");
        let cut = cut_closed(&body, most);
        prop_assert!(length(&cut) <= most);
        if length(&body) > most && !cut.is_empty() {
            let after = format!("{cut}\n\n<!-- after -->");
            prop_assert!(powers::is_outside_code(&after, "<!-- after -->"), "{after}");
        }
    }
}

/// Scorecard 38: texts of any size, in both ways of counting.
#[test]
fn no_body_is_over_the_limit_and_each_keeps_its_marker() {
    let marker = format!("<!-- kubemend:v1 {}.c2ln -->", "A".repeat(3_000));
    for filler in [
        "word ",
        "\u{1f600} ",
        "@x ",
        "`",
        "```\n",
        "line\n",
        "<details>\n",
        "|",
    ] {
        let long = filler.repeat(80_000 / filler.len());
        for (what, body) in bodies(&long) {
            assert!(
                length(&body) <= MAX_BODY,
                "{what} {filler:?}: {}",
                length(&body)
            );
        }
        let body = forge::pull_body(&long, &forge::Controls::default(), &marker);
        assert!(length(&body) <= MAX_BODY && body.ends_with(&marker));
        assert!(powers::is_outside_code(&body, &marker), "{filler:?}");
    }
}

#[test]
fn what_is_harmless_is_left_as_it_is() {
    for text in [
        "Deployment shop/cart, container cart: was OOMKilled at its memory limit (128Mi)",
        "back-off 5m0s restarting failed container",
        "a_b and FOO_BAR are names; 3 of 4 are ready, 50 % of the limit",
        "use `kubectl get pods` to look",
        "x < 5 and y >= 3",
        "die Größe über 5 — ≤ 6 …",
    ] {
        assert_eq!(prose(text), text);
    }
    assert_eq!(prose("(see @admin)."), "(see `@admin`).");
    assert_eq!(prose("fixes #12, later"), "fixes `#12`, later");
    assert_eq!(code("a`b"), "`a'b`");
    assert_eq!(code(" \u{200b} "), "(empty)");
}

#[test]
fn a_fence_is_longer_than_what_it_holds() {
    let shown = fenced("text", "a\n`````\nb", 100);
    assert!(
        shown.starts_with("``````text\n") && shown.ends_with("\n``````"),
        "{shown}"
    );
}

#[test]
fn long_text_is_cut_between_characters() {
    assert_eq!(
        super::markdown::cut_at_line("\u{e9}\u{e9}\u{e9}", 3),
        "\u{e9}"
    );
    assert_eq!(super::markdown::cut_at_line("ab\ncd\nef", 7), "ab\ncd");
}

/// A log line that another machine would take for a command is moved in.
#[test]
fn commands_in_code_do_not_start_a_line() {
    let shown = fenced("text", "x\n/lgtm\n/kubemend pause", 100);
    assert!(shown.lines().all(|l| !l.starts_with('/')), "{shown}");
}

/// Scorecard 27 and 38: each text as a whole.
#[test]
fn texts_are_complete() {
    let show = |name: &str, text: Text| {
        let body = text.body.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(name, format!("{}\n\n{body}", text.title));
    };
    show("pull_request", pull_request_of("some words of others"));
    show("question", question_of("some words of others"));
    show("refusal", refusal_of("some words of others"));
}

/// Every variant of what stands below a text.
#[test]
fn controls_are_shown() {
    let body = "**x is broken**\n";
    let all = forge::Controls {
        clusters: clusters::list(&in_clusters("eu-west"), Timestamp::UNIX_EPOCH),
        workflow_token: true,
        also: vec!["Deployment shop/web: image not found".to_owned(); 25],
        replaces: Some(12),
        hints: vec!["use the value of staging".to_owned()],
    };
    let none = forge::Controls::default();
    insta::assert_snapshot!("pull_controls", forge::pull_body(body, &all, MARKER));
    insta::assert_snapshot!("pull_controls_plain", forge::pull_body(body, &none, MARKER));
    let query = Query {
        title: "Which image?".to_owned(),
        body: body.to_owned(),
        options: vec![
            ("set the image to web:2.3.1".to_owned(), true),
            ("by hand: another tag".to_owned(), false),
            ("set the image to web:2.3.0".to_owned(), true),
        ],
        keys: vec!["image".to_owned(), "db_password".to_owned()],
    };
    let unheard = Some("the tag latest is not pinned (OutOfBounds)");
    insta::assert_snapshot!(
        "question_controls",
        forge::question_body(&query, unheard, MARKER)
    );
}

/// One text for each topic.
#[test]
fn notices_say_what_happens_and_how_to_go_on() {
    let about = forge::About {
        fingerprint: "3f9c1a2b7d10",
        by: Some("mara"),
        suppress_days: Some(30),
        base: "release-1",
        head: "0123456789abcdef0123",
        earlier: Some(9),
        healthy_since: Some("2026-05-01T12:00:00Z".parse().unwrap()),
        keep_branch_days: 7,
    };
    let topics = [
        Topic::Closed,
        Topic::HandsOff,
        Topic::Retargeted,
        Topic::Loop,
        Topic::Resolved,
        Topic::Superseded,
    ];
    let all = topics.map(|t| format!("== {t:?}\n{}\n", forge::notice(t, &about, MARKER)));
    insta::assert_snapshot!("notices", all.join("\n"));
}

/// No key that names a secret is asked for in a comment.
#[test]
fn a_secret_is_never_asked_for() {
    let query = |keys: &[&str]| Query {
        title: String::new(),
        body: "b".to_owned(),
        options: Vec::new(),
        keys: keys.iter().map(|k| (*k).to_owned()).collect(),
    };
    let open = forge::question_body(&query(&["limits.memory"]), None, MARKER);
    assert!(open.contains("`/kubemend set limits.memory=VALUE`"));
    for key in ["DB_PASSWORD", "apiToken", "secretKeyRef.key"] {
        let body = forge::question_body(&query(&[key]), None, MARKER);
        assert!(!body.contains(key), "{body}");
    }
}

#[test]
fn each_close_says_why() {
    let all: String = [
        forge::closing(ClosedBecause::Resolved, None, 7),
        forge::closing(ClosedBecause::Superseded, Some(12), 7),
        forge::closing(ClosedBecause::Answered, Some(12), 7),
        forge::closing(ClosedBecause::Answered, None, 7),
    ]
    .join("\n");
    insta::assert_snapshot!("closings", all);
}
