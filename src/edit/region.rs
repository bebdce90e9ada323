//! The proof's view of bytes: which lines a plan may change, and which ones did change.

use std::ops::Range;

use serde_json::Value;

use super::model::Planned;
use crate::manifest::{Kind, Node, Trail, Tree, strip_bom};
use crate::propose::Op;

/// Lines that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    /// The lines of the old slice that the plan may touch.
    pub(super) old: Range<usize>,
    /// What they became.
    pub(super) wide: Range<usize>,
    /// Of those, the ones that are new or otherwise.
    pub(super) new: Range<usize>,
}

/// Byte order mark, line endings and the final line break are as they were.
pub(super) fn same_form(old: &str, new: &str) -> Result<(), String> {
    if (strip_bom(old).len() == old.len()) != (strip_bom(new).len() == new.len()) {
        return Err("the byte order mark changed".to_owned());
    }
    if old.ends_with('\n') != new.ends_with('\n') {
        return Err("the final line break changed".to_owned());
    }
    let kinds = |text: &str| {
        let windows = text.matches("\r\n").count();
        (windows > 0, text.matches('\n').count() > windows)
    };
    match (kinds(old), kinds(new)) {
        ((true, true) | (false, false), _) => Ok(()),
        ((_, unix), (_, new_unix))
            if unix != new_unix && old.contains('\n') && new.contains('\n') =>
        {
            Err("the line endings changed".to_owned())
        }
        ((windows, _), (new_windows, _)) if !windows && new_windows => {
            Err("the line endings changed".to_owned())
        }
        _ => Ok(()),
    }
}

/// The changed lines, if all of them are within what the plan may touch.
pub(super) fn regions(
    old: &str,
    tree: &Tree,
    plan: &[Planned],
    new: &str,
) -> Result<Vec<Region>, String> {
    let mut allowed: Vec<(Range<usize>, usize)> = Vec::new();
    let mut single: Vec<(Range<usize>, usize)> = plan
        .iter()
        .map(|p| (allowance(old, tree, p), most_old_lines(tree, p)))
        .collect();
    single.sort_by_key(|(r, _)| (r.start, r.end));
    for (range, most) in single {
        match allowed.last_mut() {
            Some((last, sum)) if range.start <= last.end => {
                last.end = last.end.max(range.end);
                *sum = sum.saturating_add(most);
            }
            _ => allowed.push((range, most)),
        }
    }
    let mut found = Vec::new();
    let (mut old_at, mut new_at) = (0, 0);
    for (index, (range, most)) in allowed.iter().enumerate() {
        let kept = old.get(old_at..range.start).unwrap_or_default();
        if !new.get(new_at..).is_some_and(|rest| rest.starts_with(kept)) {
            return Err("bytes before the planned lines changed".to_owned());
        }
        let start = new_at + kept.len();
        let next = allowed.get(index + 1).map_or(old.len(), |(r, _)| r.start);
        let behind = old.get(range.end..next).unwrap_or_default();
        let rest = new.get(start..).unwrap_or_default();
        let length = if index + 1 == allowed.len() {
            rest.ends_with(behind).then(|| rest.len() - behind.len())
        } else {
            rest.find(behind)
        };
        let length = length.ok_or("bytes behind the planned lines changed")?;
        let (region, old_lines) = narrow(
            old.get(range.clone()).unwrap_or_default(),
            new,
            start..start + length,
        );
        if old_lines > *most {
            return Err(format!(
                "{old_lines} lines changed instead of at most {most}"
            ));
        }
        no_new_tab(
            old.get(range.clone()).unwrap_or_default(),
            new.get(region.clone()).unwrap_or_default(),
        )?;
        found.push(Region {
            old: range.clone(),
            wide: start..start + length,
            new: region,
        });
        (old_at, new_at) = (range.end, start + length);
    }
    Ok(found)
}

/// An addition to a block changes no old line, to a bracket or an absent value at most one.
fn most_old_lines(tree: &Tree, planned: &Planned) -> usize {
    match planned.op {
        Op::Add(_) => 1 + usize::from(tree.root.is_absent()),
        _ => usize::MAX,
    }
}

fn no_new_tab(old: &str, new: &str) -> Result<(), String> {
    let tab = |text: &str| text.lines().any(|l| l.starts_with('\t'));
    match tab(new) && !tab(old) {
        true => Err("a new line starts with a tab".to_owned()),
        false => Ok(()),
    }
}

