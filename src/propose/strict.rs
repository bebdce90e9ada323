//! JSON Schemas in the subset that strict structured outputs accept: normaliser and linter. Pure.

use serde_json::{Map, Value};

/// Rewrites a schema (of schemars) into the strict subset. Bounds on the length of texts are lost
/// here and checked locally instead.
pub fn normalise(schema: &mut Value) {
    let Value::Object(map) = schema else {
        return;
    };
    for key in ["$schema", "title", "default", "examples"] {
        map.shift_remove(key);
    }
    for key in ["minLength", "maxLength", "uniqueItems"] {
        map.shift_remove(key);
    }
    if map.contains_key("$ref") {
        map.retain(|key, _| key == "$ref");
        return;
    }
    if let Some(choices) = map.shift_remove("oneOf") {
        map.insert("anyOf".to_owned(), choices);
    }
    let format = map.get("format").and_then(Value::as_str);
    if format.is_some_and(|f| !FORMATS.contains(&f)) {
        map.shift_remove("format");
    }
    close(map);
    children(map, &mut |_, child| normalise(child));
}

/// Closes an object: nothing unknown, nothing optional.
fn close(map: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = map.get("properties") else {
        return;
    };
    let required: Vec<Value> = properties.keys().map(|k| Value::from(k.as_str())).collect();
    map.insert("required".to_owned(), Value::Array(required));
    map.insert("additionalProperties".to_owned(), Value::Bool(false));
}

const FORMATS: &[&str] = &[
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
];

const UNSUPPORTED: &[&str] = &[
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "default",
    "patternProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "prefixItems",
    "contains",
    "uniqueItems",
    "minLength",
    "maxLength",
    "$schema",
    "title",
    "examples",
];

/// Calls `visit` for every direct sub-schema.
fn children(map: &mut Map<String, Value>, visit: &mut dyn FnMut(&str, &mut Value)) {
    for (key, inner) in map.iter_mut() {
        match (key.as_str(), inner) {
            ("properties" | "$defs", Value::Object(many)) => {
                many.values_mut().for_each(|v| visit(key, v));
            }
            ("anyOf", Value::Array(many)) => many.iter_mut().for_each(|v| visit(key, v)),
            ("items", one) => visit(key, one),
            _ => {}
        }
    }
}

/// What a strict provider would refuse, one line a violation. The limits are the smaller ones,
/// which Azure documents: 100 properties, 5 levels, 15,000 characters, 500 enum values.
pub fn lint(schema: &Value) -> Vec<String> {
    let mut lint = Lint::default();
    if schema.get("type").and_then(Value::as_str) != Some("object") || schema.get("anyOf").is_some()
    {
        lint.note("", "the root is no plain object");
    }
    let definitions = schema.get("$defs").and_then(Value::as_object);
    lint.visit(schema, "", 0, definitions);
    lint.limits();
    lint.violations
}

#[derive(Default)]
struct Lint {
    violations: Vec<String>,
    properties: usize,
    characters: usize,
    enum_values: usize,
    depth: usize,
}

impl Lint {
    fn note(&mut self, at: &str, what: &str) {
        self.violations.push(format!("{at}: {what}"));
    }

    fn visit(
        &mut self,
        schema: &Value,
        at: &str,
        level: usize,
        definitions: Option<&Map<String, Value>>,
    ) {
        self.depth = self.depth.max(level);
        let Some(map) = schema.as_object() else {
            return self.note(at, "a schema that is no object");
        };
        if level > 20 {
            return self.note(at, "nested too deep");
        }
        for key in UNSUPPORTED.iter().filter(|k| map.contains_key(**k)) {
            self.note(at, &format!("{key} is not supported"));
        }
        if let Some(target) = map.get("$ref") {
            self.reference(at, map, target, definitions);
            return;
        }
        let format = map.get("format").and_then(Value::as_str);
        if format.is_some_and(|f| !FORMATS.contains(&f)) {
            self.note(at, "the format is not supported");
        }
        self.object(map, at);
        self.values(map);
        let mut copy = map.clone();
        let mut found = Vec::new();
        children(&mut copy, &mut |key, child| {
            found.push((key.to_owned(), child.clone()));
        });
        for (i, (key, child)) in found.into_iter().enumerate() {
            let deeper = usize::from(key == "properties" || key == "items");
            self.visit(
                &child,
                &format!("{at}/{key}/{i}"),
                level + deeper,
                definitions,
            );
        }
    }

