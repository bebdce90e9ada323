//! Boxes that people tick in our bodies: `- [x] <!-- kubemend:rebase --> …`. Pure.
//!
//! Who ticked a box is not to be known from a body. It need not be: only who may push can edit what
//! kubemend wrote, and everything that a box does takes no more than that.

/// The most boxes of one body that are looked at.
const MAX_BOXES: usize = 500;
/// The longest name.
const MAX_NAME: usize = 80;

/// A ticked box: `rebase`, `choose` and `2`, `approve` and a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// What the box does.
    pub name: String,
    /// What it does it to; empty for the body's own pull request or issue.
    pub of: String,
}

/// The boxes that are ticked, in their order. People edit bodies: whatever does not look like one of
/// our boxes, or is quoted as code, is passed over.
pub fn ticked(body: &str) -> Vec<Tick> {
    let mut code = Fence::default();
    body.lines()
        .filter(|line| !code.holds(line))
        .filter_map(|line| match a_box(line)? {
            (true, tick) => Some(tick),
            (false, _) => None,
        })
        .take(MAX_BOXES)
        .collect()
}

/// The same body with these boxes not ticked; nothing else in it is changed.
pub fn unticked(body: &str, handled: &[Tick]) -> String {
    turned(body, handled, true)
}

/// The same body with these boxes ticked, where it has them: what was ticked and not acted on stays
/// so when the text around it is written again.
pub fn reticked(body: &str, left: &[Tick]) -> String {
    turned(body, left, false)
}

/// Turns these boxes around where they are as `from` says.
fn turned(body: &str, boxes: &[Tick], from: bool) -> String {
    let mut out = String::with_capacity(body.len());
    let mut code = Fence::default();
    for line in body.split_inclusive('\n') {
        let is_code = code.holds(line);
        match a_box(line).filter(|_| !is_code) {
            Some((true, tick)) if from && boxes.contains(&tick) => {
                out.push_str(&line.replacen("[x]", "[ ]", 1).replacen("[X]", "[ ]", 1))
            }
            Some((false, tick)) if !from && boxes.contains(&tick) => {
                out.push_str(&line.replacen("[ ]", "[x]", 1))
            }
            _ => out.push_str(line),
        }
    }
    out
}

/// The fence that is open: its character, and how often.
#[derive(Default)]
struct Fence(Option<(char, usize)>);

impl Fence {
    /// Whether the next line is a fence, or stands inside one.
    fn holds(&mut self, line: &str) -> bool {
        let line = line.trim();
        let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'));
        let run = mark.map_or(0, |m| line.chars().take_while(|c| *c == m).count());
        match (self.0, mark) {
            (Some((open, least)), Some(m))
                if m == open && run >= least && run == line.chars().count() =>
            {
                self.0 = None;
                true
            }
            (Some(_), _) => true,
            (None, Some(m)) if run >= 3 => {
                self.0 = Some((m, run));
                true
            }
            (None, _) => false,
        }
    }
}

/// A line that is a box of ours, and whether it is ticked.
fn a_box(line: &str) -> Option<(bool, Tick)> {
    let rest = line.trim_start();
    let rest = rest
        .strip_prefix("- ")
        .or_else(|| rest.strip_prefix("* "))
        .or_else(|| rest.strip_prefix("+ "))?;
    let rest = rest.trim_start();
    let is_ticked = match rest.get(..3)? {
        "[x]" | "[X]" => true,
        "[ ]" => false,
        _ => return None,
    };
    let hidden = rest.get(3..)?.trim_start().strip_prefix("<!--")?;
    let (inside, _) = hidden.split_once("-->")?;
    let name = inside.trim().strip_prefix("kubemend:")?;
    let (name, of) = name.split_once('=').unwrap_or((name, ""));
    let plain =
        |t: &str| t.len() <= MAX_NAME && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (plain(name) && plain(of) && !name.is_empty()).then(|| {
        let tick = Tick {
            name: name.to_owned(),
            of: of.to_owned(),
        };
        (is_ticked, tick)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(body: &str) -> Vec<String> {
        ticked(body)
            .into_iter()
            .map(|t| format!("{}={}", t.name, t.of))
            .collect()
    }

    #[test]
    fn only_ticked_boxes_of_ours_count() {
        let body = "- [x] <!-- kubemend:rebase -->again\r\n- [ ] <!-- kubemend:recreate -->\n\
            * [X] <!-- kubemend:choose=2 --> two\n  - [x] <!-- kubemend:approve=0a1b2c3d4e5f -->\n\
            - [x] done\n- [x] <!-- other:rebase -->\n[x] <!-- kubemend:ignore -->\n\
            - [x] text <!-- kubemend:ignore -->\n- [x] <!-- kubemend:a b -->\n- [x] <!-- kubemend: -->\n\
            > - [x] <!-- kubemend:ignore -->\n- [x] <!-- kubemend:approve=a/b -->\n- [x] <!-- kubemend:ignore";
        assert_eq!(names(body), ["rebase=", "choose=2", "approve=0a1b2c3d4e5f"]);
    }

    #[test]
    fn unticking_changes_nothing_else() {
        let body = "a [x]\r\n- [x] <!-- kubemend:rebase -->do [x]\r\n- [x] theirs\r\n- [ ] <!-- kubemend:ignore -->";
        let clean = "a [x]\r\n- [ ] <!-- kubemend:rebase -->do [x]\r\n- [x] theirs\r\n- [ ] <!-- kubemend:ignore -->";
        assert_eq!(unticked(body, &ticked(body)), clean);
        assert_eq!(unticked(body, &[]), body, "what was not acted on stays");
        assert!(ticked(clean).is_empty());
    }

    #[test]
    fn a_tick_is_carried_over_to_a_new_text() {
        let left = ticked("- [x] <!-- kubemend:approve=0a -->\n- [x] <!-- kubemend:pause -->");
        let new =
            "news\n- [ ] <!-- kubemend:approve=0a -->a [ ]\n- [ ] <!-- kubemend:approve=0b -->";
        let kept =
            "news\n- [x] <!-- kubemend:approve=0a -->a [ ]\n- [ ] <!-- kubemend:approve=0b -->";
        assert_eq!(reticked(new, &left), kept);
        assert_eq!(reticked(kept, &left), kept);
        assert_eq!(reticked(new, &[]), new);
    }

    #[test]
    fn what_is_quoted_as_code_is_no_box() {
        for (body, wanted) in [
            ("```\n- [x] <!-- kubemend:rebase -->\n```", vec![]),
            ("~~~~\n```\n- [x] <!-- kubemend:rebase -->\n~~~~", vec![]),
            (
                "```\na\n```\n+ [x] <!-- kubemend:rebase -->",
                vec!["rebase="],
            ),
        ] {
            assert_eq!(names(body), wanted, "{body}");
            assert_eq!(unticked(body, &ticked(body)) != body, !wanted.is_empty());
        }
    }

    proptest! {
        /// Whatever people write: no panic, and nothing without a box.
        #[test]
        fn any_body_can_be_read(body in "\\PC{0,200}", line in "(- \\[x\\] )?<!-- kubemend:[a-z]{0,8}=?[0-9a-f]{0,4} ?(-->)?") {
            let body = format!("{body}\n\n{line}");
            let found = ticked(&body);
            prop_assert!(found.is_empty() || line.starts_with("- [x]") || body.contains('['));
            prop_assert!(ticked(&unticked(&body, &found)).is_empty());
        }
    }
}
