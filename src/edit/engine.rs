//! From wanted edits to new text, document by document. Nothing here is trusted: the proof in
//! [`super::proof`] looks at the result with other eyes.

use serde_json::{Map, Value};

use super::doc::{Doc, Splice, entry_of, unsupported};
use super::{Changed, FileEdit, guard, splice};
use crate::code::{Code, Refusal};
use crate::manifest::lookup::not_found;
use crate::manifest::plain::{Core, core};
use crate::manifest::readings::{self, Reading};
use crate::manifest::{Kind, Node, Style, Trail, Tree, line_of, split};
use crate::path::{FieldPath, Seg};
use crate::propose::Op;

const MAX_ROUNDS: usize = 200;
const MAX_NESTED_TEXTS: usize = 2;

/// A new file and what changed in it.
pub(super) type Outcome = (String, Vec<Changed>);

/// One resolved edit of a document. Its path has no selectors.
struct Goal<'e> {
    path: FieldPath,
    action: Action<'e>,
}

enum Action<'e> {
    Set(&'e Value),
    Add(&'e Value),
    /// At the end of the list that holds the path.
    Append(&'e Value),
    Remove,
    /// Another key for the value at the path, in its place and with its comments.
    Rename(&'e str),
    /// Edits of the text at the path.
    Within(Vec<FileEdit>),
}

/// Applies all edits to a file, document by document.
pub(super) fn run(file: &str, edits: &[FileEdit], depth: usize) -> Result<Outcome, Refusal> {
    let slices = split(file);
    if let Some(edit) = edits.iter().find(|e| e.document >= slices.len()) {
        let message = format!(
            "the file has {} documents, none with index {}",
            slices.len(),
            edit.document
        );
        return Err(Refusal::new(Code::PathNotFound, message));
    }
    let (mut out, mut changed) = (String::with_capacity(file.len() + 256), Vec::new());
    for (index, slice) in slices.iter().enumerate() {
        let own: Vec<&FileEdit> = edits.iter().filter(|e| e.document == index).collect();
        if own.is_empty() {
            out.push_str(slice.of(file));
            continue;
        }
        let (text, mut more) = document(slice.of(file), slice.line, &own, depth)?;
        out.push_str(&text);
        more.iter_mut().for_each(|c| c.document = index);
        changed.extend(more);
    }
    Ok((out, changed))
}

fn document(
    slice: &str,
    line: usize,
    edits: &[&FileEdit],
    depth: usize,
) -> Result<Outcome, Refusal> {
    let doc = Doc::read(slice, line)?;
    guard::document(&doc, line)?;
    let mut goals: Vec<Goal<'_>> = Vec::new();
    for edit in edits {
        add_goal(&doc, &mut goals, edit)?;
    }
    refuse_overlaps(&goals)?;
    let mut goals = rename_where_possible(&doc, goals, edits);
    // Removals come last and from the end, so that no index of another edit moves.
    goals.sort_by(|a, b| match (&a.action, &b.action) {
        (Action::Remove, Action::Remove) => b.path.cmp(&a.path),
        (a, b) => matches!(a, Action::Remove).cmp(&matches!(b, Action::Remove)),
    });
    let habits = (goals.len() > 1).then(|| doc.count_habits());
    let (mut text, mut changed) = (slice.to_owned(), Vec::new());
    for goal in goals {
        let before = changes(&doc, &goal, line)?;
        let (next, within) = achieve(&text, line, &goal, habits, depth)?;
        match goal.action {
            Action::Within(_) => changed.extend(within),
            Action::Rename(name) => {
                changed.extend(renamed(before, name));
            }
            _ if next != text => changed.push(before),
            _ => {}
        }
        text = next;
    }
    Ok((text, changed))
}

/// Resolves an edit on the document as it is before all edits, and checks what it expects.
fn add_goal<'e>(
    doc: &Doc<'_>,
    goals: &mut Vec<Goal<'e>>,
    edit: &'e FileEdit,
) -> Result<(), Refusal> {
    let trail = doc.tree.reach(&edit.path)?;
    let exists = trail.nodes.len() > edit.path.0.len();
    let mut path = trail.path.clone();
    path.0
        .extend(edit.path.0.iter().skip(path.0.len()).cloned());
    let action = match (&edit.inner, &edit.op) {
        (Some(inner), _) => {
            if let Some(Goal {
                action: Action::Within(edits),
                ..
            }) = goals.iter_mut().find(|g| g.path == path)
            {
                edits.push((**inner).clone());
                return Ok(());
            }
            Action::Within(vec![(**inner).clone()])
        }
        (None, Op::Set(value)) => Action::Set(value),
        (None, Op::Add(value)) if appends(&trail, &path, goals) => Action::Append(value),
        (None, Op::Add(value)) => Action::Add(value),
        (None, Op::Remove) => Action::Remove,
    };
    if !exists && !matches!(action, Action::Add(_) | Action::Append(_)) {
        return Err(not_found(&edit.path, &trail.path));
    }
    if let (true, Some(expected), Some(_)) = (exists, &edit.expected, trail.nodes.last()) {
        let done = matches!(&action, Action::Set(value) if difference(trail.node(), value, FieldPath::default()).is_none());
        if !done && !means(&doc.tree, trail.node(), expected) {
            return Err(stale(doc, &trail, expected));
        }
    }
    if let (true, Action::Set(Value::String(text))) = (exists, &action) {
        keeps_spelling(doc, trail.node(), text)?;
    }
    match goals.iter().find(|g| g.path == path) {
        Some(Goal {
            action: Action::Set(a),
            ..
        }) if matches!(action, Action::Set(b) if *a == b) => Ok(()),
        Some(Goal {
            action: Action::Remove,
            ..
        }) if matches!(action, Action::Remove) => Ok(()),
        Some(Goal {
            action: Action::Add(a),
            ..
        }) if matches!(action, Action::Add(b) if *a == b) => Ok(()),
        _ => {
            goals.push(Goal { path, action });
            Ok(())
        }
    }
}

/// A removed key and an added one with the same value in the same mapping are one key that changes
/// its name: nothing moves, and no comment is lost.
fn rename_where_possible<'e>(
    doc: &Doc<'_>,
    mut goals: Vec<Goal<'e>>,
    edits: &[&'e FileEdit],
) -> Vec<Goal<'e>> {
    let removed: Vec<FieldPath> = goals
        .iter()
        .filter(|g| matches!(g.action, Action::Remove))
        .map(|g| g.path.clone())
        .collect();
    for old in removed {
        let Some(new) = new_name(doc, &goals, edits, &old) else {
            continue;
        };
        let Some((parent, _)) = old.split_last() else {
            continue;
        };
        goals.retain(|g| g.path != old && g.path != parent.key(new));
        goals.push(Goal {
            path: old,
            action: Action::Rename(new),
        });
    }
    goals
}

/// The only added key beside a removed one that has its value.
fn new_name<'e>(
    doc: &Doc<'_>,
    goals: &[Goal<'e>],
    edits: &[&'e FileEdit],
    old: &FieldPath,
) -> Option<&'e str> {
    let trail = doc.tree.reach(old).ok()?;
    let [.., parent, node] = trail.nodes.as_slice() else {
        return None;
    };
    let entry = entry_of(parent, node)?;
    let plain = entry.key.style() == Some(Style::Plain)
        && entry.key.tag.is_none()
        && entry.key.anchor.is_none()
        && !entry.explicit;
    let (above, _) = old.split_last()?;
    let fits = |g: &&Goal<'e>| match g.action {
        Action::Add(value) => {
            g.path.split_last().is_some_and(|(p, _)| p == above) && means(&doc.tree, node, value)
        }
        _ => false,
    };
    let mut hits = goals.iter().filter(fits);
    let (_, last) = hits.next()?.path.split_last()?;
    let Seg::Key(name) = last else { return None };
    let target = above.key(name);
    let below = goals
        .iter()
        .any(|g| g.path != target && g.path.starts_with(&target));
    let only = hits.next().is_none() && plain && !below && is_plain_name(name);
    // the name as the edit holds it lives as long as the goals
    let named = edits.iter().find_map(|e| match e.path.0.last() {
        Some(Seg::Key(key)) if key == name && matches!(e.op, Op::Add(_)) => Some(key.as_str()),
        _ => None,
    });
    named.filter(|_| only)
}

