//! The walk over an object along its schema: fields, types, and single values.

use serde_json::{Map, Number, Value};

use crate::path::{FieldPath, Seg};
use crate::quantity::Quantity;
use crate::schema::nearest::nearest;
use crate::schema::table::{Field, Fields, Shape, fields};
use crate::schema::values;
use crate::schema::{Issue, IssueKind};

/// No object nests deeper; what does is not looked at below.
const MAX_DEPTH: usize = 60;
/// The most issues of one object.
const MAX_ISSUES: usize = 50;

/// All issues of an object whose type is `root`.
pub(super) fn check(object: &Value, root: &str) -> Vec<Issue> {
    let mut walk = Walk::new(object);
    walk.fields_of(object, root, &FieldPath::default(), 0);
    walk.issues
}

/// Whether a value has the shape, with all that is below it.
pub fn fits(value: &Value, shape: &Shape) -> bool {
    let mut walk = Walk::new(&Value::Null);
    walk.value(value, shape, &FieldPath::default(), 0);
    walk.issues.is_empty()
}

struct Walk {
    issues: Vec<Issue>,
    /// Values of Secrets are never looked at, nor quoted in a message.
    secret: bool,
}

impl Walk {
    fn new(object: &Value) -> Self {
        Self {
            issues: Vec::new(),
            secret: object.get("kind").and_then(Value::as_str) == Some("Secret"),
        }
    }

    fn report(&mut self, path: &FieldPath, kind: IssueKind) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue {
                path: path.clone(),
                kind,
            });
        }
    }

    fn fields_of(&mut self, value: &Value, of: &str, path: &FieldPath, depth: usize) {
        let Some(known) = fields(of) else { return };
        let Value::Object(map) = value else {
            return self.wrong(value, &Shape::Type(of.to_owned()), path);
        };
        for (key, inner) in map {
            let at = path.key(key);
            // the server writes these, and ignores what is sent
            if depth == 0 && key == "status" {
                continue;
            }
            match known.get(key) {
                Some(field) => self.field(inner, of, key, field, &at, depth),
                None if is_directive(key) => {}
                None => self.unknown(key, inner, map, known, &at),
            }
        }
        self.missing(map, of, known, path);
    }

    fn field(
        &mut self,
        value: &Value,
        of: &str,
        key: &str,
        field: &Field,
        at: &FieldPath,
        depth: usize,
    ) {
        // absent for the server
        if value.is_null() {
            return;
        }
        if self.secret && depth == 0 && matches!(key, "data" | "stringData") {
            return;
        }
        let before = self.issues.len();
        self.value(value, &field.shape, at, depth + 1);
        if self.issues.len() == before {
            self.allowed(value, of, key, at);
        }
    }

    fn missing(&mut self, map: &Map<String, Value>, of: &str, known: &Fields, path: &FieldPath) {
        for (name, field) in known.iter().filter(|(_, f)| f.required) {
            let there = map.get(name).is_some_and(|v| !v.is_null());
            // under another spelling it is not missing but mistyped
            let mistyped = || {
                map.keys()
                    .filter(|k| !known.contains_key(*k))
                    .any(|k| nearest(k, known.keys().map(String::as_str)) == Some(name))
            };
            if !there && !server_fills(of, name, &field.shape) && !mistyped() {
                self.report(&path.key(name), IssueKind::MissingRequired);
            }
        }
    }

    fn unknown(
        &mut self,
        key: &str,
        value: &Value,
        map: &Map<String, Value>,
        known: &Fields,
        at: &FieldPath,
    ) {
        if values::is_placeholder(key) || (at.0.len() == 1 && is_seal(key, value)) {
            return;
        }
        let free = known
            .iter()
            .filter(|(name, _)| !map.contains_key(*name))
            .map(|(name, _)| name.as_str());
        let candidate = synonym(key, known).or_else(|| nearest(key, free));
        let nearest = candidate
            .filter(|name| !map.contains_key(*name))
            .filter(|name| known.get(*name).is_some_and(|f| could_be(value, &f.shape)))
            .map(str::to_owned);
        self.report(at, IssueKind::UnknownField { nearest });
    }

    fn value(&mut self, value: &Value, shape: &Shape, path: &FieldPath, depth: usize) {
        if depth > MAX_DEPTH || value.as_str().is_some_and(values::is_placeholder) {
            return;
        }
        match (shape, value) {
            (Shape::Type(of), _) => self.fields_of(value, of, path, depth),
            (Shape::List(inner), Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if !item.is_null() {
                        self.value(item, inner, &item_path(path, items, i), depth + 1);
                    }
                }
            }
            (Shape::Map(inner), Value::Object(map)) => {
                for (key, item) in map.iter().filter(|(_, v)| !v.is_null()) {
                    self.value(item, inner, &path.key(key), depth + 1);
                }
            }
            (Shape::Quantity, Value::String(text))
                if Quantity::parse(text.trim()).is_none() || text.trim() != text =>
            {
                self.report(
                    path,
                    IssueKind::BadQuantity {
                        value: text.clone(),
                    },
                );
            }
            _ if has_shape(value, shape) => {}
            _ => self.wrong(value, shape, path),
        }
    }

    fn wrong(&mut self, value: &Value, shape: &Shape, path: &FieldPath) {
        self.report(
            path,
            IssueKind::WrongType {
                expected: shape_name(shape),
                found: type_name(value),
                fixed: converted(value, shape),
            },
        );
    }

    /// Enumerations, ports and names.
    fn allowed(&mut self, value: &Value, of: &str, key: &str, path: &FieldPath) {
        if let Some(allowed) = values::allowed(of, key) {
            return self.one_of(value, allowed, path);
        }
        if let (true, Some(port)) = (values::is_port(of, key), value.as_i64()) {
            let none = port == 0 && values::zero_port_is_none(of, key);
            if !none && !(1..=65535).contains(&port) {
                let rule = format!("{port} is no port; it has to be between 1 and 65535");
                self.report(path, IssueKind::BadValue { rule });
            }
        }
        let name = value
            .as_str()
            .filter(|t| !t.is_empty() && !values::is_placeholder(t));
        if let (Some(rule), Some(name)) = (values::name_rule(of, key), name) {
            // a port may also be given as a number in text form where names are allowed
            if let Some(rule) = rule.broken_by(name) {
                self.report(
                    path,
                    IssueKind::BadName {
                        value: name.to_owned(),
                        rule,
                    },
                );
            }
        }
    }

    fn one_of(&mut self, value: &Value, allowed: &'static [&'static str], path: &FieldPath) {
        if let Value::Array(items) = value {
            for (i, item) in items.iter().enumerate() {
                self.one_of(item, allowed, &path.index(i));
            }
            return;
        }
        let Some(text) = value
            .as_str()
            .filter(|t| !t.is_empty() && !values::is_placeholder(t))
        else {
            return;
        };
        if !allowed.contains(&text) {
            let kind = IssueKind::BadEnum {
                value: text.to_owned(),
                allowed,
                nearest: nearest(text.trim(), allowed.iter().copied()),
            };
            self.report(path, kind);
        }
    }
}

