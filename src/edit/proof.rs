//! The proof: the new file is the old one with the plan carried out, and nothing else.
//!
//! It takes the old bytes, the plan and the new bytes, and shares nothing with the engine but the
//! parser. Two readers must agree on both files.

use std::ops::Range;

use serde_json::Value;

use super::FileEdit;
use super::doc::is_json;
use super::model::{Model, Planned};
use super::region::{self, Region};
use super::second;
use crate::code::{Code, Refusal};
use crate::manifest::plain::is_ambiguous;
use crate::manifest::readings::{self, Reading};
use crate::manifest::{Style, Tree, split};
use crate::path::{FieldPath, Seg};
use crate::propose::Op;

/// Proves that `new` is `old` with exactly these edits.
pub fn check(old: &[u8], edits: &[FileEdit], new: &[u8]) -> Result<(), Refusal> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| unproven("the text is not UTF-8"));
    check_text(text(old)?, edits, text(new)?)
}

fn unproven(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::NotVerifiable, message)
}

fn check_text(old: &str, edits: &[FileEdit], new: &str) -> Result<(), Refusal> {
    region::same_form(old, new).map_err(unproven)?;
    let (before, after) = (split(old), split(new));
    if before.len() != after.len() {
        return Err(unproven(format!(
            "{} documents became {}",
            before.len(),
            after.len()
        )));
    }
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        let own: Vec<&FileEdit> = edits.iter().filter(|e| e.document == index).collect();
        let (before, after) = (before.of(old), after.of(new));
        if !own.is_empty() {
            check_document(before, &own, after)?;
        } else if before != after {
            return Err(unproven(format!("document {index} changed as well")));
        }
    }
    Ok(())
}

/// One document in both readings and as text.
struct Sides<'d> {
    old: &'d str,
    new: &'d str,
    old_tree: Tree,
    new_tree: Tree,
    old_model: Model,
    new_model: Model,
}

fn check_document(old: &str, edits: &[&FileEdit], new: &str) -> Result<(), Refusal> {
    let new_tree = Tree::parse(new).map_err(|r| unproven(format!("the result is refused: {r}")))?;
    let old_tree = Tree::parse(old)?;
    let sides = Sides {
        old,
        new,
        old_model: Model::of_tree(&old_tree),
        new_model: Model::of_tree(&new_tree),
        old_tree,
        new_tree,
    };
    let plan = plan(&sides, edits)?;
    let plan = readings_agree(&sides, plan)?;
    changed_paths(&sides, &plan)?;
    let regions = region::regions(old, &sides.old_tree, &plan, new).map_err(unproven)?;
    comments(&sides, &plan, &regions)?;
    hygiene(&sides, &regions)?;
    written_values(&sides, &plan)?;
    if is_json(old) && !is_json(new) {
        return Err(unproven("the document was JSON and is no longer"));
    }
    Ok(())
}

/// The plan for the document itself: edits inside texts become sets of those texts, after their
/// own proof.
fn plan(sides: &Sides<'_>, edits: &[&FileEdit]) -> Result<Vec<Planned>, Refusal> {
    let mut plan: Vec<Planned> = Vec::new();
    for edit in edits {
        if edit.inner.is_none() {
            plan.push(Planned::new(edit, edit.op.clone()));
            continue;
        }
        if plan.iter().any(|p| p.path == edit.path) {
            continue;
        }
        let here = edits.iter().filter(|e| e.path == edit.path);
        let inner: Vec<FileEdit> = here.filter_map(|e| e.inner.as_deref().cloned()).collect();
        let path = sides.old_model.resolve(&edit.path);
        let text = |tree: &Tree| {
            tree.at(&path)
                .map(|n| n.text().unwrap_or_default().to_owned())
        };
        let (old, new) = (text(&sides.old_tree)?, text(&sides.new_tree)?);
        check_text(&old, &inner, &new)?;
        plan.push(Planned::new(edit, Op::Set(Value::String(new))));
    }
    Ok(plan)
}

/// Both readers see the old document become the new one by the plan. Returns the resolved plan.
fn readings_agree(sides: &Sides<'_>, plan: Vec<Planned>) -> Result<Vec<Planned>, Refusal> {
    let (old, new) = (&sides.old_model, &sides.new_model);
    let (old_second, new_second) = (second::read(sides.old)?, second::read(sides.new)?);
    let mut resolved = Vec::new();
    for planned in plan {
        let path = old.resolve(&planned.path);
        if path != old_second.resolve(&planned.path) {
            let message = format!("two YAML readers find {} at different places", planned.path);
            return Err(Refusal::new(Code::ReadersDisagree, message));
        }
        resolved.push(Planned {
            path,
            op: planned.op,
        });
    }
    let resolved = appends(old, resolved);
    let expected = old
        .clone()
        .after(&resolved, |n| n.to_string())
        .ok_or_else(|| unproven("the plan does not fit the document"))?;
    let renamed = old.clone().after_renames(&resolved, |n| n.to_string());
    if !expected.is(new) && !renamed.is_some_and(|r| r.is(new)) {
        return Err(unproven(format!(
            "the result differs from the plan at {}",
            at(&expected.differences(new))
        )));
    }
    let renamed = old_second.clone().after_renames(&resolved, second::spell);
    let expected = old_second
        .after(&resolved, second::spell)
        .ok_or_else(|| unproven("the plan does not fit the second reading"))?;
    if !expected.is(&new_second) && !renamed.is_some_and(|r| r.is(&new_second)) {
        let places = at(&expected.differences(&new_second));
        return Err(unproven(format!(
            "for a second YAML reader the result differs from the plan at {places}"
        )));
    }
    Ok(resolved)
}