    fn reference(
        &mut self,
        at: &str,
        map: &Map<String, Value>,
        target: &Value,
        definitions: Option<&Map<String, Value>>,
    ) {
        if map.len() > 1 {
            self.note(at, "$ref has siblings");
        }
        let name = target.as_str().and_then(|t| t.strip_prefix("#/$defs/"));
        let known = name.is_some_and(|n| definitions.is_some_and(|d| d.contains_key(n)));
        if !known {
            self.note(at, "$ref leads nowhere");
        }
    }

    fn object(&mut self, map: &Map<String, Value>, at: &str) {
        let is_object = map.get("type").and_then(Value::as_str) == Some("object");
        if !is_object && !map.contains_key("properties") {
            return;
        }
        if map.get("additionalProperties") != Some(&Value::Bool(false)) {
            self.note(at, "additionalProperties is not false");
        }
        let empty = Map::new();
        let properties = map
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let required = map.get("required").and_then(Value::as_array);
        for name in properties.keys() {
            self.properties += 1;
            self.characters += name.len();
            let listed = required.is_some_and(|r| r.iter().any(|v| v.as_str() == Some(name)));
            if !listed {
                self.note(at, &format!("{name} is not required"));
            }
        }
    }

    fn values(&mut self, map: &Map<String, Value>) {
        let listed = map.get("enum").and_then(Value::as_array);
        let values = listed.into_iter().flatten().chain(map.get("const"));
        for value in values {
            self.enum_values += 1;
            self.characters += value.as_str().map_or(4, str::len);
        }
    }

    fn limits(&mut self) {
        let limits = [
            ("properties", self.properties, 100),
            ("levels", self.depth, 5),
            ("characters", self.characters, 15_000),
            ("enum values", self.enum_values, 500),
        ];
        for (what, have, most) in limits {
            if have > most {
                self.note("", &format!("{have} {what}, at most {most}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({"type": "object", "additionalProperties": false, "required": ["a", "b"],
            "properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/B"}},
            "$defs": {"B": {"type": "string", "enum": ["x"]}}})
    }

    #[test]
    fn a_good_schema_has_no_violation() {
        assert_eq!(lint(&good()), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let breaks: &[(&str, Value)] = &[
            ("/type", json!("array")),
            ("/additionalProperties", json!(true)),
            ("/required", json!(["a"])),
            ("/properties/a", json!({"type": "string", "default": ""})),
            (
                "/properties/a",
                json!({"type": "integer", "format": "uint32"}),
            ),
            ("/properties/a", json!({"oneOf": [{"type": "string"}]})),
            ("/properties/b", json!({"$ref": "#/$defs/C"})),
            (
                "/properties/b",
                json!({"$ref": "#/$defs/B", "description": "x"}),
            ),
            ("/properties/a", json!({"type": "object", "properties": {}})),
            (
                "/$defs/B/enum",
                json!((0..501).map(|i| i.to_string()).collect::<Vec<_>>()),
            ),
            ("/$defs/B/enum", json!(["x".repeat(15_001)])),
        ];
        for (at, value) in breaks {
            let mut schema = good();
            *schema.pointer_mut(at).unwrap_or(&mut Value::Null) = value.clone();
            assert_eq!(lint(&schema).len(), 1, "{at} {:?}", lint(&schema));
        }
    }

    #[test]
    fn the_normaliser_repairs_what_schemars_writes() {
        #[derive(schemars::JsonSchema)]
        #[allow(dead_code, reason = "only its schema is used")]
        struct Raw {
            a: Option<u32>,
            b: Choice,
            /// Described, and a reference.
            c: Inner,
        }
        #[derive(schemars::JsonSchema)]
        #[allow(dead_code, reason = "only its schema is used")]
        struct Inner {
            text: Option<String>,
        }
        #[derive(schemars::JsonSchema)]
        #[serde(tag = "kind")]
        #[allow(dead_code, reason = "only its schema is used")]
        enum Choice {
            One { x: bool },
            Two { y: String },
        }
        let mut schema = schemars::schema_for!(Raw).to_value();
        assert!(lint(&schema).len() >= 5);
        normalise(&mut schema);
        assert_eq!(lint(&schema), Vec::<String>::new());
    }
}
