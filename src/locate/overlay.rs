//! New patches and entries in an environment's own kustomization.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::image::Image;
use super::plan::{new_site, source_name};
use super::rendered::{Rendered, shown};
use super::target::Target;
use super::write::block;
use super::{Located, Repository};
use crate::code::{Code, Refusal};
use crate::edit::FileEdit;
use crate::lock::apply_op;
use crate::object::{ObjectRef, list};
use crate::path::{FieldPath, Seg};
use crate::propose::{Op, ProposedEdit};

/// What one object of one root needs.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    root: String,
    position: usize,
    object: ObjectRef,
    /// Field and operation, on the object as rendered.
    edits: Vec<(FieldPath, Op)>,
}

/// File edits by root and position.
pub(super) type Written = BTreeMap<(String, usize), (String, Vec<FileEdit>)>;

/// Notes an edit for the overlay of its object.
pub(super) fn collect(
    repository: &Repository<'_>,
    wanted: &mut Vec<Overlay>,
    edit: &ProposedEdit,
    target: &Target,
) -> Result<(), Refusal> {
    let Some((root, position)) = &target.rendered else {
        return Err(Refusal::new(
            Code::SharedBase,
            "a plain file has no overlay",
        ));
    };
    let op = match &edit.op {
        Op::Set(v) => Op::Set(source_name(repository, target, &edit.path, v)),
        Op::Add(v) => Op::Add(source_name(repository, target, &edit.path, v)),
        Op::Remove => Op::Remove,
    };
    let new = (target.field.clone(), op);
    let same = |o: &&mut Overlay| &o.root == root && o.position == *position;
    match wanted.iter_mut().find(same) {
        Some(overlay) => overlay.edits.push(new),
        None => wanted.push(Overlay {
            root: root.clone(),
            position: *position,
            object: target.object.clone(),
            edits: vec![new],
        }),
    }
    Ok(())
}

/// The edits of the roots' kustomizations for all overlays.
pub(super) fn write(repository: &Repository<'_>, wanted: &[Overlay]) -> Result<Written, Refusal> {
    let mut written = Written::new();
    let mut added: BTreeMap<(String, &str), Vec<(usize, Value)>> = BTreeMap::new();
    for (i, overlay) in wanted.iter().enumerate() {
        for (key, entry) in entries(repository, overlay)? {
            let of_key = added.entry((overlay.root.clone(), key)).or_default();
            of_key.push((i, entry));
        }
    }
    for ((root, key), entries) in added {
        let k = repository.index.kustomizations.get(&root).ok_or_else(|| {
            let message = format!("{} has no kustomization", shown(&root));
            Refusal::new(Code::UnknownWriter, message)
        })?;
        let edits = append(
            &k.value,
            key,
            entries.iter().map(|(_, e)| e.clone()).collect(),
        );
        for (i, _) in &entries {
            let Some(overlay) = wanted.get(*i) else {
                continue;
            };
            let place = (overlay.root.clone(), overlay.position);
            let entry = written
                .entry(place)
                .or_insert_with(|| (k.file.clone(), Vec::new()));
            for edit in &edits {
                if !entry.1.contains(edit) {
                    entry.1.push(edit.clone());
                }
            }
        }
    }
    Ok(written)
}

/// The answer for one edit: all edits of its object's overlay.
pub(super) fn located(
    repository: &Repository<'_>,
    target: &Target,
    written: &Written,
) -> Result<Located, Refusal> {
    let place = target.rendered.clone().unwrap_or_default();
    let missing = || Refusal::new(Code::UnknownWriter, "no overlay was written");
    let (file, edits) = written.get(&place).ok_or_else(missing)?;
    let first = edits.first().ok_or_else(missing)?;
    Ok(Located {
        site: new_site(repository, target, file, first),
        edits: BTreeMap::from([(file.clone(), edits.clone())]),
    })
}

/// New items of a list of the kustomization, which may not be there yet.
fn append(kustomization: &Value, key: &str, items: Vec<Value>) -> Vec<FileEdit> {
    let edit = |path: FieldPath, value: Value| FileEdit {
        document: 0,
        path,
        op: Op::Add(value),
        expected: None,
        inner: None,
    };
    let list_path = FieldPath::keys([key]);
    match kustomization.get(key) {
        Some(Value::Array(present)) => items
            .into_iter()
            .enumerate()
            .map(|(i, item)| edit(list_path.index(present.len() + i), item))
            .collect(),
        Some(Value::Null) => vec![FileEdit {
            op: Op::Set(Value::Array(items)),
            expected: Some(Value::Null),
            ..edit(list_path, Value::Null)
        }],
        _ => vec![edit(list_path, Value::Array(items))],
    }
}