/// The new lines without those that are the same at both ends, and how many old lines are left.
fn narrow(old: &str, text: &str, range: Range<usize>) -> (Range<usize>, usize) {
    let new = text.get(range.clone()).unwrap_or_default();
    let bare = |l: &&str| l.trim_end_matches(['\r', '\n']).to_owned();
    let (old, new): (Vec<&str>, Vec<&str>) = (
        old.split_inclusive('\n').collect(),
        new.split_inclusive('\n').collect(),
    );
    let head = old
        .iter()
        .zip(&new)
        .take_while(|(a, b)| bare(a) == bare(b))
        .count();
    let most = old.len().min(new.len()) - head;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(most)
        .take_while(|(a, b)| bare(a) == bare(b))
        .count();
    let before: usize = new.iter().take(head).map(|l| l.len()).sum();
    let behind: usize = new.iter().rev().take(tail).map(|l| l.len()).sum();
    (
        range.start + before..range.end - behind,
        old.len() - head - tail,
    )
}

/// The bytes of the old lines that one planned change may touch.
fn allowance(text: &str, tree: &Tree, planned: &Planned) -> Range<usize> {
    let Ok(trail) = tree.reach(&planned.path) else {
        return 0..0;
    };
    let exists = trail.nodes.len() > planned.path.0.len();
    let (first, end) = match planned.op {
        Op::Remove if exists => removal(&trail),
        _ => (start_with_key(&trail), trail.node().end),
    };
    let mut start = line_start(text, first);
    let end = next_line(text, end);
    if planned.op == Op::Remove && end == text.len() && !text.ends_with('\n') {
        // The line before loses its line break too, so that the file still ends without one.
        start = line_start(text, start.saturating_sub(1));
    }
    start..end
}

/// From the key or dash of the last node of a trail; from the top for the top node.
fn start_with_key(trail: &Trail<'_>) -> usize {
    let [.., parent, node] = trail.nodes.as_slice() else {
        return trail.node().outer;
    };
    own_start(parent, node)
}

fn own_start(parent: &Node, node: &Node) -> usize {
    let entry = parent
        .entries()
        .iter()
        .find(|e| std::ptr::eq(&e.value, node));
    let item = parent.items().iter().find(|i| std::ptr::eq(&i.node, node));
    let dash = item.and_then(|i| i.dash);
    entry.map(|e| e.key.outer).or(dash).unwrap_or(node.outer)
}

/// The lines of the removed entry; of the container too if nothing is left in it, and of the next
/// entry if that one moves up to the dash.
fn removal(trail: &Trail<'_>) -> (usize, usize) {
    let [ancestors @ .., parent, node] = trail.nodes.as_slice() else {
        return (0, 0);
    };
    let starts: Vec<usize> = match parent.entries() {
        [] => parent
            .items()
            .iter()
            .map(|i| i.dash.unwrap_or(i.node.outer))
            .collect(),
        entries => entries.iter().map(|e| e.key.outer).collect(),
    };
    let own = own_start(parent, node);
    let before = starts.iter().rev().find(|s| **s < own);
    if let (true, Some(before)) = (parent.is_flow(), before) {
        // In brackets the comma before goes too.
        return (*before, node.end);
    }
    match (starts.len(), starts.first() == Some(&own), starts.get(1)) {
        (1, ..) => (
            ancestors
                .last()
                .map_or(parent.outer, |above| own_start(above, parent)),
            parent.end,
        ),
        (_, true, Some(next)) => (own, (*next).max(node.end)),
        _ => (own, node.end.max(own)),
    }
}

/// Whether a planned change may lose the comment at `at`: behind something, on the line of a
/// removed or replaced key, or of a key that a new value of the same kind leaves out.
pub(super) fn may_lose(text: &str, tree: &Tree, planned: &Planned, at: usize) -> bool {
    let before = text.get(line_start(text, at)..at).unwrap_or_default();
    let Ok(trail) = tree.reach(&planned.path) else {
        return false;
    };
    let exists = trail.nodes.len() > planned.path.0.len();
    if matches!(before.trim(), "" | "-") || !exists {
        return false;
    }
    let same_kind = match &planned.op {
        Op::Set(Value::Object(_)) => matches!(trail.node().kind, Kind::Map { .. }),
        Op::Set(Value::Array(_)) => matches!(trail.node().kind, Kind::Seq { .. }),
        _ => false,
    };
    let first = start_with_key(&trail);
    let last = if same_kind { trail.node().end } else { first };
    (line_start(text, first)..next_line(text, last)).contains(&at)
}

fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.rfind('\n').map_or(0, |i| i + 1)
}

fn next_line(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.find('\n').map_or(rest.len(), |i| i + 1)
}
