//! GraphQL documents against a slice of GitHub's schema.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use graphql_parser::query::{self, Definition, OperationDefinition, Selection, Value};
use graphql_parser::schema::{self, InputValue, Type, TypeDefinition};
use serde_json::Value as Json;

type Named = BTreeMap<String, TypeDefinition<'static, String>>;
type Variables<'d> = BTreeMap<&'d str, &'d Type<'d, String>>;

static SCHEMA: LazyLock<Named> = LazyLock::new(|| {
    let document = schema::parse_schema::<String>(include_str!("../../github.graphql")).unwrap();
    let types = document
        .into_static()
        .definitions
        .into_iter()
        .filter_map(|d| match d {
            schema::Definition::TypeDefinition(t) => Some((name(&t).to_owned(), t)),
            _ => None,
        });
    types.collect()
});

fn name<'t>(definition: &'t TypeDefinition<'_, String>) -> &'t str {
    match definition {
        TypeDefinition::Scalar(t) => &t.name,
        TypeDefinition::Object(t) => &t.name,
        TypeDefinition::Interface(t) => &t.name,
        TypeDefinition::Union(t) => &t.name,
        TypeDefinition::Enum(t) => &t.name,
        TypeDefinition::InputObject(t) => &t.name,
    }
}

/// A request of `/graphql`.
pub fn check(body: &Json) -> Result<(), String> {
    let extra = body.as_object().and_then(|o| {
        o.keys()
            .find(|k| !["query", "variables"].contains(&k.as_str()))
    });
    if let Some(extra) = extra {
        return Err(format!("/{extra} is not described"));
    }
    let text = body["query"].as_str().ok_or("no query")?;
    let document = query::parse_query::<String>(text).map_err(|e| e.to_string())?;
    for definition in &document.definitions {
        let Definition::Operation(operation) = definition else {
            return Err("fragments are not known here".to_owned());
        };
        let (root, declared, asked) = match operation {
            OperationDefinition::Mutation(m) => {
                ("Mutation", &m.variable_definitions, &m.selection_set)
            }
            OperationDefinition::Query(q) => ("Query", &q.variable_definitions, &q.selection_set),
            other => return Err(format!("not known here: {other}")),
        };
        let variables = declare(declared, &body["variables"])?;
        selections(root, &asked.items, &variables)?;
    }
    Ok(())
}

/// The variables of an operation, all of them given and none too many.
fn declare<'d>(
    declared: &'d [query::VariableDefinition<'d, String>],
    given: &Json,
) -> Result<Variables<'d>, String> {
    let mut variables = Variables::new();
    for variable in declared {
        known_type(&variable.var_type)?;
        if given[&variable.name].is_null() && matches!(variable.var_type, Type::NonNullType(_)) {
            return Err(format!("${} is not given", variable.name));
        }
        variables.insert(&variable.name, &variable.var_type);
    }
    for name in given
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        variables
            .get(name.as_str())
            .ok_or(format!("${name} is not declared"))?;
    }
    Ok(variables)
}

fn known_type(of: &Type<'_, String>) -> Result<(), String> {
    let name = base(of);
    let built_in = ["ID", "String", "Int", "Boolean", "Float"].contains(&name);
    (built_in || SCHEMA.contains_key(name))
        .then_some(())
        .ok_or(format!("no type {name}"))
}

fn base<'t>(of: &'t Type<'_, String>) -> &'t str {
    match of {
        Type::NamedType(name) => name,
        Type::ListType(inner) | Type::NonNullType(inner) => base(inner),
    }
}

/// Without the `!`.
fn bare<'t, 'd>(of: &'t Type<'d, String>) -> &'t Type<'d, String> {
    match of {
        Type::NonNullType(inner) => inner,
        other => other,
    }
}

fn selections(
    parent: &str,
    all: &[Selection<'_, String>],
    variables: &Variables<'_>,
) -> Result<(), String> {
    let fields = match SCHEMA.get(parent) {
        Some(TypeDefinition::Object(t)) => &t.fields,
        Some(TypeDefinition::Interface(t)) => &t.fields,
        _ if all.is_empty() => return Ok(()),
        _ => return Err(format!("{parent} has no fields")),
    };
    if all.is_empty() {
        return Err(format!("{parent} needs a selection"));
    }
    for selection in all {
        let Selection::Field(asked) = selection else {
            return Err("fragments are not known here".to_owned());
        };
        let field = fields.iter().find(|f| f.name == asked.name);
        let field = field.ok_or(format!(
            "{parent}.{} does not exist (or is not in the slice)",
            asked.name
        ))?;
        let given = asked
            .arguments
            .iter()
            .map(|(n, v)| (n.as_str(), v))
            .collect();
        inputs(&asked.name, &field.arguments, &given, variables)?;
        selections(
            base(&field.field_type),
            &asked.selection_set.items,
            variables,
        )?;
    }
    Ok(())
}

/// Arguments of a field, or fields of an input object.
fn inputs(
    of: &str,
    described: &[InputValue<'_, String>],
    given: &BTreeMap<&str, &Value<'_, String>>,
    variables: &Variables<'_>,
) -> Result<(), String> {
    let known = |name: &str| described.iter().find(|d| d.name == name);
    for (name, value) in given {
        let input = known(name).ok_or(format!("{of}({name}) does not exist"))?;
        fits(&format!("{of}.{name}"), &input.value_type, value, variables)?;
    }
    let required = |d: &&InputValue<'_, String>| matches!(d.value_type, Type::NonNullType(_));
    match described
        .iter()
        .filter(required)
        .find(|d| !given.contains_key(d.name.as_str()))
    {
        Some(missing) => Err(format!("{of}({}) is missing", missing.name)),
        None => Ok(()),
    }
}

fn fits(
    at: &str,
    wanted: &Type<'_, String>,
    value: &Value<'_, String>,
    variables: &Variables<'_>,
) -> Result<(), String> {
    let no = || Err(format!("{at}: {value} is no {wanted}"));
    match value {
        Value::Variable(name) => {
            let declared = variables
                .get(name.as_str())
                .ok_or(format!("${name} is not declared"))?;
            let (declared, wanted) = (declared.to_string(), wanted.to_string());
            // what may not be null fits where null would be allowed
            if declared == wanted || declared.trim_end_matches('!') == wanted {
                Ok(())
            } else {
                no()
            }
        }
        Value::Enum(word) => match SCHEMA.get(base(wanted)) {
            Some(TypeDefinition::Enum(e)) if e.values.iter().any(|v| v.name == *word) => Ok(()),
            _ => no(),
        },
        Value::Object(fields) => match SCHEMA.get(base(wanted)) {
            Some(TypeDefinition::InputObject(t)) => {
                let given = fields.iter().map(|(n, v)| (n.as_str(), v)).collect();
                inputs(base(wanted), &t.fields, &given, variables)
            }
            _ => no(),
        },
        Value::List(all) => match bare(wanted) {
            Type::ListType(inner) => all.iter().try_for_each(|v| fits(at, inner, v, variables)),
            _ => no(),
        },
        Value::Boolean(_) if base(wanted) == "Boolean" => Ok(()),
        Value::String(_) if ["ID", "String"].contains(&base(wanted)) => Ok(()),
        _ => no(),
    }
}
