//! How a container in Git differs from the same container of an earlier revision, field by field.

use serde_json::{Map, Value};

use crate::lock::{KnownGood, equivalent, short};
use crate::object::{Container, Object, list};
use crate::path::FieldPath;
use crate::propose::playbook::build::{edit, put};
use crate::propose::playbook::container::subject::Subject;
use crate::propose::{Op, ProposedEdit, Unlock};

/// One field, or several that belong together, with what the earlier revision had.
pub(super) struct Difference {
    /// `image`, `program` (command, args, workingDir), `env`, `memory limit`, or a probe.
    pub group: &'static str,
    /// The environment variable, for `env`.
    pub env: Option<String>,
    /// For titles: `image nginx:1.27`.
    pub what: String,
    /// For the diagnosis: `image was a, is b`.
    pub story: String,
    /// The earlier value; none if the field was not there.
    pub good: Option<Value>,
    changes: Vec<(FieldPath, Op)>,
}

impl Difference {
    pub(super) fn edits(&self, subject: &Subject<'_>, good: &KnownGood) -> Vec<ProposedEdit> {
        let object = subject.object();
        let of = |(path, op): &(FieldPath, Op)| {
            edit(
                &object,
                path.clone(),
                op.clone(),
                Unlock::LastHealthyTemplate,
                good.basis.clone(),
            )
        };
        self.changes.iter().map(of).collect()
    }
}

/// Every difference that a revert may touch.
pub(super) fn differences(
    manifest: &Object,
    container: &Container<'_>,
    good: &Value,
) -> Vec<Difference> {
    let Some(good) = container.path.get(good) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    out.extend(whole(manifest, container, good, "image", &["image"]));
    out.extend(whole(
        manifest,
        container,
        good,
        "program",
        &["command", "args", "workingDir"],
    ));
    out.extend(env(container, good));
    out.extend(memory(manifest, container, good));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        out.extend(probe_difference(manifest, container, good, probe));
    }
    out
}

fn whole(
    manifest: &Object,
    container: &Container<'_>,
    good: &Value,
    group: &'static str,
    keys: &[&str],
) -> Option<Difference> {
    let differs = |key: &&&str| !same(container.value.get(**key), good.get(**key));
    let keys: Vec<&&str> = keys.iter().filter(differs).collect();
    let first = keys.first()?;
    let changes = keys
        .iter()
        .map(|key| {
            let path = container.path.key(key);
            let op = match good.get(**key) {
                Some(value) => put(&manifest.value, &path, value.clone()),
                None => Op::Remove,
            };
            (path, op)
        })
        .collect();
    let tell = |key: &str| {
        format!(
            "{key} was {}, is {}",
            text(good.get(key)),
            text(container.value.get(key))
        )
    };
    let what = match good.get(**first) {
        Some(value) => format!("{first} {}", short(value)),
        None => format!("the image's own {first}"),
    };
    Some(Difference {
        group,
        env: None,
        what,
        story: keys.iter().map(|k| tell(k)).collect::<Vec<_>>().join("; "),
        good: good.get(**first).cloned(),
        changes,
    })
}

fn same(mine: Option<&Value>, good: Option<&Value>) -> bool {
    match (mine.filter(|v| !v.is_null()), good) {
        (None, None) => true,
        (Some(mine), Some(good)) => equivalent(mine, good),
        _ => false,
    }
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(|| "not set".to_owned(), short)
}

fn env(container: &Container<'_>, good: &Value) -> Vec<Difference> {
    let (mine, theirs) = (container.list("env"), list(good, "env"));
    let name = |e: &Value| e.get("name").and_then(Value::as_str).map(str::to_owned);
    let by_name = |items: &[Value], wanted: &str| {
        items
            .iter()
            .find(|e| name(e).as_deref() == Some(wanted))
            .cloned()
    };
    let path = container.path.key("env");
    let mut out = Vec::new();
    for item in mine {
        let Some(name) = name(item) else { continue };
        let changes = match by_name(theirs, &name) {
            None => vec![(path.named(&name), Op::Remove)],
            Some(good) if same_env(item, &good) => continue,
            Some(good) => restored_item(&path.named(&name), item, &good),
        };
        let before = by_name(theirs, &name);
        out.push(env_difference(&name, Some(item), before, changes));
    }
    let mut end = mine.len();
    for good in theirs {
        let Some(name) = name(good) else { continue };
        if by_name(mine, &name).is_none() {
            let changes = vec![(path.index(end), Op::Add(without_defaults(good)))];
            out.push(env_difference(&name, None, Some(good.clone()), changes));
            end += 1;
        }
    }
    out
}