/// The smallest entries that do what an overlay wants: `images`, `replicas`, else one patch.
fn entries(
    repository: &Repository<'_>,
    overlay: &Overlay,
) -> Result<Vec<(&'static str, Value)>, Refusal> {
    let objects = repository.baseline(&overlay.root)?;
    let rendered = repository.at_position(&overlay.root, overlay.position)?;
    let k = repository.index.kustomizations.get(&overlay.root);
    let k = k.map_or(&Value::Null, |k| &k.value);
    let mut found = Vec::new();
    let mut patched = Vec::new();
    for (path, op) in &overlay.edits {
        if let Some(entry) = image_entry(objects, rendered, k, path, op) {
            found.push(("images", entry));
        } else if let Some(entry) = replicas_entry(rendered, k, path, op) {
            found.push(("replicas", entry));
        } else {
            patched.push((path.clone(), op.clone()));
        }
    }
    if !patched.is_empty() {
        let name = name_for_patches(rendered.object.name(), k);
        found.push(("patches", patch(overlay, rendered, name, &patched)?));
    }
    Ok(found)
}

/// An `images:` entry, if only this one field of the root uses the image.
fn image_entry(
    objects: &[Rendered],
    rendered: &Rendered,
    kustomization: &Value,
    path: &FieldPath,
    op: &Op,
) -> Option<Value> {
    let Op::Set(Value::String(wanted)) = op else {
        return None;
    };
    let is_container = path
        .0
        .iter()
        .any(|seg| matches!(seg, Seg::Key(k) if k == "containers" || k == "initContainers"));
    (is_container && path.0.last() == Some(&Seg::Key("image".to_owned()))).then_some(())?;
    let old = Image::parse(path.get(&rendered.object.value)?.as_str()?)?;
    let new = Image::parse(wanted)?;
    (old.name == new.name && !old.name.contains(['*', '+', '[', '\\'])).then_some(())?;
    let taken = list(kustomization, "images").iter().any(|e| {
        [e.get("name"), e.get("newName")]
            .iter()
            .any(|n| n.and_then(Value::as_str) == Some(old.name.as_str()))
    });
    let users = objects
        .iter()
        .flat_map(|r| super::dye::leaves(&r.object.value))
        .filter(|(p, _)| p.0.last() == Some(&Seg::Key("image".to_owned())))
        .filter_map(|(_, v)| v.as_str().and_then(Image::parse))
        .filter(|i| i.name == old.name)
        .count();
    (!taken && users == 1).then_some(())?;
    match (&new.digest, &new.tag) {
        (Some(digest), _) => Some(json!({"name": old.name, "digest": digest})),
        (None, Some(tag)) => Some(json!({"name": old.name, "newTag": tag})),
        (None, None) => None,
    }
}

/// A `replicas:` entry, for the kinds that kustomize knows it for.
fn replicas_entry(
    rendered: &Rendered,
    kustomization: &Value,
    path: &FieldPath,
    op: &Op,
) -> Option<Value> {
    let Op::Set(Value::Number(count)) = op else {
        return None;
    };
    let kinds = [
        "Deployment",
        "StatefulSet",
        "ReplicaSet",
        "ReplicationController",
    ];
    let fits =
        kinds.contains(&rendered.object.kind()) && *path == FieldPath::keys(["spec", "replicas"]);
    let name = rendered.object.name();
    let taken = list(kustomization, "replicas")
        .iter()
        .any(|e| e.get("name").and_then(Value::as_str) == Some(name));
    (fits && !taken).then(|| json!({"name": name, "count": count}))
}

/// The name that an object has when a kustomization's patches run: its own prefix and suffix come
/// later.
fn name_for_patches<'n>(rendered: &'n str, kustomization: &Value) -> &'n str {
    let own = |key: &str| {
        let text = kustomization.get(key).and_then(Value::as_str);
        text.unwrap_or_default()
    };
    let name = rendered.strip_prefix(own("namePrefix")).unwrap_or(rendered);
    name.strip_suffix(own("nameSuffix")).unwrap_or(name)
}

