//! The repair of one schema issue: certain, or a doubt with options.

use serde_json::{Map, Value, json};

use crate::case::Case;
use crate::code::Code;
use crate::object::Object;
use crate::path::{FieldPath, Seg};
use crate::propose::playbook::manifest::{is_identity, is_named};
use crate::propose::{Op, Unlock};
use crate::quantity::Quantity;
use crate::schema::{self, Issue, IssueKind, Shape};

/// One change of the object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) path: FieldPath,
    pub(super) op: Op,
    pub(super) why: String,
    pub(super) unlock: Unlock,
}

impl Step {
    pub(super) fn describe(&self) -> String {
        match &self.op {
            Op::Set(v) => format!("{} becomes {}", self.path, short(v)),
            Op::Add(v) => format!("{} is added: {}", self.path, short(v)),
            Op::Remove => format!("{} is removed", self.path),
        }
    }
}

fn short(value: &Value) -> String {
    let text: String = value.to_string();
    if text.chars().count() > 120 {
        return format!("{}…", text.chars().take(120).collect::<String>());
    }
    text
}

/// Something that only a person knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Doubt {
    /// The issue behind it; none for an open point of a conversion.
    pub(super) issue: Option<Issue>,
    pub(super) path: String,
    pub(super) why: String,
    pub(super) code: Code,
    pub(super) options: Vec<Choosable>,
}

/// One option.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choosable {
    pub(super) title: String,
    pub(super) steps: Vec<Step>,
}

impl Doubt {
    /// A doubt without an issue.
    pub(super) fn text(path: &str, why: String) -> Self {
        Self {
            issue: None,
            path: path.to_owned(),
            why,
            code: Code::OwnerDecision,
            options: Vec::new(),
        }
    }
}

/// What to do about an issue.
pub(super) enum Repair {
    Certain(Vec<Step>),
    Doubtful(Doubt),
}

/// The repair of one issue of an object.
pub(super) fn repair(issue: &Issue, object: &Object, case: &Case<'_>) -> Repair {
    if is_identity(issue) {
        return identity(issue, object);
    }
    match &issue.kind {
        IssueKind::UnknownField {
            nearest: Some(name),
        } => rename(issue, name, object),
        IssueKind::UnknownField { nearest: None } => stray(issue, object, case),
        IssueKind::WrongType {
            fixed: Some(value),
            expected,
            ..
        } => certain(set(
            &issue.path,
            value,
            format!("the schema demands {expected}; the value is the same"),
        )),
        IssueKind::WrongType { .. } => doubt(
            issue,
            Code::MissingValue,
            "the value cannot be read as the demanded type",
            before(issue, object, case).into_iter().collect(),
        ),
        IssueKind::BadEnum {
            nearest: Some(value),
            ..
        } => certain(set(
            &issue.path,
            &json!(value),
            format!("{value} is the only allowed value of that spelling"),
        )),
        IssueKind::BadEnum { allowed, .. } => one_of(issue, allowed),
        IssueKind::MissingRequired => missing(issue, object),
        IssueKind::BadQuantity { value } => quantity(issue, value),
        IssueKind::SelectorMismatch { missing } => labels(issue, missing, object, case),
        IssueKind::Unresolved { known, nearest, .. } => {
            unresolved(issue, known, nearest.as_deref())
        }
        IssueKind::BadName { .. } | IssueKind::BadValue { .. } | IssueKind::RemovedApi { .. } => {
            rule(issue, object)
        }
    }
}

fn step(path: FieldPath, op: Op, why: impl Into<String>) -> Step {
    Step {
        path,
        op,
        why: why.into(),
        unlock: Unlock::InvalidManifest,
    }
}

fn set(path: &FieldPath, value: &Value, why: String) -> Vec<Step> {
    vec![step(path.clone(), Op::Set(value.clone()), why)]
}

fn certain(steps: Vec<Step>) -> Repair {
    Repair::Certain(steps)
}

fn doubt(issue: &Issue, code: Code, why: impl Into<String>, options: Vec<Choosable>) -> Repair {
    Repair::Doubtful(Doubt {
        issue: Some(issue.clone()),
        path: issue.path.to_string(),
        why: why.into(),
        code,
        options,
    })
}

fn option(title: impl Into<String>, steps: Vec<Step>) -> Choosable {
    Choosable {
        title: title.into(),
        steps,
    }
}

