#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::config::Rules;
use crate::forge::{Actor, Permission};

fn said(body: &str) -> Vec<String> {
    let show = |c: Result<Command, Mistake>| match c {
        Ok(command) => command.to_string(),
        Err(mistake) => format!("! {mistake}"),
    };
    parse(body).commands.into_iter().map(show).collect()
}

/// Scorecard row 41: what is a command, and what it says.
#[test]
fn commands_are_read_as_they_are_written() {
    let table: &[(&str, &[&str])] = &[
        ("/kubemend help", &["/kubemend help"]),
        ("/kubemend", &["/kubemend help"]),
        ("/KubeMend ReTry", &["/kubemend retry"]),
        ("   /kubemend status  ", &["/kubemend status"]),
        ("/kubemend\tstatus", &["/kubemend status"]),
        ("/kubemend\u{a0}status", &["/kubemend status"]),
        ("Please.\n/kubemend rebase\nThanks", &["/kubemend rebase"]),
        (
            "/kubemend rebase\r\n/kubemend status\r\n",
            &["/kubemend rebase", "/kubemend status"],
        ),
        (
            "/kubemend rebase\r/kubemend status",
            &["/kubemend rebase", "/kubemend status"],
        ),
        (
            "/kubemend retry hint=\"more memory\"",
            &["/kubemend retry hint=\"more memory\""],
        ),
        (
            "/kubemend retry HINT=\"say \\\"hi\\\" \\\\o/\"",
            &["/kubemend retry hint=\"say \\\"hi\\\" \\\\o/\""],
        ),
        (
            "/kubemend retry hint=\u{201c}from a phone\u{201d}",
            &["/kubemend retry hint=\"from a phone\""],
        ),
        (
            "/kubemend retry hint=\"*not* `code` _x_\"",
            &["/kubemend retry hint=\"*not* `code` _x_\""],
        ),
        ("/kubemend choose 2", &["/kubemend choose 2"]),
        (
            "/kubemend set limit.memory=512Mi image=\"a:1\"",
            &["/kubemend set limit.memory=512Mi image=a:1"],
        ),
        ("/kubemend ignore", &["/kubemend ignore"]),
        ("/kubemend ignore Forever", &["/kubemend ignore"]),
        ("/kubemend ignore 7d", &["/kubemend ignore 7d"]),
        ("/kubemend ignore 2W", &["/kubemend ignore 14d"]),
        ("/kubemend ignore 5h", &["/kubemend ignore 5h"]),
        (
            "/kubemend explain nosafefix",
            &["/kubemend explain NoSafeFix"],
        ),
        (
            "/kubemend explain `NoSafeFix`",
            &["/kubemend explain NoSafeFix"],
        ),
        ("/kubemend retry <!-- hint=\"x\" -->", &["/kubemend retry"]),
        // not commands
        ("I said /kubemend pause", &[]),
        ("/kubemendx pause", &[]),
        ("/kubemend: pause", &[]),
        ("@kubemend pause", &[]),
        ("kubemend pause", &[]),
        ("\\/kubemend pause", &[]),
        ("&#47;kubemend pause", &[]),
        ("\u{200b}/kubemend pause", &[]),
        ("/kube\u{200b}mend pause", &[]),
        ("/kubemend\u{200b} pause", &[]),
        ("/\u{3ba}ubemend pause", &[]),
        ("/kube<b></b>mend pause", &[]),
        ("<b>/kubemend pause", &[]),
        ("text\u{2028}/kubemend pause", &[]),
        ("[x]: /kubemend pause", &[]),
        ("", &[]),
    ];
    for (body, commands) in table {
        assert_eq!(said(body), *commands, "{body:?}");
    }
}