/// Several appends of one batch may all name the old length; each gets the next index.
fn appends(old: &Model, mut plan: Vec<Planned>) -> Vec<Planned> {
    let mut taken: Vec<FieldPath> = Vec::new();
    for planned in &mut plan {
        if !matches!(planned.op, Op::Add(_)) || old.has(&planned.path) {
            continue;
        }
        while taken.contains(&planned.path)
            && let Some(Seg::Index(index)) = planned.path.0.last_mut()
        {
            *index += 1;
        }
        taken.push(planned.path.clone());
    }
    plan
}

fn at(paths: &[FieldPath]) -> String {
    match paths {
        [] => "the order of its keys, an anchor or a tag".to_owned(),
        paths => paths
            .iter()
            .take(5)
            .map(|p| {
                if p.0.is_empty() {
                    "the top".to_owned()
                } else {
                    p.to_string()
                }
            })
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// A diff that does not know the plan finds the planned places and no other.
fn changed_paths(sides: &Sides<'_>, plan: &[Planned]) -> Result<(), Refusal> {
    let found = sides.old_model.differences(&sides.new_model);
    let near = |found: &FieldPath, planned: &Planned| {
        found.starts_with(&planned.path) || (planned.op_moves() && planned.path.starts_with(found))
    };
    match found.iter().find(|f| !plan.iter().any(|p| near(f, p))) {
        Some(path) => Err(unproven(format!("{path} changed as well"))),
        None => Ok(()),
    }
}

impl Planned {
    /// Additions and removals show up at a parent: a missing one, or a list of another length.
    fn op_moves(&self) -> bool {
        !matches!(self.op, Op::Set(_))
    }
}

/// No comment is lost but one on the line of a removed key, and none is new. Outside of the
/// regions every byte is the same, so only comments in them are looked at.
fn comments(sides: &Sides<'_>, plan: &[Planned], regions: &[Region]) -> Result<(), Refusal> {
    for region in regions {
        let mut new = texts(&sides.new_tree, sides.new, &region.wide);
        let old = texts(&sides.old_tree, sides.old, &region.old);
        let mut losable: Vec<&str> = Vec::new();
        for (at, comment) in &old {
            if plan
                .iter()
                .any(|p| region::may_lose(sides.old, &sides.old_tree, p, *at))
            {
                losable.push(comment);
            }
        }
        for (_, comment) in &old {
            if let Some(index) = new.iter().position(|(_, c)| c == comment) {
                new.swap_remove(index);
            } else if let Some(index) = losable.iter().position(|c| c == comment) {
                losable.swap_remove(index);
            } else {
                let message = format!("the edit would lose the comment {comment}");
                return Err(Refusal::new(Code::CommentLoss, message));
            }
        }
        if let Some((_, comment)) = new.first() {
            return Err(unproven(format!("there is a new comment {comment}")));
        }
    }
    Ok(())
}

/// The comments in a range, each with its place.
fn texts<'d>(tree: &Tree, text: &'d str, range: &Range<usize>) -> Vec<(usize, &'d str)> {
    let inside = tree.comments.iter().filter(|c| range.contains(&c.start));
    let text = |c: &Range<usize>| (c.start, text.get(c.clone()).unwrap_or_default().trim_end());
    inside.map(text).collect()
}

/// Changed lines hold nothing that readers see differently.
fn hygiene(sides: &Sides<'_>, regions: &[Region]) -> Result<(), Refusal> {
    let changed = |at: usize| regions.iter().any(|r| r.new.contains(&at));
    for region in regions {
        let text = sides.new.get(region.new.clone()).unwrap_or_default();
        if text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            return Err(Refusal::new(
                Code::AmbiguousScalar,
                "a changed line holds a Unicode line separator",
            ));
        }
    }
    let mut found = None;
    sides.new_tree.root.visit(&mut |node| {
        let plain = node.style() == Some(Style::Plain);
        let bad = node.tag.is_some()
            || (plain && node.text().is_some_and(|t| is_ambiguous(t) && t != "<<"));
        if bad && changed(node.start) && found.is_none() {
            found = sides.new.get(node.outer..node.end);
        }
    });
    match found {
        Some(text) => Err(Refusal::new(
            Code::AmbiguousScalar,
            format!("a changed line holds {text}"),
        )),
        None => Ok(()),
    }
}

/// Whoever reads the new values reads the planned ones.
fn written_values(sides: &Sides<'_>, plan: &[Planned]) -> Result<(), Refusal> {
    for planned in plan {
        let (Op::Set(value) | Op::Add(value)) = &planned.op else {
            continue;
        };
        let removed = |p: &Planned| p.op == Op::Remove && p.path.0.len() <= planned.path.0.len();
        if plan.iter().any(removed) {
            // Its index may have moved; both readings above have already compared it.
            continue;
        }
        let trail = sides.new_tree.reach(&planned.path)?;
        for reading in [Reading::Go, Reading::Kustomize] {
            let read = readings::of_node(&sides.new_tree, trail.node(), reading);
            if !read
                .as_ref()
                .is_ok_and(|found| super::engine::same_value(found, value))
            {
                let message = format!(
                    "{} would not mean {value} to every YAML reader",
                    planned.path
                );
                return Err(Refusal::new(Code::AmbiguousScalar, message));
            }
        }
    }
    Ok(())
}