fn identity(issue: &Issue, object: &Object) -> Repair {
    let why = format!(
        "rule G01: kubemend never changes a name or namespace, because other objects may refer to it and a rename is a deletion; choose a valid one for the {} by hand",
        object.kind()
    );
    let title = format!(
        "Give {} {:?} a valid {} by hand",
        object.kind(),
        object.name(),
        issue.path
    );
    doubt(
        issue,
        Code::BlockedIdentity,
        why,
        vec![option(title, Vec::new())],
    )
}

/// The last value of the demanded type that Git had. Whoever replaced it may have meant another one.
fn before(issue: &Issue, object: &Object, case: &Case<'_>) -> Option<Choosable> {
    let shape = schema::shape_at(object, &issue.path)?;
    let path = issue.path.by_name(&object.value);
    let mut earlier = case.earlier_of(&case.finding.object).into_iter();
    let (value, commit) = earlier.find_map(|e| {
        let value = path.get(&e.object.value)?;
        schema::fits(value, &shape).then_some((value, &e.replaced_by))
    })?;
    let id: String = commit.id.chars().take(10).collect();
    let why = format!("Git had it before commit {id} ({})", commit.subject);
    Some(option(
        format!("Put {} back to {}: {why}", issue.path, short(value)),
        set(&issue.path, value, why),
    ))
}

/// A mistyped key: the same value under the right one.
fn rename(issue: &Issue, name: &str, object: &Object) -> Repair {
    let (Some((parent, _)), Some(value)) = (issue.path.split_last(), issue.path.get(&object.value))
    else {
        return stray_text(issue);
    };
    let why = format!("{name} is the only field of the schema of that spelling");
    certain(vec![
        step(issue.path.clone(), Op::Remove, why.clone()),
        step(parent.key(name), Op::Add(value.clone()), why),
    ])
}

/// A field that the schema does not have, nor anything like it.
fn stray(issue: &Issue, object: &Object, case: &Case<'_>) -> Repair {
    let path = issue.path.to_string();
    if object.kind() == "Ingress" && (path.contains(".backend.service") || path == "spec.backend") {
        let moves = schema::ingress_moves(object).into_iter();
        let steps: Vec<Step> = moves.map(|m| step(m.path, m.op, m.why)).collect();
        if !steps.is_empty() {
            return certain(steps);
        }
    }
    let per_node = object.kind() == "DaemonSet" && path == "spec.replicas";
    if per_node && is_named(case, &issue.path) {
        let why = "a DaemonSet has one pod on each node and no replica count, so the field never meant anything";
        return certain(vec![step(issue.path.clone(), Op::Remove, why)]);
    }
    let mut options: Vec<Choosable> = homes(issue, object)
        .into_iter()
        .map(|to| relocation(issue, to, object))
        .collect();
    options.push(option(
        format!("Remove {path}"),
        vec![step(
            issue.path.clone(),
            Op::Remove,
            "the schema has no such field",
        )],
    ));
    doubt(
        issue,
        Code::OwnerDecision,
        "the schema has no such field here, and none of a similar name",
        options,
    )
}

fn stray_text(issue: &Issue) -> Repair {
    doubt(
        issue,
        Code::OwnerDecision,
        "the schema has no such field here",
        Vec::new(),
    )
}

fn relocation(issue: &Issue, to: FieldPath, object: &Object) -> Choosable {
    let value = issue.path.get(&object.value).cloned().unwrap_or_default();
    let why = "the schema has a field of this name there, and none here";
    let title = format!("Move {} to {to}", issue.path);
    option(
        title,
        vec![
            step(issue.path.clone(), Op::Remove, why),
            step(to, Op::Add(value), why),
        ],
    )
}

/// Where a misplaced field would belong: an enclosing level, or the only child of a level.
fn homes(issue: &Issue, object: &Object) -> Vec<FieldPath> {
    let (Some((parent, Seg::Key(key))), Some(value)) =
        (issue.path.split_last(), issue.path.get(&object.value))
    else {
        return Vec::new();
    };
    let mut places: Vec<FieldPath> = (0..parent.0.len())
        .map(|n| FieldPath(parent.0.iter().take(n).cloned().collect()))
        .collect();
    places.extend(children(&parent, object, 3));
    let fits = |place: &FieldPath| {
        let to = place.key(key);
        let free = to.get(&object.value).is_none();
        free && schema::shape_at(object, &to)
            .is_some_and(|s| s != Shape::Any && schema::fits(value, &s))
    };
    places
        .into_iter()
        .filter(fits)
        .map(|place| place.key(key))
        .filter(|to| to.0.len() > 1)
        .take(3)
        .collect()
}

