//! What a root renders: its objects, and where each of them is defined.

use std::collections::BTreeMap;

use serde_json::Value;

use super::index::Closure;
use super::kustomization::resolve;
use crate::code::{Code, Refusal};
use crate::files::Files;
use crate::manifest;
use crate::object::Object;
use crate::render::Renderer;

const ORIGIN: &str = "config.kubernetes.io/origin";
/// Where the repository is in the jail, and where the wrapper is. They must not contain each
/// other: kustomize takes that for a cycle.
const TREE: &str = "repository";
const WRAPPER: &str = "wrapper";

/// One rendered object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rendered {
    /// The object, without the marks that we asked for.
    pub(super) object: Object,
    /// The file that defines it; none where it is outside the repository.
    pub(super) origin: Option<String>,
    /// Whether a generator of that file (a kustomization) made it.
    pub(super) generated: bool,
}

/// Renders a root. `changed` replaces files of the repository.
pub(super) fn render(
    renderer: &Renderer,
    files: &Files,
    closure: &Closure,
    root: &str,
    changed: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<Rendered>, Refusal> {
    if let Some(blocked) = &closure.blocked {
        return Err(Refusal::new(
            blocked.code,
            format!(
                "root {} cannot be rendered: {}",
                shown(root),
                blocked.message
            ),
        ));
    }
    let wrapper = serde_json::json!({
        "resources": [format!("../{TREE}/{root}")],
        "buildMetadata": ["originAnnotations"],
    })
    .to_string();
    let wrapper_path = format!("{WRAPPER}/kustomization.yaml");
    let paths: Vec<(String, &[u8])> = closure
        .files
        .keys()
        .filter_map(|path| {
            let bytes = changed
                .get(path)
                .map(Vec::as_slice)
                .or_else(|| files.get(path))?;
            Some((format!("{TREE}/{path}"), bytes))
        })
        .collect();
    let mut input: BTreeMap<&str, &[u8]> = paths.iter().map(|(p, b)| (p.as_str(), *b)).collect();
    input.insert(&wrapper_path, wrapper.as_bytes());
    let text = renderer.render(&input, WRAPPER).map_err(|e| {
        let message = e.0.replace(&format!("{TREE}/"), "");
        Refusal::new(
            Code::RenderFailed,
            format!("root {} does not build: {message}", shown(root)),
        )
    })?;
    read(&text)
}

/// A root's name for people.
pub(crate) fn shown(root: &str) -> &str {
    match root {
        "" => ".",
        root => root,
    }
}

fn read(text: &str) -> Result<Vec<Rendered>, Refusal> {
    let values = manifest::read_stream(text)
        .map_err(|e| Refusal::new(Code::RenderFailed, format!("the output is unreadable: {e}")))?;
    Ok(values.into_iter().filter_map(rendered).collect())
}

fn rendered(mut value: Value) -> Option<Rendered> {
    let origin = take_origin(&mut value);
    let at = |key: &str| {
        let text = origin.get(key).and_then(Value::as_str)?;
        let path = resolve(WRAPPER, text)?;
        path.strip_prefix(&format!("{TREE}/")).map(str::to_owned)
    };
    let outside = origin.get("repo").is_some();
    let (file, made_in) = (at("path"), at("configuredIn"));
    Some(Rendered {
        object: Object::new(value)?,
        generated: made_in.is_some(),
        origin: made_in.or(file).filter(|_| !outside),
    })
}

/// Removes the origin annotation, and the mapping that held it if nothing else is in it.
fn take_origin(value: &mut Value) -> Value {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Value::Null;
    };
    let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    else {
        return Value::Null;
    };
    let text = annotations.remove(ORIGIN);
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    text.as_ref()
        .and_then(Value::as_str)
        .and_then(|text| manifest::read_value(text).ok())
        .unwrap_or(Value::Null)
}