/// Names of fields, which every reader takes for text.
fn is_plain_name(name: &str) -> bool {
    let words = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf",
    ];
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && !words.contains(&name.to_ascii_lowercase().as_str())
}

/// A value that only becomes text has to keep its spelling: `yes` is not meant as `"true"`, nor
/// `0x1F` as `"31"`.
fn keeps_spelling(doc: &Doc<'_>, node: &Node, text: &str) -> Result<(), Refusal> {
    let Ok(found) = readings::of_node(&doc.tree, node, Reading::Go) else {
        return Ok(());
    };
    let spelling = found.to_string();
    let retyped = (found.is_boolean() || found.is_number()) && spelling == text;
    match node.text() {
        Some(spelled) if retyped && spelled != text => Err(Refusal::new(
            Code::AmbiguousScalar,
            format!(
                "{spelled} is written without quotes and read as {text}; quote the text that is meant"
            ),
        )),
        _ => Ok(()),
    }
}

/// Whether the path is the next free index of a list, earlier appends of the batch counted in.
fn appends(trail: &Trail<'_>, path: &FieldPath, goals: &[Goal<'_>]) -> bool {
    let (Some((parent, Seg::Index(index))), Kind::Seq { items, .. }) =
        (path.split_last(), &trail.node().kind)
    else {
        return false;
    };
    let same_list = |g: &&Goal<'_>| {
        matches!(g.action, Action::Append(_))
            && g.path.split_last().is_some_and(|(p, _)| p == parent)
    };
    let room = items.len()..=items.len() + goals.iter().filter(same_list).count();
    parent == trail.path && room.contains(index)
}