/// What sops adds to a document that it encrypts, and takes away before it is applied.
fn is_seal(key: &str, value: &Value) -> bool {
    key == "sops" && (value.get("mac").is_some() || value.get("lastmodified").is_some())
}

/// Strategic-merge directives: they belong to patches, which are not judged here.
fn is_directive(key: &str) -> bool {
    key.starts_with('$') || key.starts_with("x-kubernetes-")
}

/// Fields that the schema demands and the server fills in.
fn server_fills(of: &str, field: &str, shape: &Shape) -> bool {
    matches!(
        (of, field),
        ("rbac.v1.RoleRef", "apiGroup")
            | ("rbac.v1.Role" | "rbac.v1.ClusterRole", "rules")
            | ("networking.v1.NetworkPolicySpec", "podSelector")
            | ("scheduling.v1.PriorityClass", "value")
            | ("core.v1.LimitRangeSpec", "limits")
            | ("core.v1.HTTPHeader" | "core.v1.Sysctl", "value")
            | ("core.v1.Event", _)
            | ("events.v1.Event", _)
            | ("apps.v1.ControllerRevision", _)
    ) || matches!(shape, Shape::Int32 | Shape::Int64 | Shape::Bool)
        && !matches!(field, "containerPort" | "port" | "maxReplicas")
}

/// Names that people bring along from a neighbouring kind; the shape decides whether they fit.
fn synonym<'k>(key: &str, known: &'k Fields) -> Option<&'k str> {
    let other = match key {
        "strategy" => "updateStrategy",
        "updateStrategy" => "strategy",
        _ => "",
    };
    let grown = ["Name", "s", "Seconds"]
        .into_iter()
        .map(|tail| format!("{key}{tail}"))
        .chain([other.to_owned()]);
    let mut hits = grown
        .filter_map(|name| known.get_key_value(&name))
        .map(|(name, _)| name.as_str());
    let first = hits.next()?;
    hits.next().is_none().then_some(first)
}

