//! One kustomization file: what it lists, and where that is in the repository.

use serde_json::Value;

use crate::code::{Code, Refusal};
use crate::object::list;
use crate::path::FieldPath;
use crate::render::is_remote;

/// The names that kustomize looks for in a directory.
pub(super) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What a kustomization uses a file for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// `resources`, `bases`: a file, or a directory with a kustomization.
    Resource,
    /// `components`.
    Component,
    /// A strategic merge patch file, or one whose form is known by its content.
    Patch,
    /// A whole file that becomes one value of a ConfigMap.
    Content,
    /// A file of `KEY=value` lines.
    Env,
    /// A configuration of a generator, transformer or validator.
    Plugin,
    /// Read, but never the place of a field: configurations, replacements, values of Secrets.
    Config,
}

/// One file or directory that a kustomization lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) using: Use,
    /// Relative to the repository's root.
    pub(super) path: String,
}

/// A patch whose text is in the kustomization file itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inline {
    /// Where its text is.
    pub(super) path: FieldPath,
}

/// One kustomization file.
#[derive(Debug, Clone)]
pub(super) struct Kustomization {
    /// The file.
    pub(super) file: String,
    /// Its directory, empty for the repository's root.
    pub(super) dir: String,
    /// Its content.
    pub(super) value: Value,
    /// `kind: Component`.
    pub(super) component: bool,
    /// What it lists inside the repository.
    pub(super) listed: Vec<Listed>,
    /// Patches in its own text.
    pub(super) inline: Vec<Inline>,
    /// Why it cannot be rendered here, as far as its text says.
    pub(super) blocked: Option<Refusal>,
}

impl Kustomization {
    /// Reads a kustomization's content.
    pub(super) fn new(file: &str, value: Value) -> Self {
        let dir = parent(file).to_owned();
        let mut reader = Reader {
            file,
            dir: &dir,
            listed: Vec::new(),
            inline: Vec::new(),
            blocked: None,
        };
        reader.spelling(&value, 0);
        reader.read(&value);
        let Reader {
            listed,
            inline,
            blocked,
            ..
        } = reader;
        Self {
            file: file.to_owned(),
            component: value.get("kind").and_then(Value::as_str) == Some("Component"),
            dir,
            value,
            listed,
            inline,
            blocked,
        }
    }
}