fn stale(doc: &Doc<'_>, trail: &Trail<'_>, expected: &Value) -> Refusal {
    let node = trail.node();
    let found: String = doc
        .text
        .get(node.start..node.end)
        .unwrap_or_default()
        .chars()
        .take(120)
        .collect();
    let message = format!("{} is {found}, the plan expected {expected}", trail.path);
    Refusal::new(Code::StaleTarget, message)
}

/// Two edits of which one replaces what the other changes have no meaning together.
fn refuse_overlaps(goals: &[Goal<'_>]) -> Result<(), Refusal> {
    for (i, a) in goals.iter().enumerate() {
        for b in goals.iter().skip(i + 1) {
            let adds = |g: &Goal<'_>| matches!(g.action, Action::Add(_) | Action::Append(_));
            let both_add = adds(a) && adds(b);
            if !both_add && (a.path.starts_with(&b.path) || b.path.starts_with(&a.path)) {
                let message = format!("two edits of one batch meet: {} and {}", a.path, b.path);
                return Err(unsupported(message));
            }
        }
    }
    Ok(())
}

/// Whether a node has this value for one of the readers.
fn means(tree: &Tree, node: &Node, expected: &Value) -> bool {
    [Reading::Go, Reading::Kustomize]
        .iter()
        .any(|r| readings::of_node(tree, node, *r).is_ok_and(|found| same_value(&found, expected)))
}

/// Equal, numbers by their value.
pub(super) fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || ((x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64())
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_value(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len()
                && x.iter()
                    .all(|(k, x)| y.get(k).is_some_and(|y| same_value(x, y)))
        }
        _ => a == b,
    }
}

/// The entry for people: what is at the place before anything changed.
fn changes(doc: &Doc<'_>, goal: &Goal<'_>, line: usize) -> Result<Changed, Refusal> {
    let trail = doc.tree.reach(&goal.path)?;
    let exists = trail.nodes.len() > goal.path.0.len();
    let node = trail.node();
    let old = if exists {
        readings::of_node(&doc.tree, node, Reading::Go).ok()
    } else {
        None
    };
    let new = match goal.action {
        Action::Set(value) | Action::Add(value) | Action::Append(value) => Some(value.clone()),
        _ => None,
    };
    let at = if exists { node.start } else { node.end };
    Ok(Changed {
        document: 0,
        path: goal.path.clone(),
        old,
        new,
        line: line + line_of(doc.text, at) - 1,
    })
}

/// A rename for people: the new key comes, the old one goes.
fn renamed(old: Changed, name: &str) -> [Changed; 2] {
    let parent = old
        .path
        .split_last()
        .map(|(parent, _)| parent)
        .unwrap_or_default();
    let new = Changed {
        path: parent.key(name),
        old: None,
        new: old.old.clone(),
        ..old.clone()
    };
    [new, old]
}

/// One primitive after the other until the goal is reached.
fn achieve(
    start: &str,
    line: usize,
    goal: &Goal<'_>,
    habits: Option<(usize, usize)>,
    depth: usize,
) -> Result<Outcome, Refusal> {
    let mut text = start.to_owned();
    for _ in 0..MAX_ROUNDS {
        let mut doc = Doc::read(&text, line)?;
        doc.habits = habits;
        let (step, within) = next_step(&doc, line, goal, depth)?;
        let Some(step) = step else {
            return Ok((text, within));
        };
        let splice = primitive(&doc, &step)?;
        let mut next = text.clone();
        next.replace_range(splice.range.clone(), &splice.with);
        let once = !matches!(goal.action, Action::Set(Value::Array(_) | Value::Object(_)));
        text = next;
        if once {
            return Ok((text, within));
        }
    }
    Err(Refusal::new(
        Code::NotVerifiable,
        format!("{}: over {MAX_ROUNDS} single changes", goal.path),
    ))
}

