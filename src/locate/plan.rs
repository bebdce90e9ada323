//! From an edit of an object to edits of files: in place where that reaches nothing else, in the
//! environment's own overlay where it would.

use std::collections::BTreeMap;

use serde_json::Value;

use super::image::Image;
use super::overlay::{self, Overlay};
use super::places::Part;
use super::rendered::shown;
use super::target::{Spot, Target};
use super::{Located, Repository, SharedBase, Strategy};
use crate::code::{Code, Refusal};
use crate::count;
use crate::edit::FileEdit;
use crate::path::{FieldPath, Seg};
use crate::propose::{Op, ProposedEdit};

/// Plans all edits; those that need an overlay are planned together.
pub(super) fn plan_all(
    repository: &Repository<'_>,
    root: Option<&str>,
    edits: &[ProposedEdit],
) -> Result<Vec<Located>, Refusal> {
    let mut targets = Vec::new();
    let mut wanted: Vec<Overlay> = Vec::new();
    for edit in edits {
        let i = repository.find_one(root, &edit.object)?;
        let target = repository.target_of(i, &edit.path)?;
        refuse_secret(edit)?;
        refuse_nothing_to_do(edit, &target)?;
        let in_place = in_place_is_allowed(repository, &target)?;
        if !in_place {
            overlay::collect(repository, &mut wanted, edit, &target)?;
        }
        targets.push((edit, target, in_place));
    }
    let written = overlay::write(repository, &wanted)?;
    targets
        .into_iter()
        .map(|(edit, target, in_place)| match in_place {
            true => change_in_place(repository, edit, &target),
            false => overlay::located(repository, &target, &written),
        })
        .collect()
}

/// The answer for the only edit.
pub(super) fn only(mut planned: Vec<Located>) -> Result<Located, Refusal> {
    planned
        .pop()
        .ok_or_else(|| Refusal::new(Code::UnknownWriter, "nothing was planned"))
}

fn refuse_secret(edit: &ProposedEdit) -> Result<(), Refusal> {
    if edit.object.kind == "Secret" {
        let message = format!("{} is a Secret", edit.object);
        return Err(Refusal::new(Code::BlockedSecret, message));
    }
    Ok(())
}

fn refuse_nothing_to_do(edit: &ProposedEdit, target: &Target) -> Result<(), Refusal> {
    let done = match &edit.op {
        Op::Set(wanted) | Op::Add(wanted) => target.current.as_ref() == Some(wanted),
        Op::Remove => target.current.is_none(),
    };
    if done {
        let message = format!(
            "{} {} is already so in {}",
            edit.object, edit.path, target.spot.file
        );
        return Err(Refusal::new(Code::AlreadyFixed, message));
    }
    Ok(())
}

/// Whether the text itself may be changed.
fn in_place_is_allowed(repository: &Repository<'_>, target: &Target) -> Result<bool, Refusal> {
    if target.others.is_empty() && target.effects <= 1 {
        return Ok(true);
    }
    match repository.policy.shared_base {
        SharedBase::Base => Ok(true),
        SharedBase::Overlay => Ok(false),
        SharedBase::Refuse => {
            let root = target.rendered.as_ref().map_or("", |(root, _)| root);
            let others: Vec<&str> = target.others.iter().map(|r| shown(r)).collect();
            let message = format!(
                "{}:{} writes {} of root {} and reaches {}: {}",
                target.spot.file,
                target.line,
                count::of(target.effects, "field"),
                shown(root),
                count::of(others.len(), "other root"),
                others.join(", ")
            );
            Err(Refusal::new(Code::SharedBase, message))
        }
    }
}

fn change_in_place(
    repository: &Repository<'_>,
    edit: &ProposedEdit,
    target: &Target,
) -> Result<Located, Refusal> {
    let changes = changes(repository, edit, target)?;
    let spot = &target.spot;
    let edits = changes.into_iter().map(|c| file_edit(spot, c)).collect();
    Ok(Located {
        site: repository.site(target),
        edits: BTreeMap::from([(spot.file.clone(), edits)]),
    })
}