fn same_env(mine: &Value, good: &Value) -> bool {
    equivalent(mine, good) && mine.get("value").is_some() == good.get("value").is_some()
}

/// Single values where only values differ, else the whole item: what is written once is changed once.
fn restored_item(path: &FieldPath, mine: &Value, good: &Value) -> Vec<(FieldPath, Op)> {
    let good = without_defaults(good);
    let mut single = Vec::new();
    if let (Value::Object(mine), Value::Object(good)) = (mine, &good) {
        leaves(path, mine, good, &mut single);
    }
    let is_value = |(_, op): &(FieldPath, Op)| matches!(op, Op::Set(v) if !v.is_object());
    match !single.is_empty() && single.iter().all(is_value) {
        true => single,
        false => vec![(path.clone(), Op::Set(good))],
    }
}

/// `fieldRef.apiVersion: v1` and the like are filled in by the server.
fn without_defaults(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(Value::Object(field)) = item.pointer_mut("/valueFrom/fieldRef") {
        field.remove("apiVersion");
    }
    item
}

fn env_difference(
    name: &str,
    mine: Option<&Value>,
    good: Option<Value>,
    changes: Vec<(FieldPath, Op)>,
) -> Difference {
    let tell = |v: Option<&Value>| {
        v.map_or_else(
            || "not there".to_owned(),
            |v| short(v.get("value").unwrap_or(v)),
        )
    };
    Difference {
        group: "env",
        env: Some(name.to_owned()),
        what: format!("environment variable {name}"),
        story: format!(
            "environment variable {name} was {}, is {}",
            tell(good.as_ref()),
            tell(mine)
        ),
        good,
        changes,
    }
}

/// The memory limit (and a request above the earlier limit never arises: both are put back).
fn memory(manifest: &Object, container: &Container<'_>, good: &Value) -> Option<Difference> {
    let value = |v: &Value, list: &str| v.get("resources")?.get(list)?.get("memory").cloned();
    let limit = value(good, "limits")?;
    let mine = value(container.value, "limits")?;
    if equivalent(&mine, &limit) {
        return None;
    }
    let path = |list: &str| container.path.key("resources").key(list).key("memory");
    let changes = vec![(
        path("limits"),
        put(&manifest.value, &path("limits"), limit.clone()),
    )];
    Some(Difference {
        group: "memory limit",
        env: None,
        what: format!("memory limit {}", short(&limit)),
        story: format!(
            "the memory limit was {}, is {}",
            short(&limit),
            short(&mine)
        ),
        good: Some(limit),
        changes,
    })
}

/// A probe that changed; one that was added or removed since is not put back here (rule D04).
fn probe_difference(
    manifest: &Object,
    container: &Container<'_>,
    good: &Value,
    field: &'static str,
) -> Option<Difference> {
    let mine = container.value.get(field)?.as_object()?;
    let theirs = good.get(field)?.as_object()?;
    if equivalent(&Value::Object(mine.clone()), &Value::Object(theirs.clone())) {
        return None;
    }
    let path = container.path.key(field);
    let mut changes = Vec::new();
    leaves(&path, mine, theirs, &mut changes);
    let _ = manifest;
    Some(Difference {
        group: field,
        env: None,
        what: field.to_owned(),
        story: format!(
            "{field} was {}, is {}",
            short(&Value::Object(theirs.clone())),
            short(&Value::Object(mine.clone()))
        ),
        good: Some(Value::Object(theirs.clone())),
        changes,
    })
}

fn leaves(
    path: &FieldPath,
    mine: &Map<String, Value>,
    good: &Map<String, Value>,
    out: &mut Vec<(FieldPath, Op)>,
) {
    for (key, value) in mine {
        let at = path.key(key);
        match (value, good.get(key)) {
            (_, Some(g)) if equivalent(value, g) => {}
            (Value::Object(m), Some(Value::Object(g))) => leaves(&at, m, g, out),
            (_, Some(g)) => out.push((at, Op::Set(g.clone()))),
            (_, None) => out.push((at, Op::Remove)),
        }
    }
    for (key, value) in good {
        if !mine.contains_key(key) && !is_default(key, value) {
            out.push((path.key(key), Op::Add(clean(value))));
        }
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    let number = value.as_i64();
    match key {
        "successThreshold" | "timeoutSeconds" => number == Some(1),
        "periodSeconds" => number == Some(10),
        "failureThreshold" => number == Some(3),
        "scheme" => value.as_str() == Some("HTTP"),
        "service" => value.as_str() == Some(""),
        _ => false,
    }
}

fn clean(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(k, v)| !is_default(k, v))
                .map(|(k, v)| (k.clone(), clean(v)))
                .collect(),
        ),
        other => other.clone(),
    }
}