/// Scorecard row 41: every mistake is told, with what was probably meant.
#[test]
fn mistakes_are_told() {
    let table = [
        (
            "/kubemend retri",
            "! there is no command `retri`; did you mean `retry`?",
        ),
        ("/kubemend merge", "! there is no command `merge`"),
        ("/kubemend do=x", "! there is no command `do`"),
        ("/kubemend pause now", "! `pause` does not take `now`"),
        (
            "/kubemend retry hnt=\"x\"",
            "! `retry` does not take `hnt`; did you mean `hint`?",
        ),
        ("/kubemend retry hint=a hint=b", "! `hint` is given twice"),
        ("/kubemend retry hint=\"a", "! a quote is not closed"),
        (
            "/kubemend retry hint=\"\"",
            "! `` is not a hint: it is empty",
        ),
        (
            "/kubemend retry hint=\"a\"b",
            "! `a` is not followed by a space after its quote",
        ),
        (
            "/kubemend choose",
            "! `choose` needs the number of an option, like `choose 2`",
        ),
        (
            "/kubemend choose two",
            "! `two` is not the number of an option (1 to 99)",
        ),
        (
            "/kubemend choose 0",
            "! `0` is not the number of an option (1 to 99)",
        ),
        (
            "/kubemend choose -1",
            "! `-1` is not the number of an option (1 to 99)",
        ),
        ("/kubemend choose 1 2", "! `choose` does not take `2`"),
        (
            "/kubemend set",
            "! `set` needs a key and a value, like `set KEY=VALUE`",
        ),
        ("/kubemend set a", "! `set` does not take `a`"),
        ("/kubemend set a=1 a=2", "! `a` is given twice"),
        (
            "/kubemend set a$b=1",
            "! `a$b` is not a key (letters, digits and `._-/`)",
        ),
        (
            "/kubemend ignore 7",
            "! `7` is not a period like `7d`, `12h` or `2w`, or `forever`",
        ),
        (
            "/kubemend ignore 99999d",
            "! `99999d` is not a period like `7d`, `12h` or `2w`, or `forever`",
        ),
        (
            "/kubemend explain NoSafeFx",
            "! `explain` does not take `NoSafeFx`; did you mean `NoSafeFix`?",
        ),
        (
            "/kubemend <b>pause</b>",
            "! there is no command `<b>pause</b>`",
        ),
        (
            "/kubemend pa\u{200b}use",
            "! the line holds invisible characters, so what it says is not what people see",
        ),
        (
            "/kubemend \u{202e}esuap",
            "! the line holds invisible characters, so what it says is not what people see",
        ),
    ];
    for (body, mistake) in table {
        assert_eq!(said(body), [mistake], "{body:?}");
    }
}

#[test]
fn a_mistake_does_not_repeat_a_long_or_hostile_word() {
    let found = said(&format!("/kubemend {}`@admin\u{202e}", "x".repeat(500)));
    assert_eq!(
        found,
        ["! the line holds invisible characters, so what it says is not what people see"]
    );
    let found = said(&format!("/kubemend {}`", "x".repeat(500)));
    assert_eq!(
        found,
        [format!("! there is no command `{}…`", "x".repeat(60))]
    );
}

#[test]
fn at_most_ten_commands_of_a_comment_count() {
    let found = said(&"/kubemend status\n".repeat(50));
    assert_eq!(found.len(), 11);
    assert_eq!(
        found.last().unwrap(),
        "! only the first 10 commands of a comment are read"
    );
}

#[test]
fn long_hints_and_values_are_refused() {
    let hint = |n: usize| parse(&format!("/kubemend retry hint=\"{}\"", "x".repeat(n))).commands;
    assert!(hint(MAX_TEXT).iter().all(Result::is_ok));
    assert!(hint(MAX_TEXT + 1).iter().all(Result::is_err));
    let value = |n: usize| parse(&format!("/kubemend set a={}", "x".repeat(n))).commands;
    assert!(value(MAX_VALUE).iter().all(Result::is_ok));
    assert!(value(MAX_VALUE + 1).iter().all(Result::is_err));
}

/// Everything that Markdown does not show as a line of plain text. `{}` is where a command stands.
const IGNORED: &[&str] = &[
    "    {}",
    "```\n{}\n```",
    "~~~yaml\n{}\n~~~",
    "```\n{}",
    "`x\n{}`",
    "> {}",
    "> quoted\n{}",
    ">\n> {}\n>",
    "> - {}",
    "- {}",
    "- a\n  {}",
    "1. a\n\n   {}",
    "- [ ] {}",
    "# {}",
    "{}\n===",
    "{}\n---",
    "{} | b\n--- | ---\n1 | 2",
    "a | b\n--- | ---\n{} | 2",
    "*a\n{}*",
    "**a\n{}**",
    "~~a\n{}~~",
    "[a\n{}](https://example.org)",
    "![a\n{}](https://example.org/x.png)",
    "<!-- {} -->",
    "<!--\n{}\n-->",
    "<!--\n\n{}\n\n-->",
    "a <!--\n{}\n-->",
    "<!-- a\n{}",
    "<div>\n{}\n</div>",
    "<div>\n\n{}\n\n</div>",
    "<details><summary>x</summary>\n\n{}\n\n</details>",
    "<details title=\"</details>\">\n\n{}\n\n</details>",
    "<details>\n\n{}",
    "text <details>\n{}",
    "text <span hidden>\n{}\n</span>",
    "<x-y>\n\n{}\n\n</x-y>",
    "<script>\n\n{}\n\n</script>",
    "<style>\n\n{}\n\n</style>",
    "<pre>\n\n{}\n\n</pre>",
    "<textarea>\n\n{}\n\n</textarea>",
    "<?php\n{}\n?>",
    "<!X\n{}\n>",
    "<![CDATA[\n{}\n]]>",
    "x[^1]\n\n[^1]: {}",
    "x[^1]\n\n[^1]: a\n    {}",
    "$$\n{}\n$$",
    "[x]: https://example.org '\n{}'\n",
];