struct Step {
    path: FieldPath,
    change: Change,
}

enum Change {
    Rename(String),
    Set(Value),
    AddKey(String, Value),
    Append(Value),
    Remove,
}

fn next_step(
    doc: &Doc<'_>,
    line: usize,
    goal: &Goal<'_>,
    depth: usize,
) -> Result<(Option<Step>, Vec<Changed>), Refusal> {
    let path = goal.path.clone();
    let step = match &goal.action {
        Action::Set(value) => difference(doc.tree.at(&path)?, value, path).transpose()?,
        Action::Add(value) => Some(addition(doc, &path, value)?),
        Action::Append(value) => {
            let list = path.split_last().map(|(list, _)| list).unwrap_or_default();
            Some(Step {
                path: list,
                change: Change::Append((*value).clone()),
            })
        }
        Action::Remove => {
            doc.tree.at(&path)?;
            Some(Step {
                path,
                change: Change::Remove,
            })
        }
        Action::Rename(name) => Some(Step {
            path,
            change: Change::Rename((*name).to_owned()),
        }),
        Action::Within(edits) => {
            let (new, changed) = within(doc, line, &path, edits, depth)?;
            let step = difference(doc.tree.at(&path)?, &Value::String(new), path).transpose()?;
            return Ok((step, changed));
        }
    };
    Ok((step, Vec::new()))
}

/// Runs the whole engine on a text that holds YAML itself.
fn within(
    doc: &Doc<'_>,
    line: usize,
    path: &FieldPath,
    edits: &[FileEdit],
    depth: usize,
) -> Result<(String, Vec<Changed>), Refusal> {
    let node = doc.tree.at(path)?;
    let (Some(text), Some(Style::Literal)) = (node.text(), node.style()) else {
        return Err(unsupported(format!(
            "{path}: a patch is only edited in a | block"
        )));
    };
    if depth >= MAX_NESTED_TEXTS {
        return Err(unsupported(format!("{path}: YAML in YAML in YAML")));
    }
    let (new, mut changed) = run(text, edits, depth + 1)?;
    let first = line + line_of(doc.text, node.start);
    for change in &mut changed {
        change.path = path.join(&change.path);
        change.line += first - 1;
    }
    Ok((new, changed))
}

/// The first single change that leads from a node to a value; none when it is there.
fn difference(node: &Node, want: &Value, path: FieldPath) -> Option<Result<Step, Refusal>> {
    let step = |path: &FieldPath, change| {
        Some(Ok(Step {
            path: path.clone(),
            change,
        }))
    };
    match (&node.kind, want) {
        (Kind::Map { entries, .. }, Value::Object(map)) => {
            if entries
                .iter()
                .any(|e| matches!(e.key.text(), Some("<<") | None))
            {
                let message =
                    format!("{path} merges other mappings or has keys that are no scalars");
                return Some(Err(Refusal::new(Code::AnchoredYaml, message)));
            }
            for (key, value) in map {
                let found = node
                    .get(key)
                    .and_then(|n| difference(n, value, path.key(key)));
                if found.is_some() {
                    return found;
                }
            }
            if let Some((key, value)) = map.iter().find(|(k, _)| node.get(k).is_none()) {
                return step(&path, Change::AddKey(key.clone(), value.clone()));
            }
            let surplus = entries
                .iter()
                .filter_map(|e| e.key.text())
                .find(|k| !map.contains_key(*k));
            surplus.and_then(|key| step(&path.key(key), Change::Remove))
        }
        (Kind::Seq { items, .. }, Value::Array(want)) => {
            let equal = |(i, w): (&crate::manifest::Item, &Value)| {
                difference(&i.node, w, FieldPath::default()).is_none()
            };
            let head = items
                .iter()
                .zip(want)
                .take_while(|p| equal((p.0, p.1)))
                .count();
            let tail = items
                .iter()
                .rev()
                .zip(want.iter().rev())
                .take_while(|p| equal((p.0, p.1)))
                .count();
            if items.len() > want.len() && head + tail >= want.len() {
                return step(&path.index(head), Change::Remove);
            }
            for (index, (item, value)) in items.iter().zip(want).enumerate().skip(head) {
                let found = difference(&item.node, value, path.index(index));
                if found.is_some() {
                    return found;
                }
            }
            match want.get(items.len()) {
                Some(value) => step(&path, Change::Append(value.clone())),
                None if items.len() > want.len() => {
                    step(&path.index(items.len() - 1), Change::Remove)
                }
                None => None,
            }
        }
        (Kind::Scalar { .. }, _) if node.tag.is_none() && is(node, want) => None,
        _ => step(&path, Change::Set(want.clone())),
    }
}