/// Whether a value has, or can be read as, a shape; what is below it is judged once it has its name.
fn could_be(value: &Value, shape: &Shape) -> bool {
    has_shape(value, shape) || converted(value, shape).is_some()
}

/// The path of one list item: by name where the name is unique.
fn item_path(list: &FieldPath, items: &[Value], index: usize) -> FieldPath {
    let name = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_owned);
    let own = items.get(index).and_then(name);
    let unique = own.as_ref().is_some_and(|own| {
        items
            .iter()
            .filter(|i| name(i).as_ref() == Some(own))
            .count()
            == 1
    });
    match own {
        Some(own) if unique => list.then(Seg::Named {
            key: "name".to_owned(),
            value: own,
        }),
        _ => list.index(index),
    }
}

fn has_shape(value: &Value, shape: &Shape) -> bool {
    match shape {
        Shape::Text | Shape::Bytes | Shape::Time => value.is_string(),
        Shape::Int32 => integer(value).is_some_and(|n| i32::try_from(n).is_ok()),
        Shape::Int64 => integer(value).is_some(),
        Shape::Number => value.is_number(),
        Shape::Bool => value.is_boolean(),
        Shape::Quantity => value.is_string() || value.is_number(),
        Shape::IntOrText => value.is_string() || integer(value).is_some(),
        Shape::Any => true,
        Shape::Mapping | Shape::Map(_) | Shape::Type(_) => value.is_object(),
        Shape::List(_) => value.is_array(),
    }
}

/// `3` and `3.0` are the same integer in JSON.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value
            .as_f64()
            .filter(|f| f.fract() == 0.0 && f.abs() < 9e15)?;
        Some(float as i64)
    })
}

/// The same value in the demanded shape, where there is exactly one. A number with a fraction has
/// lost its spelling (`1.10`), so its text is not known.
fn converted(value: &Value, shape: &Shape) -> Option<Value> {
    let new = match (shape, value) {
        (Shape::Int32 | Shape::Int64 | Shape::IntOrText, Value::String(text)) => {
            let number: i64 = text.trim().parse().ok()?;
            (number.to_string() == text.trim()).then(|| Value::Number(Number::from(number)))?
        }
        (Shape::Bool, Value::String(text)) => match text.trim() {
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ => return None,
        },
        (Shape::Text, Value::Bool(b)) => Value::String(b.to_string()),
        (Shape::Text, Value::Number(n)) if n.is_i64() || n.is_u64() => Value::String(n.to_string()),
        (Shape::List(inner), Value::String(text)) if **inner == Shape::Text => {
            let one_word =
                !text.is_empty() && !text.contains(char::is_whitespace) && !text.contains(',');
            one_word.then(|| Value::Array(vec![value.clone()]))?
        }
        (Shape::Map(_), Value::Array(items)) => merged(items)?,
        (Shape::List(inner), Value::Object(map)) => named_items(map, inner)?,
        _ => return None,
    };
    fits(&new, shape).then_some(new)
}

/// `- app: web` and `- tier: front` as one mapping.
fn merged(items: &[Value]) -> Option<Value> {
    let mut all = Map::new();
    for item in items {
        let map = item.as_object().filter(|m| m.len() == 1)?;
        for (key, value) in map {
            if all.insert(key.clone(), value.clone()).is_some() {
                return None;
            }
        }
    }
    (!all.is_empty()).then_some(Value::Object(all))
}

/// `KEY: value` pairs as the list of `{name, value}` that environment variables are.
fn named_items(map: &Map<String, Value>, inner: &Shape) -> Option<Value> {
    if *inner != Shape::Type("core.v1.EnvVar".to_owned()) || map.contains_key("name") {
        return None;
    }
    // `yes` and `0x1F` have lost their spelling, and nobody checks it in a block that is rewritten
    let items = map.iter().map(|(key, value)| {
        let text = value.as_str()?;
        Some(serde_json::json!({"name": key, "value": text}))
    });
    items.collect::<Option<Vec<Value>>>().map(Value::Array)
}

fn shape_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::Bytes | Shape::Time => "string",
        Shape::Int32 | Shape::Int64 => "integer",
        Shape::Number => "number",
        Shape::Bool => "boolean",
        Shape::Quantity => "quantity",
        Shape::IntOrText => "integer or string",
        Shape::Any => "anything",
        Shape::Mapping | Shape::Map(_) | Shape::Type(_) => "object",
        Shape::List(_) => "array",
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number with a fraction",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