/// A change in the innermost document of a spot.
struct Change {
    path: FieldPath,
    op: Op,
    expected: Option<Value>,
}

fn file_edit(spot: &Spot, change: Change) -> FileEdit {
    match &spot.inner {
        None => FileEdit {
            document: spot.document,
            path: change.path,
            op: change.op,
            expected: change.expected,
            inner: None,
        },
        Some((document, _)) => FileEdit {
            document: spot.document,
            path: spot.path.clone(),
            op: change.op.clone(),
            expected: None,
            inner: Some(Box::new(FileEdit {
                document: *document,
                path: change.path,
                op: change.op,
                expected: change.expected,
                inner: None,
            })),
        },
    }
}

fn changes(
    repository: &Repository<'_>,
    edit: &ProposedEdit,
    target: &Target,
) -> Result<Vec<Change>, Refusal> {
    let path = target.spot.deepest();
    let set = |op: Op| vec![change(path.clone(), op, target.written.clone())];
    match (&edit.op, target.part) {
        (Op::Remove, Part::Whole | Part::Image) => Ok(set(Op::Remove)),
        (Op::Set(value) | Op::Add(value), Part::Whole | Part::Image) => {
            let value = source_name(repository, target, &edit.path, value);
            if target.gap.is_empty() && target.written.is_some() {
                return Ok(set(Op::Set(value)));
            }
            let whole = path.join(&FieldPath(target.gap.clone()));
            Ok(vec![change(whole, Op::Add(value), None)])
        }
        (Op::Set(value) | Op::Add(value), Part::Tag | Part::Digest | Part::Name) => {
            image_entry(repository, target, value)
        }
        (Op::Set(value) | Op::Add(value), Part::Literal) => literal(target, value).map(set),
        (_, Part::Content | Part::Env) => {
            let message = format!(
                "{} comes from {}:{}, which is no YAML; such files are not edited by this version",
                edit.path, target.spot.file, target.line
            );
            Err(Refusal::new(Code::NotYetSupported, message))
        }
        (Op::Remove, _) => {
            let message = format!(
                "{} comes from an entry at {}:{}; removing it is not the same as removing the field",
                edit.path, target.spot.file, target.line
            );
            Err(Refusal::new(Code::UnknownWriter, message))
        }
    }
}

fn change(path: FieldPath, op: Op, expected: Option<Value>) -> Change {
    Change { path, op, expected }
}

/// `images:` entries hold an image in parts; only the parts that differ are changed.
fn image_entry(
    repository: &Repository<'_>,
    target: &Target,
    wanted: &Value,
) -> Result<Vec<Change>, Refusal> {
    let parse = |v: Option<&Value>| v.and_then(Value::as_str).and_then(Image::parse);
    let (Some(old), Some(new)) = (parse(target.current.as_ref()), parse(Some(wanted))) else {
        let message = format!("{wanted} is no image reference");
        return Err(Refusal::new(Code::UnsupportedShape, message));
    };
    let Some((path, _)) = target.spot.deepest().split_last() else {
        return Err(Refusal::new(
            Code::UnknownWriter,
            "an images entry without a key",
        ));
    };
    let entry = repository
        .value_at(&target.spot.at(path.clone()))
        .unwrap_or_default();
    let set = |key: &str, value: &str| {
        let op = Op::Set(Value::from(value));
        change(path.key(key), op, entry.get(key).cloned())
    };
    let elsewhere = |what: &str| {
        let message = format!(
            "the {what} of {old} does not come from the images entry at {}:{}, which gives the rest; both cannot be changed at once",
            target.spot.file, target.line
        );
        Refusal::new(Code::NotYetSupported, message)
    };
    let mut changes = Vec::new();
    if old.name != new.name {
        if entry.get("newName").and_then(Value::as_str) != Some(old.name.as_str()) {
            return Err(elsewhere("name"));
        }
        changes.push(set("newName", &new.name));
    }
    if (&old.tag, &old.digest) == (&new.tag, &new.digest) {
        return Ok(changes);
    }
    let (key, value) = match (&new.digest, &new.tag) {
        (Some(digest), _) => ("digest", digest),
        (None, Some(tag)) => ("newTag", tag),
        (None, None) => {
            let message = format!("{wanted} has neither tag nor digest");
            return Err(Refusal::new(Code::UnsupportedShape, message));
        }
    };
    let other = if key == "digest" { "newTag" } else { "digest" };
    if entry.get(key).is_some() {
        changes.push(set(key, value));
    } else if entry.get(other).is_some() {
        // kustomize takes one of the two only.
        changes.push(change(
            path.key(other),
            Op::Remove,
            entry.get(other).cloned(),
        ));
        changes.push(change(
            path.key(key),
            Op::Add(Value::from(value.as_str())),
            None,
        ));
    } else {
        return Err(elsewhere("tag"));
    }
    Ok(changes)
}

