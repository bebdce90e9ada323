//! Every request against GitHub's own description: the body, its keys, the query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::wire::Call;

mod graphql;

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../openapi.json")).unwrap());

static VALIDATORS: LazyLock<Mutex<BTreeMap<String, Arc<Validator>>>> =
    LazyLock::new(Mutex::default);

/// What a request does that the description does not allow.
pub fn check(route: &str, call: &Call) -> Option<String> {
    let found = if route == "/graphql" {
        graphql::check(&call.body)
    } else {
        rest(route, call)
    };
    found
        .err()
        .map(|what| format!("{} {}: {what}", call.method, call.path))
}

fn rest(route: &str, call: &Call) -> Result<(), String> {
    let operation = &DESCRIPTION["paths"][route][call.method.to_lowercase()];
    if operation.is_null() {
        return Err("not in the slice: run tools/openapi-slice".to_owned());
    }
    query(operation, call)?;
    let wanted = &operation["requestBody"];
    let schema = &wanted["content"]["application/json"]["schema"];
    match (&call.body, schema.is_null()) {
        (Value::Null, _) if wanted["required"] == true => Err("no body".to_owned()),
        (Value::Null, _) => Ok(()),
        (_, true) => Err("a body, where none is described".to_owned()),
        (body, false) => {
            valid(&format!("{} {route}", call.method), schema, body)?;
            known_keys(schema, body, "")?;
            beyond(route, body)
        }
    }
}

/// What the description cannot say.
fn beyond(route: &str, body: &Value) -> Result<(), String> {
    let done = body["status"] == "completed" && body["conclusion"].is_null();
    if route.contains("/check-runs") && done {
        return Err("/status: completed without a conclusion".to_owned());
    }
    Ok(())
}

fn query(operation: &Value, call: &Call) -> Result<(), String> {
    let described = operation["parameters"].as_array().into_iter().flatten();
    let described: BTreeMap<&str, &Value> = described
        .filter(|p| p["in"] == "query")
        .filter_map(|p| Some((p["name"].as_str()?, &p["schema"])))
        .collect();
    for (name, text) in &call.query {
        let Some(schema) = described.get(name.as_str()) else {
            return Err(format!("?{name} is not described"));
        };
        let key = format!("{} ?{name}", operation["operationId"]);
        valid(&key, schema, &typed(schema, text)).map_err(|e| format!("?{name}={text}: {e}"))?;
        if name == "per_page" && text.parse::<u32>().is_ok_and(|n| n > 100) {
            return Err(format!("?per_page={text} is over 100"));
        }
    }
    Ok(())
}

/// A query's text as what it stands for.
fn typed(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer" | "number") => text
            .parse::<i64>()
            .map_or_else(|_| json!(text), Value::from),
        Some("boolean") => text
            .parse::<bool>()
            .map_or_else(|_| json!(text), Value::from),
        _ => json!(text),
    }
}

/// Compiled once for each operation.
fn valid(key: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let known = super::lock(&VALIDATORS).get(key).cloned();
    let validator = known.unwrap_or_else(|| {
        let new = Arc::new(compile(schema));
        super::lock(&VALIDATORS).insert(key.to_owned(), Arc::clone(&new));
        new
    });
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|e| format!("{} {e}", e.instance_path()))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors.join("; "))
    }
}

fn compile(schema: &Value) -> Validator {
    let mut schemas = serde_json::Map::new();
    reachable(schema, &mut schemas);
    let root = json!({"allOf": [convert(schema)], "components": {"schemas": schemas}});
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
    options
        .build(&root)
        .expect("GitHub's description can be read")
}

fn component(reference: &Value) -> Option<(&str, &'static Value)> {
    let name = reference.as_str()?.strip_prefix("#/components/schemas/")?;
    Some((name, &DESCRIPTION["components"]["schemas"][name]))
}

fn reachable(value: &Value, schemas: &mut serde_json::Map<String, Value>) {
    match value {
        Value::Array(list) => list.iter().for_each(|v| reachable(v, schemas)),
        Value::Object(fields) => {
            let target = fields.get("$ref").and_then(component);
            if let Some((name, schema)) = target.filter(|(n, _)| !schemas.contains_key(*n)) {
                schemas.insert(name.to_owned(), convert(schema));
                reachable(schema, schemas);
            }
            fields.values().for_each(|v| reachable(v, schemas));
        }
        _ => {}
    }
}

/// OpenAPI 3.0's dialect into JSON Schema 2020-12: `nullable` becomes a type.
fn convert(schema: &Value) -> Value {
    match schema {
        Value::Array(list) => list.iter().map(convert).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(k, _)| k.as_str() != "nullable");
            let mut new: serde_json::Map<String, Value> =
                kept.map(|(k, v)| (k.clone(), convert(v))).collect();
            if fields.get("nullable") != Some(&json!(true)) {
                return Value::Object(new);
            }
            if let Some(kind) = new.get("type").filter(|t| t.is_string()).cloned() {
                new.insert("type".to_owned(), json!([kind, "null"]));
                if let Some(Value::Array(list)) = new.get_mut("enum") {
                    list.push(Value::Null);
                }
                return Value::Object(new);
            }
            json!({"anyOf": [new, {"type": "null"}]})
        }
        other => other.clone(),
    }
}

/// GitHub ignores fields that it does not know; a misspelled one is a mistake of ours.
fn known_keys(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            let (known, open) = properties(schema);
            for (name, inner) in fields {
                let schemas = known.get(name.as_str());
                if schemas.is_none() && !open && !known.is_empty() {
                    return Err(format!("{path}/{name} is not described"));
                }
                for schema in schemas.into_iter().flatten() {
                    known_keys(schema, inner, &format!("{path}/{name}"))?;
                }
            }
            Ok(())
        }
        Value::Array(list) => {
            let items = variants(schema).into_iter().filter_map(|s| s.get("items"));
            let items: Vec<&Value> = items.collect();
            let all = list.iter().enumerate();
            all.flat_map(|(at, v)| items.iter().map(move |s| (at, v, s)))
                .try_for_each(|(at, v, s)| known_keys(s, v, &format!("{path}/{at}")))
        }
        _ => Ok(()),
    }
}

/// A schema and everything that it is made of.
fn variants(schema: &Value) -> Vec<&Value> {
    let mut all = vec![schema];
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while let Some(next) = all.get(at).copied() {
        at += 1;
        if let Some((name, target)) = next.get("$ref").and_then(component)
            && seen.insert(name)
        {
            all.push(target);
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            all.extend(
                next.get(word)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    all
}

/// The properties of all variants, and whether others are allowed.
fn properties(schema: &Value) -> (BTreeMap<&str, Vec<&Value>>, bool) {
    let mut known: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let mut open = false;
    for variant in variants(schema) {
        open |= variant
            .get("additionalProperties")
            .is_some_and(|a| *a != json!(false));
        for (name, inner) in variant["properties"].as_object().into_iter().flatten() {
            known.entry(name).or_default().push(inner);
        }
    }
    (known, open)
}