/// One patch with a target, so that prefixes and namespaces do not matter.
fn patch(
    overlay: &Overlay,
    rendered: &Rendered,
    name: &str,
    edits: &[(FieldPath, Op)],
) -> Result<Value, Refusal> {
    let object = &rendered.object;
    let keeps_order = |(path, op): &(FieldPath, Op)| keeps_order(&object.value, path, op);
    let merged = (is_built_in(&overlay.object) && edits.iter().all(keeps_order))
        .then(|| merge_patch(&object.value, edits))
        .flatten();
    let text = match merged {
        Some(mut body) => {
            let mut whole = Map::new();
            whole.insert("apiVersion".to_owned(), Value::from(object.api_version()));
            whole.insert("kind".to_owned(), Value::from(object.kind()));
            whole.insert("metadata".to_owned(), json!({"name": name}));
            merge(
                &mut whole,
                body.as_object_mut().map(std::mem::take).unwrap_or_default(),
            );
            block(&Value::Object(whole))
        }
        None => json_patch(&object.value, edits)?,
    };
    let mut target = Map::new();
    if !overlay.object.group().is_empty() {
        target.insert("group".to_owned(), Value::from(overlay.object.group()));
    }
    target.insert("kind".to_owned(), Value::from(object.kind()));
    // A target's name is a regular expression that must match all of the name.
    target.insert("name".to_owned(), Value::from(name.replace('.', "\\.")));
    Ok(json!({"target": target, "patch": text}))
}

/// Groups whose types kustomize knows, so that lists merge by their keys.
fn is_built_in(object: &ObjectRef) -> bool {
    let groups = [
        "",
        "apps",
        "batch",
        "autoscaling",
        "policy",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
    ];
    groups.contains(&object.group())
}

/// The key by which a list of a built-in type is merged.
fn merge_key(parent: &FieldPath, item: &Value) -> Option<&'static str> {
    let Some(Seg::Key(key)) = parent.0.last() else {
        return None;
    };
    let key = match key.as_str() {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => "name",
        "ports" if item.get("containerPort").is_some() => "containerPort",
        "ports" if item.get("port").is_some() => "port",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    };
    item.get(key)?;
    Some(key)
}

/// Whether a merge leaves lists in their order: it moves the items that it names to the front.
fn keeps_order(object: &Value, path: &FieldPath, op: &Op) -> bool {
    let path = path.resolve(object);
    let adds = matches!(op, Op::Add(_));
    let removes = matches!(op, Op::Remove);
    path.0.iter().enumerate().all(|(i, seg)| {
        let last = i + 1 == path.0.len();
        !matches!(seg, Seg::Index(n) if *n > 0 && !(last && (adds || removes)))
    })
}

/// One strategic merge patch for all edits; none where a list cannot be merged.
fn merge_patch(object: &Value, edits: &[(FieldPath, Op)]) -> Option<Value> {
    let mut whole = Map::new();
    for (path, op) in edits {
        let one = graft(object, &FieldPath::default(), &path.0, op)?;
        merge(&mut whole, one.as_object()?.clone());
    }
    Some(Value::Object(whole))
}

/// The patch below `at` that does `op` at the end of `rest`.
fn graft(value: &Value, at: &FieldPath, rest: &[Seg], op: &Op) -> Option<Value> {
    let Some((seg, deeper)) = rest.split_first() else {
        return Some(match op {
            Op::Set(v) | Op::Add(v) => v.clone(),
            Op::Remove => Value::Null,
        });
    };
    match seg {
        Seg::Key(key) => {
            let below = value.get(key).unwrap_or(&Value::Null);
            let inner = graft(below, &at.key(key), deeper, op)?;
            Some(json!({key.as_str(): inner}))
        }
        Seg::Index(i) => graft_item(value, at, *i, deeper, op),
        Seg::Named { .. } => None,
    }
}

fn graft_item(
    list: &Value,
    at: &FieldPath,
    index: usize,
    deeper: &[Seg],
    op: &Op,
) -> Option<Value> {
    let added = match op {
        Op::Add(v) if deeper.is_empty() => Some(v),
        _ => None,
    };
    let item = list.get(index).or(added);
    let keyed = item.and_then(|item| merge_key(at, item).map(|key| (item, key)));
    let Some((item, key)) = keyed else {
        // A list without a merge key is replaced as a whole.
        let mut whole = list.clone();
        whole.is_array().then_some(())?;
        let path = FieldPath(
            std::iter::once(Seg::Index(index))
                .chain(deeper.iter().cloned())
                .collect(),
        );
        apply_op(&mut whole, &path, op);
        return Some(whole);
    };
    let mut patch = Map::new();
    patch.insert(key.to_owned(), item.get(key)?.clone());
    match (deeper.is_empty(), op) {
        (true, Op::Remove) => {
            patch.insert("$patch".to_owned(), Value::from("delete"));
        }
        (true, Op::Set(v) | Op::Add(v)) => merge(&mut patch, v.as_object()?.clone()),
        (false, _) => {
            let inner = graft(item, &at.index(index), deeper, op)?;
            merge(&mut patch, inner.as_object()?.clone());
        }
    }
    Some(json!([patch]))
}