/// Whether a scalar is written as this value would be.
fn is(node: &Node, want: &Value) -> bool {
    let Some(text) = node.text() else {
        return false;
    };
    if node.style() != Some(Style::Plain) {
        return want.as_str() == Some(text);
    }
    match (core(text), want) {
        (Core::Null, Value::Null) => true,
        (Core::Bool(a), Value::Bool(b)) => a == *b,
        (Core::Number, Value::Number(n)) => n.to_string() == text,
        (Core::Text, Value::String(want)) => want == text,
        _ => false,
    }
}

/// The step that adds a value, with the parents that are missing.
fn addition(doc: &Doc<'_>, path: &FieldPath, value: &Value) -> Result<Step, Refusal> {
    let trail = doc.tree.reach(path)?;
    let missing = path.0.get(trail.path.0.len()..).unwrap_or_default();
    let node = trail.node();
    let at = trail.path.clone();
    let null = node.tag.is_none() && is(node, &Value::Null);
    let Some((first, rest)) = missing.split_first() else {
        if null {
            return Ok(Step {
                path: at,
                change: Change::Set(value.clone()),
            });
        }
        return Err(Refusal::new(
            Code::KeyExists,
            format!("{path} exists already"),
        ));
    };
    let nested = nest(rest, value).ok_or_else(|| not_found(path, &at))?;
    let change = match (&node.kind, first) {
        (Kind::Map { .. }, Seg::Key(key)) => Change::AddKey(key.clone(), nested),
        (Kind::Seq { items, .. }, Seg::Index(index)) if *index == items.len() => {
            Change::Append(nested)
        }
        _ if null => Change::Set(nest(missing, value).ok_or_else(|| not_found(path, &at))?),
        _ => return Err(not_found(path, &at)),
    };
    Ok(Step { path: at, change })
}

/// The value below the missing segments; none when they select an item that is not there.
fn nest(missing: &[Seg], value: &Value) -> Option<Value> {
    let mut nested = value.clone();
    for seg in missing.iter().rev() {
        nested = match seg {
            Seg::Key(key) => Value::Object(Map::from_iter([(key.clone(), nested)])),
            Seg::Index(0) => Value::Array(vec![nested]),
            _ => return None,
        };
    }
    Some(nested)
}

fn primitive(doc: &Doc<'_>, step: &Step) -> Result<Splice, Refusal> {
    let trail = doc.tree.reach(&step.path)?;
    let splice = match &step.change {
        Change::Set(value) => {
            guard::replaced(doc, &trail)?;
            splice::set(doc, &trail, value)?
        }
        Change::Remove => {
            guard::replaced(doc, &trail)?;
            splice::remove(doc, &trail)?
        }
        Change::Rename(name) => splice::rename(&trail, name)?,
        Change::AddKey(key, value) => splice::add_key(doc, &trail, key, value)?,
        Change::Append(value) => splice::append(doc, &trail, value)?,
    };
    guard::place(doc, &trail, &splice)?;
    Ok(splice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_becomes_text_keeps_its_spelling() {
        let set = |value: &str| FileEdit {
            document: 0,
            path: FieldPath::keys(["a"]),
            op: Op::Set(json!(value)),
            expected: None,
            inner: None,
        };
        assert!(run("a: true\n", &[set("true")], 0).is_ok());
        assert!(run("a: 80\n", &[set("80")], 0).is_ok());
        assert!(run("a: 80\n", &[set("http")], 0).is_ok());
        for (file, value) in [
            ("a: yes\n", "true"),
            ("a: 0x1F\n", "31"),
            ("a: 1_000\n", "1000"),
        ] {
            let Err(refusal) = run(file, &[set(value)], 0) else {
                panic!("{file} became {value}");
            };
            assert_eq!(refusal.code, Code::AmbiguousScalar);
        }
    }
}