/// Mappings below a path, through mappings and through lists of one item.
fn children(at: &FieldPath, object: &Object, depth: usize) -> Vec<FieldPath> {
    let Some(Value::Object(map)) = at.get(&object.value) else {
        return Vec::new();
    };
    if depth == 0 {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (key, value) in map {
        let next = match value {
            Value::Object(_) => at.key(key),
            Value::Array(items) if items.len() == 1 => at.key(key).index(0),
            _ => continue,
        };
        // labels, annotations, data: a free mapping is no home
        if matches!(schema::shape_at(object, &next), Some(Shape::Type(_))) {
            out.push(next.clone());
            out.extend(children(&next, object, depth - 1));
        }
    }
    out
}

fn one_of(issue: &Issue, allowed: &[&str]) -> Repair {
    let options = allowed.iter().take(6).map(|value| {
        option(
            format!("Set {} to {value}", issue.path),
            set(&issue.path, &json!(value), "an allowed value".to_owned()),
        )
    });
    doubt(
        issue,
        Code::OwnerDecision,
        format!("allowed are {}", allowed.join(", ")),
        options.collect(),
    )
}

fn missing(issue: &Issue, object: &Object) -> Repair {
    let path = issue.path.to_string();
    let labels = object
        .pod_labels()
        .filter(|l| !l.is_empty() && l.values().all(Value::is_string));
    if let ("spec.selector", Some(labels), true) =
        (path.as_str(), labels, object.pod_spec_path().is_some())
    {
        let why = "the selector has to match the labels of the pod template, and is required";
        return certain(vec![step(
            issue.path.clone(),
            Op::Add(json!({ "matchLabels": labels })),
            why,
        )]);
    }
    if path.ends_with(".pathType") {
        let options = ["Prefix", "Exact", "ImplementationSpecific"]
            .into_iter()
            .map(|kind| {
                option(
                    format!("Add {path}: {kind}"),
                    vec![step(
                        issue.path.clone(),
                        Op::Add(json!(kind)),
                        "an allowed value",
                    )],
                )
            });
        return doubt(
            issue,
            Code::OwnerDecision,
            "the field is required",
            options.collect(),
        );
    }
    doubt(
        issue,
        Code::MissingValue,
        "the field is required, and nothing says its value",
        Vec::new(),
    )
}

/// A spelling of a quantity that can mean one thing only, or the two that it can mean.
fn quantity(issue: &Issue, value: &str) -> Repair {
    let packed: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let end = packed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(packed.len());
    let (digits, unit) = packed.split_at(end);
    let candidates: Vec<String> = match unit.to_ascii_lowercase().as_str() {
        "" => vec![digits.to_owned()],
        "ki" | "kib" => vec![format!("{digits}Ki")],
        "mi" | "mib" => vec![format!("{digits}Mi")],
        "gi" | "gib" => vec![format!("{digits}Gi")],
        "ti" | "tib" => vec![format!("{digits}Ti")],
        "kb" => vec![format!("{digits}k"), format!("{digits}Ki")],
        "mb" | "meg" => vec![format!("{digits}M"), format!("{digits}Mi")],
        "gb" | "g" => vec![format!("{digits}G"), format!("{digits}Gi")],
        "tb" | "t" => vec![format!("{digits}T"), format!("{digits}Ti")],
        "m" => vec![format!("{digits}m")],
        _ => Vec::new(),
    };
    let usable: Vec<String> = candidates
        .into_iter()
        .filter(|c| Quantity::parse(c).is_some())
        .collect();
    let make = |text: &String| {
        set(
            &issue.path,
            &json!(text),
            format!("{value:?} written as a quantity"),
        )
    };
    match usable.as_slice() {
        [only] => certain(make(only)),
        several => {
            let options = several
                .iter()
                .map(|t| option(format!("Set {} to {t}", issue.path), make(t)));
            doubt(
                issue,
                Code::OwnerDecision,
                format!("{value:?} is no quantity"),
                options.collect(),
            )
        }
    }
}

/// The template has to carry the selector's labels; the selector is immutable.
fn labels(issue: &Issue, missing: &[(String, String)], object: &Object, case: &Case<'_>) -> Repair {
    let have = issue.path.get(&object.value).and_then(Value::as_object);
    let why = "the selector demands this label on the pods, and a selector is immutable";
    let Some(have) = have.filter(|l| !l.is_empty()) else {
        let all: Map<String, Value> = missing.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        let there = issue.path.get(&object.value).is_some();
        let value = Value::Object(all);
        let op = if there {
            Op::Set(value)
        } else {
            Op::Add(value)
        };
        return certain(vec![step(issue.path.clone(), op, why)]);
    };
    let steps: Vec<Step> = missing
        .iter()
        .map(|(key, value)| {
            let op = if have.contains_key(key) {
                Op::Set(json!(value))
            } else {
                Op::Add(json!(value))
            };
            step(issue.path.key(key), op, why)
        })
        .collect();
    let conflicts = missing.iter().filter(|(key, _)| have.contains_key(key));
    if conflicts
        .clone()
        .all(|(key, value)| selected_by_a_service(object, key, value, have.get(key), case))
    {
        return certain(steps);
    }
    let pairs: Vec<String> = conflicts
        .map(|(k, v)| {
            format!(
                "the selector wants {k}={v}, the template has {k}={}",
                have.get(k).and_then(Value::as_str).unwrap_or_default()
            )
        })
        .collect();
    let options = vec![
        option("Give the pod template the selector's labels", steps),
        option(
            "Change spec.selector to the template's labels (possible only while the object does not exist in the cluster)",
            Vec::new(),
        ),
    ];
    doubt(issue, Code::OwnerDecision, pairs.join("; "), options)
}

/// Whether a Service of the namespace selects pods by the wanted value, and none by the present one.
fn selected_by_a_service(
    object: &Object,
    key: &str,
    wanted: &str,
    present: Option<&Value>,
    case: &Case<'_>,
) -> bool {
    let chosen: Vec<&str> = case
        .desired
        .iter()
        .filter(|d| d.object.kind() == "Service" && d.object.namespace() == object.namespace())
        .filter_map(|d| d.object.map("spec.selector")?.get(key)?.as_str())
        .collect();
    let present = present.and_then(Value::as_str).unwrap_or_default();
    chosen.contains(&wanted) && !chosen.contains(&present)
}

fn unresolved(issue: &Issue, known: &[String], nearest: Option<&str>) -> Repair {
    let make = |name: &str| {
        option(
            format!("Set {} to {name}", issue.path),
            set(
                &issue.path,
                &json!(name),
                "a volume that the pod defines".to_owned(),
            ),
        )
    };
    let options = match nearest {
        Some(name) => vec![make(name)],
        None => known.iter().take(5).map(|n| make(n)).collect(),
    };
    doubt(
        issue,
        Code::OwnerDecision,
        "rule L02: which volume a container mounts is its owner's decision",
        options,
    )
}

/// Other rules: options where the alternatives are known.
fn rule(issue: &Issue, object: &Object) -> Repair {
    let path = issue.path.to_string();
    let remove = |what: &str| {
        let at: FieldPath = what.parse().unwrap_or_default();
        option(
            format!("Remove {what}"),
            vec![step(at, Op::Remove, "the two exclude each other")],
        )
    };
    let options = match path.as_str() {
        "spec.strategy.rollingUpdate" => vec![
            remove("spec.strategy.rollingUpdate"),
            option(
                "Set spec.strategy.type to RollingUpdate",
                set(
                    &FieldPath::keys(["spec", "strategy", "type"]),
                    &json!("RollingUpdate"),
                    "the type that has these settings".to_owned(),
                ),
            ),
        ],
        "spec" if object.kind() == "PodDisruptionBudget" => {
            vec![remove("spec.minAvailable"), remove("spec.maxUnavailable")]
        }
        _ if path.contains("resources.requests.") => request(issue, object),
        _ if path.ends_with("restartPolicy") => ["Never", "OnFailure"]
            .into_iter()
            .map(|v| {
                let there = issue.path.get(&object.value).is_some();
                let op = if there {
                    Op::Set(json!(v))
                } else {
                    Op::Add(json!(v))
                };
                option(
                    format!("Set {path} to {v}"),
                    vec![step(issue.path.clone(), op, "an allowed value")],
                )
            })
            .collect(),
        _ => Vec::new(),
    };
    doubt(
        issue,
        Code::OwnerDecision,
        "the API server refuses this",
        options,
    )
}

/// A request over its limit: lower the one, or raise the other.
fn request(issue: &Issue, object: &Object) -> Vec<Choosable> {
    let limit_path = FieldPath(
        issue
            .path
            .0
            .iter()
            .map(|s| {
                if *s == Seg::Key("requests".to_owned()) {
                    Seg::Key("limits".to_owned())
                } else {
                    s.clone()
                }
            })
            .collect(),
    );
    let (Some(request), Some(limit)) =
        (issue.path.get(&object.value), limit_path.get(&object.value))
    else {
        return Vec::new();
    };
    vec![
        option(
            format!("Lower {} to {}", issue.path, short(limit)),
            set(&issue.path, limit, "the limit".to_owned()),
        ),
        option(
            format!("Raise {limit_path} to {}", short(request)),
            set(&limit_path, request, "the request".to_owned()),
        ),
    ]
}