/// `KEY=value` with another value.
fn literal(target: &Target, wanted: &Value) -> Result<Op, Refusal> {
    let text = match wanted {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let pair = target
        .written
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or_default();
    let key = pair.split('=').next().unwrap_or_default();
    let quoted = text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']);
    if quoted {
        let message = "kustomize strips quotes around a literal's value".to_owned();
        return Err(Refusal::new(Code::UnsupportedShape, message));
    }
    Ok(Op::Set(Value::from(format!("{key}={text}"))))
}

/// A reference to another object is written with that object's own name; kustomize adds prefix,
/// suffix and hash.
pub(super) fn source_name(
    repository: &Repository<'_>,
    target: &Target,
    path: &FieldPath,
    value: &Value,
) -> Value {
    let is_name = matches!(path.0.last(), Some(Seg::Key(k)) if k == "name" || k.ends_with("Name"));
    let (Some((root, _)), Some(wanted), true) = (&target.rendered, value.as_str(), is_name) else {
        return value.clone();
    };
    repository
        .source_name(root, wanted)
        .map_or_else(|| value.clone(), Value::from)
}

impl Repository<'_> {
    /// The name that sources use for an object which a root renders under another name.
    fn source_name(&self, root: &str, rendered_name: &str) -> Option<String> {
        let objects = self.baseline(root).ok()?;
        let rendered = objects.iter().find(|r| r.object.name() == rendered_name)?;
        if let Some(definition) = self.definition(root, rendered) {
            let (_, name) = self.kind_and_name(&definition)?;
            return (name != rendered_name && !name.is_empty()).then(|| name.to_owned());
        }
        let k = self
            .index
            .kustomizations
            .values()
            .find(|k| Some(&k.file) == rendered.origin.as_ref())?;
        let names = ["configMapGenerator", "secretGenerator"]
            .iter()
            .flat_map(|key| crate::object::list(&k.value, key))
            .filter_map(|g| g.get("name").and_then(Value::as_str));
        let best = names
            .filter(|n| rendered_name.contains(n))
            .max_by_key(|n| n.len())?;
        (best != rendered_name).then(|| best.to_owned())
    }
}

/// A located place that is new.
pub(super) fn new_site(
    repository: &Repository<'_>,
    target: &Target,
    file: &str,
    edit: &FileEdit,
) -> super::Site {
    let mut site = repository.site(target);
    site.trail.push(format!(
        "{}:{} would change more than this, so the change goes into {file}",
        target.spot.file, target.line
    ));
    site.file = file.to_owned();
    site.document = edit.document;
    site.path = edit.path.clone();
    site.inner = edit.inner.as_ref().map(|i| i.path.clone());
    site.strategy = Strategy::OverlayNew;
    site.affects = site.root.iter().cloned().collect();
    site
}