/// Scorecard row 41.
#[test]
fn nothing_is_found_where_markdown_shows_something_else() {
    for frame in IGNORED {
        let body = frame.replace("{}", "/kubemend pause");
        assert_eq!(said(&body), [""; 0], "{body}");
        let around = format!("Hello.\n\n{body}");
        assert_eq!(said(&around), [""; 0], "{around}");
    }
}

#[test]
fn a_line_break_in_a_tag_that_github_does_not_know_hides_nothing() {
    assert_eq!(
        said("use <namespace> here\n\n/kubemend status"),
        ["/kubemend status"]
    );
    assert_eq!(said("line<br>\n\n/kubemend status"), ["/kubemend status"]);
    assert_eq!(
        said("a <b>word</b>\n\n/kubemend status"),
        ["/kubemend status"]
    );
    assert_eq!(
        said("<div>x</div>\n\n/kubemend status"),
        ["/kubemend status"]
    );
}

#[test]
fn the_rest_of_a_comment_is_its_text() {
    let body = "Give it\u{202e} **more** memory <!-- hidden -->\n/kubemend retry\n\n> quoted\n\n\
        ![alt](https://e/x.png) see [the docs](https://example.org \"title\") `limits`\n<b>x</b>";
    assert_eq!(parse(body).text, "Give it more memory\nsee the docs limits");
    let long = parse(&"word ".repeat(2_000));
    assert!(long.text.chars().count() <= MAX_TEXT);
}