/// Deep union; items of lists with the same merge key become one.
fn merge(into: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(a)), Value::Object(b)) => merge(a, b),
            (Some(Value::Array(a)), Value::Array(b)) if merges(&key) => {
                b.into_iter().for_each(|item| merge_item(&key, a, item));
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn merges(key: &str) -> bool {
    matches!(
        key,
        "containers" | "initContainers" | "env" | "volumes" | "ports" | "volumeMounts"
    )
}

fn merge_item(list: &str, items: &mut Vec<Value>, item: Value) {
    let key = merge_key(&FieldPath::keys([list]), &item);
    let twin = key.and_then(|key| items.iter_mut().find(|i| i.get(key) == item.get(key)));
    match (twin, item) {
        (Some(Value::Object(a)), Value::Object(b)) => merge(a, b),
        (_, item) => items.push(item),
    }
}

/// JSON6902, each replacement and removal behind a test of the old value.
fn json_patch(object: &Value, edits: &[(FieldPath, Op)]) -> Result<String, Refusal> {
    let mut operations = Vec::new();
    let mut ordered: Vec<&(FieldPath, Op)> = edits.iter().collect();
    // Removals last, and from the end: they move what is behind them.
    let is_removal = |(_, op): &&(FieldPath, Op)| matches!(op, Op::Remove);
    ordered.sort_by(|a, b| is_removal(a).cmp(&is_removal(b)).then(b.0.cmp(&a.0)));
    for (path, op) in ordered {
        let path = path.resolve(object);
        operations.extend(name_tests(object, &path)?);
        let pointer = pointer(&path)?;
        let old = path.get(object);
        if let (Some(old), Op::Set(_) | Op::Remove) = (old, op) {
            operations.push(json!({"op": "test", "path": pointer, "value": old}));
        }
        match op {
            Op::Remove => operations.push(json!({"op": "remove", "path": pointer})),
            Op::Set(v) if old.is_some() => {
                operations.push(json!({"op": "replace", "path": pointer, "value": v}));
            }
            Op::Set(v) | Op::Add(v) => operations.extend(json_add(object, &path, v)?),
        }
    }
    Ok(block(&Value::Array(operations)))
}

/// Tests that the list items on the way are still the ones that were meant.
fn name_tests(object: &Value, path: &FieldPath) -> Result<Vec<Value>, Refusal> {
    let mut tests = Vec::new();
    for (i, seg) in path.0.iter().enumerate() {
        let item = FieldPath(path.0.get(..=i).unwrap_or_default().to_vec());
        let name = item.key("name");
        if let (Seg::Index(_), Some(value)) = (seg, name.get(object)) {
            tests.push(json!({"op": "test", "path": pointer(&name)?, "value": value}));
        }
    }
    Ok(tests)
}

/// An addition, with the parents that are missing.
fn json_add(object: &Value, path: &FieldPath, value: &Value) -> Result<Option<Value>, Refusal> {
    let (reached, gap) = super::target::reach(object, path)?;
    let Some((first, deeper)) = gap.split_first() else {
        return Ok(None);
    };
    let mut nested = value.clone();
    for seg in deeper.iter().rev() {
        nested = match seg {
            Seg::Key(key) => json!({key.as_str(): nested}),
            _ => json!([nested]),
        };
    }
    let at = pointer(&reached.then(first.clone()))?;
    Ok(Some(json!({"op": "add", "path": at, "value": nested})))
}

fn pointer(path: &FieldPath) -> Result<String, Refusal> {
    let mut text = String::new();
    for seg in &path.0 {
        text.push('/');
        match seg {
            Seg::Key(key) => text.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Seg::Index(i) => text.push_str(&i.to_string()),
            Seg::Named { key, value } => {
                let message = format!("no item has {key} {value}");
                return Err(Refusal::new(Code::PathNotFound, message));
            }
        }
    }
    Ok(text)
}