/// The directory of a path, empty for the repository's root.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The last part of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `dir/text` without `.` and `..`; none where it leads out of the repository.
pub(super) fn resolve(dir: &str, text: &str) -> Option<String> {
    if text.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = dir.split('/').filter(|p| !p.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

struct Reader<'k> {
    file: &'k str,
    dir: &'k str,
    listed: Vec<Listed>,
    inline: Vec<Inline>,
    blocked: Option<Refusal>,
}

/// Keys under which kustomize finds files. It decodes them whatever their case, so one in another
/// case would be read by kustomize and overlooked here.
const FILE_KEYS: &[&str] = &[
    "resources",
    "bases",
    "components",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "patches",
    "patch",
    "patchesStrategicMerge",
    "patchesJson6902",
    "configMapGenerator",
    "secretGenerator",
    "files",
    "envs",
    "env",
    "path",
    "openapi",
    "replacements",
    "helmCharts",
    "helmChartInflationGenerator",
    "helmGlobals",
    "chartHome",
    "configHome",
    "valuesFile",
    "additionalValuesFiles",
];

/// Whether a text could lead out of the repository, wherever it stands.
pub(super) fn leads_out(text: &str) -> bool {
    let path = text.split_once('=').map_or(text, |(_, path)| path);
    [text, path]
        .iter()
        .any(|t| t.starts_with('/') || t.split('/').any(|part| part == "..") || is_remote(t))
}

/// Whether any text of a value could lead out of the repository.
pub(super) fn any_leads_out(value: &Value) -> bool {
    match value {
        Value::String(text) => leads_out(text),
        Value::Array(items) => items.iter().any(any_leads_out),
        Value::Object(map) => map.values().any(any_leads_out),
        _ => false,
    }
}

impl Reader<'_> {
    fn spelling(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(map) if depth < 32 => {
                for (key, inner) in map {
                    let odd = FILE_KEYS
                        .iter()
                        .any(|k| k.eq_ignore_ascii_case(key) && k != key);
                    if odd {
                        let message =
                            format!("{} spells the key {key} in a case of its own", self.file);
                        self.block(Code::RenderFailed, message);
                    }
                    if !["commonLabels", "commonAnnotations", "labels"].contains(&key.as_str()) {
                        self.spelling(inner, depth + 1);
                    }
                }
            }
            Value::Array(items) if depth < 32 => {
                items.iter().for_each(|item| self.spelling(item, depth + 1));
            }
            _ => {}
        }
    }

    /// The configuration of a plugin, written in place of its file name.
    fn inline_plugin(&mut self, key: &str, text: &str) {
        let outside =
            crate::manifest::read_stream(text).map_or(true, |v| v.iter().any(any_leads_out));
        if key == "generators" || outside {
            let message = format!("{} configures a plugin in place under {key}", self.file);
            self.block(Code::PluginSource, message);
        }
    }

    fn read(&mut self, value: &Value) {
        for (key, using) in [
            ("resources", Use::Resource),
            ("bases", Use::Resource),
            ("components", Use::Component),
            ("crds", Use::Config),
            ("configurations", Use::Config),
        ] {
            self.texts(value, key, using);
        }
        for key in ["generators", "transformers", "validators"] {
            self.texts(value, key, Use::Plugin);
        }
        self.legacy_patches(value);
        for key in ["patches", "patchesJson6902"] {
            self.patches(value, key);
        }
        self.generators(value);
        for item in list(value, "replacements") {
            self.file(item.get("path"), Use::Config);
        }
        self.file(value.pointer("/openapi/path"), Use::Config);
        self.charts(value);
    }

    fn texts(&mut self, value: &Value, key: &str, using: Use) {
        for item in list(value, key) {
            let Some(text) = item.as_str() else { continue };
            if text.contains('\n') || text.trim_start().starts_with('{') {
                self.inline_plugin(key, text);
                continue;
            }
            self.add(text, using);
        }
    }

    /// `patchesStrategicMerge`: file names, or patches themselves.
    fn legacy_patches(&mut self, value: &Value) {
        for (i, item) in list(value, "patchesStrategicMerge").iter().enumerate() {
            let Some(text) = item.as_str() else { continue };
            if text.contains('\n') || text.trim_start().starts_with('{') {
                let path = FieldPath::keys(["patchesStrategicMerge"]).index(i);
                self.inline.push(Inline { path });
            } else {
                self.add(text, Use::Patch);
            }
        }
    }

    fn patches(&mut self, value: &Value, key: &str) {
        for (i, item) in list(value, key).iter().enumerate() {
            self.file(item.get("path"), Use::Patch);
            if item.get("patch").is_some_and(Value::is_string) {
                let path = FieldPath::keys([key]).index(i).key("patch");
                self.inline.push(Inline { path });
            }
        }
    }

    fn generators(&mut self, value: &Value) {
        for (key, content, env) in [
            ("configMapGenerator", Use::Content, Use::Env),
            ("secretGenerator", Use::Config, Use::Config),
        ] {
            for item in list(value, key) {
                for entry in list(item, "files").iter().filter_map(Value::as_str) {
                    let path = entry.split_once('=').map_or(entry, |(_, path)| path);
                    self.add(path, content);
                }
                for entry in list(item, "envs").iter().chain(item.get("env")) {
                    self.file(Some(entry), env);
                }
            }
        }
    }

    fn charts(&mut self, value: &Value) {
        let name = ["helmCharts", "helmChartInflationGenerator"]
            .iter()
            .find_map(|key| list(value, key).first())
            .map(|chart| {
                let name = chart.get("name").or_else(|| chart.get("chartName"));
                name.and_then(Value::as_str).unwrap_or("?").to_owned()
            });
        if let Some(name) = name {
            let message = format!("{} renders the Helm chart {name}", self.file);
            self.block(Code::ChartUnavailable, message);
        }
    }

    fn file(&mut self, text: Option<&Value>, using: Use) {
        if let Some(text) = text.and_then(Value::as_str) {
            self.add(text, using);
        }
    }

    fn add(&mut self, text: &str, using: Use) {
        if is_remote(text) {
            let message = format!(
                "{} reads {text}, which is outside the repository",
                self.file
            );
            self.block(Code::RemoteBase, message);
            return;
        }
        match resolve(self.dir, text) {
            Some(path) => self.listed.push(Listed { using, path }),
            None => {
                let message = format!(
                    "{} reads {text}, which leads out of the repository",
                    self.file
                );
                self.block(Code::RemoteBase, message);
            }
        }
    }

    fn block(&mut self, code: Code, message: String) {
        self.blocked.get_or_insert(Refusal::new(code, message));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_a_kustomization_reads_is_listed() {
        let value = json!({
            "resources": ["web.yaml", "../base"],
            "components": ["../../parts/tls"],
            "patches": [{"path": "limits.yaml"}, {"patch": "- op: remove\n  path: /a\n"}],
            "patchesStrategicMerge": ["old.yaml", "kind: Deployment\nmetadata: {name: a}\n"],
            "configMapGenerator": [{"name": "c", "files": ["app.conf=conf/a.conf"], "envs": [".env"]}],
        });
        let read = Kustomization::new("apps/shop/kustomization.yaml", value);
        let paths: Vec<&str> = read.listed.iter().map(|l| l.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "apps/shop/web.yaml",
                "apps/base",
                "parts/tls",
                "apps/shop/old.yaml",
                "apps/shop/limits.yaml",
                "apps/shop/conf/a.conf",
                "apps/shop/.env"
            ]
        );
        let inline: Vec<String> = read.inline.iter().map(|i| i.path.to_string()).collect();
        assert_eq!(inline, ["patchesStrategicMerge[1]", "patches[1].patch"]);
        assert_eq!(read.blocked, None);
    }

    #[test]
    fn what_is_outside_blocks() {
        let code = |value| Kustomization::new("k.yaml", value).blocked.map(|r| r.code);
        let remote = json!({"resources": ["https://example.com/base?ref=v1"]});
        assert_eq!(code(remote), Some(Code::RemoteBase));
        assert_eq!(
            code(json!({"resources": ["../up"]})),
            Some(Code::RemoteBase)
        );
        let chart = json!({"helmCharts": [{"name": "redis"}]});
        assert_eq!(code(chart), Some(Code::ChartUnavailable));
    }
}