#[test]
fn a_storm_of_tags_ends() {
    for tag in [
        "<a>", "<b></b>", "<x>", "<!-- -->", "<", "[", "*", "`", "> ", "- ",
    ] {
        let body = format!("{}\n\n/kubemend status", tag.repeat(60_000 / tag.len()));
        let _ = parse(&body);
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let text = "[ -~äß\u{201c}]{0,40}[!-~ä]";
    let hint = proptest::option::of(text.prop_map(|t| t.trim().to_owned()));
    let values = proptest::collection::btree_map("[a-zA-Z][a-zA-Z0-9._/-]{0,20}", text, 1..5);
    prop_oneof![
        Just(Command::Help),
        Just(Command::Status),
        Just(Command::Explain { code: None }),
        Just(Command::Explain {
            code: Some("NoSafeFix".into())
        }),
        hint.prop_map(|hint| Command::Retry { hint }),
        (1..100_usize).prop_map(|option| Command::Choose { option }),
        values.prop_map(|values| Command::Set {
            values: values
                .into_iter()
                .map(|(k, v)| (k, v.trim().to_owned()))
                .collect()
        }),
        Just(Command::Rebase),
        Just(Command::Recreate),
        (1..10_000_i64).prop_map(|h| Command::Ignore {
            period: Some(SignedDuration::from_hours(h))
        }),
        Just(Command::Ignore { period: None }),
        Just(Command::Unignore),
        Just(Command::Verify),
        Just(Command::Revert),
        Just(Command::Pause),
        Just(Command::Resume),
    ]
}

/// Markdown that is likely to confuse.
fn confusing() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/kubemend pause\n".to_owned()),
        Just("\n/kubemend retry hint=\"".to_owned()),
        proptest::sample::select(vec![
            "\n",
            "\n\n",
            "> ",
            "- ",
            "    ",
            "```",
            "`",
            "<!--",
            "-->",
            "<b>",
            "</b>",
            "<details>",
            "</details>",
            "|",
            "--|--",
            "[",
            "](",
            ")",
            "![",
            "[^1]",
            "[^1]:",
            "*",
            "_",
            "~~",
            "$$",
            "\\",
            "&#47;",
            "\u{200b}",
            "\u{202e}",
            "\r",
            "\t",
            "\"",
            "=",
            "#",
            "===",
            "<",
            ">",
            "\u{e0041}",
            "\0",
            "ä",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|p| p.concat())
}

proptest! {
    /// Scorecard row 41: the fuzz of the grammar.
    #[test]
    fn no_comment_breaks_the_parser(body in confusing()) {
        let parsed = parse(&body);
        prop_assert!(parsed.commands.len() <= MAX_COMMANDS + 1);
        prop_assert!(parsed.text.chars().count() <= MAX_TEXT);
        prop_assert!(!parsed.text.chars().any(is_invisible));
        // what is a command stands visibly at the start of a line
        let plain = body.replace("\r\n", "\n").replace('\r', "\n");
        let lines = plain.lines().filter(|l| l.trim_start().to_lowercase().starts_with("/kubemend")).count();
        prop_assert!(parsed.commands.len() <= lines);
    }

    #[test]
    fn what_is_written_is_read(command in any_command()) {
        let written = command.to_string();
        prop_assert_eq!(parse(&written).commands, vec![Ok(command)], "{}", written);
    }

    #[test]
    fn nothing_hidden_is_found(
        command in any_command(),
        frame in proptest::sample::select(IGNORED),
        before in "[a-z .]{0,20}",
    ) {
        // text that ends the frame itself leaves a plain line, as GitHub shows it
        let written = command.to_string();
        prop_assume!(!written.contains(['[', ']', '(', ')', '<', '>', '`', '*', '_', '~', '|', '$', '\\', '\'', '!']));
        let body = format!("{before}\n\n{}", frame.replace("{}", &written));
        prop_assert!(parse(&body).commands.is_empty(), "{}", body);
    }
}

fn actor(id: u64, login: &str, bot: bool) -> Actor {
    Actor {
        id,
        login: login.into(),
        bot,
    }
}

fn one_of_each() -> Vec<Command> {
    Command::VERBS
        .iter()
        .map(|verb| {
            let line = match *verb {
                "choose" => "/kubemend choose 1".to_owned(),
                "set" => "/kubemend set a=1".to_owned(),
                verb => format!("/kubemend {verb}"),
            };
            parse(&line).commands.remove(0).unwrap()
        })
        .collect()
}

/// Scorecard row 42: every command by every permission, for owners of the file and others, with
/// readers allowed to ask and not.
#[test]
fn the_matrix_of_permissions() {
    use std::fmt::Write as _;
    let mut table = String::new();
    let levels = [
        Permission::None,
        Permission::Read,
        Permission::Triage,
        Permission::Write,
        Permission::Maintain,
        Permission::Admin,
    ];
    let person = actor(7, "ann", false);
    for command in one_of_each() {
        let _ = write!(table, "{:9}", command.verb());
        for level in levels {
            for owner in [false, true] {
                for readers_may_ask in [false, true] {
                    let rules = Rules {
                        readers_may_ask,
                        ..Rules::default()
                    };
                    let yes = permitted(&command, level, owner, &rules, &person) == Permitted::Yes;
                    table.push(if yes { 'y' } else { '.' });
                }
            }
            table.push(' ');
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

/// Scorecard row 42: a machine account commands nothing, unless the configuration names its id.
#[test]
fn machines_are_allowed_by_id_only() {
    let rules = Rules {
        allowed_bots: vec![40],
        readers_may_ask: true,
        ..Rules::default()
    };
    for command in one_of_each() {
        let yes =
            |a: &Actor| permitted(&command, Permission::Admin, true, &rules, a) == Permitted::Yes;
        assert!(!yes(&actor(41, "evil[bot]", true)));
        assert!(
            !yes(&actor(41, "kubemend[bot]", false)),
            "a name proves nothing"
        );
        assert!(!yes(&actor(0, "ghost", false)));
        assert!(!yes(&actor(0, "x[bot]", true)));
        assert_eq!(
            yes(&actor(40, "deploy[bot]", true)),
            command != Command::Revert
        );
    }
}

#[test]
fn a_value_has_a_key() {
    for nameless in ["/kubemend set =1", "/kubemend set =\"a b\""] {
        let parsed = parse(nameless).commands;
        assert!(matches!(parsed.as_slice(), [Err(_)]), "{parsed:?}");
    }
}
