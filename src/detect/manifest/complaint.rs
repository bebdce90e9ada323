//! What tools say about a manifest that they refuse, read from their messages. Pure.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::object::ObjectRef;

/// What a message complains about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// An unknown field.
    UnknownField,
    /// A value of the wrong type.
    WrongType,
    /// A missing value.
    Required,
    /// Another value than one of a list.
    Unsupported,
    /// Another invalid value.
    Invalid,
    /// The API version and kind are not served.
    NoMatch,
    /// The source cannot be rendered or read.
    Render,
    /// Something else; the object is named, no fault is.
    Other,
}

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What it is about.
    pub problem: Problem,
    /// API version, as far as it is named.
    pub api_version: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: Option<String>,
    /// File.
    pub file: Option<String>,
    /// Line in the file.
    pub line: Option<usize>,
    /// Field, in the message's own words.
    pub field: Option<String>,
    /// The message, one line, at most 1,000 characters.
    pub text: String,
}

impl Complaint {
    /// The same, of an object that is known from elsewhere; what the message itself names stays.
    pub fn about(mut self, subject: &ObjectRef) -> Self {
        let fits = self.kind.as_ref().is_none_or(|kind| *kind == subject.kind);
        if fits && self.name.is_none() && self.file.is_none() {
            self.kind = Some(subject.kind.clone());
            self.name = Some(subject.name.clone());
            self.namespace.clone_from(&subject.namespace);
        }
        self
    }
}

const MAX_TEXT: usize = 1000;
const MAX_LINES: usize = 200;

/// All complaints of a text. `from_tool` says that the whole text is a tool's message, so that a
/// text which is not understood is one complaint as well.
pub fn read(text: &str, from_tool: bool) -> Vec<Complaint> {
    let text: String = text.chars().take(20_000).collect();
    let mut out: Vec<Complaint> = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .take(MAX_LINES)
    {
        if let Some(complaint) = one(line, from_tool)
            && !out.iter().any(|c| same_subject(c, &complaint))
        {
            out.push(complaint);
        }
    }
    if out.is_empty() {
        let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
        out.extend(one(&folded, from_tool));
        // admission refuses objects that are well written: other detectors tell of that
        if out.is_empty() && from_tool && !folded.contains(" is forbidden: ") {
            out.push(not_understood(&folded));
        }
    }
    out
}

fn same_subject(a: &Complaint, b: &Complaint) -> bool {
    (&a.kind, &a.name, &a.file, &a.field, a.problem)
        == (&b.kind, &b.name, &b.file, &b.field, b.problem)
}

/// The subject is read all the same; what is wrong with it is in the text.
fn not_understood(text: &str) -> Complaint {
    let mut c = empty(text);
    subject(text, &mut c);
    let source = KUSTOMIZE.is_match(text) && c.kind.is_none() && c.file.is_none();
    c.problem = if source {
        Problem::Render
    } else {
        Problem::Invalid
    };
    c
}

fn empty(text: &str) -> Complaint {
    Complaint {
        problem: Problem::Other,
        api_version: None,
        kind: None,
        namespace: None,
        name: None,
        file: None,
        line: None,
        field: None,
        text: text.chars().take(MAX_TEXT).collect(),
    }
}

/// Compiles a literal; a test compiles them all.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a literal pattern that a test compiles")
}

macro_rules! patterns {
    ($($name:ident = $pattern:literal;)+) => { $(static $name: LazyLock<Regex> = LazyLock::new(|| regex($pattern));)+ };
}

patterns! {
    NO_MATCH = r#"no matches for kind "([^"]+)" in (?:version|group) "([^"]+)""#;
    NOT_FOUND_BY_ARGO = r"could not find (?:version )?\W?([\w.]+)/(\w+)/(\w+)\W? for requested resource (?:([\w.-]+)/)?([\w.-]*\w)";
    NOT_SERVED_BY_ARGO = r#"could not find (?:version "(\w+)" of )?([\w.-]*)/([A-Z]\w*) for requested resource (?:([\w.-]+)/)?([\w.-]*\w)"#;
    MAPPING = r#"for name: "([^"]*)" namespace: "([^"]*)"(?: from "([^"]*)")?"#;
    IS_INVALID = r#"(?:The )?\b([A-Z]\w+)(?:\.[\w.-]+)? "([^"]+)" is invalid"#;
    TYPED_PATCH = r"typed patch object \((?:([\w.-]+)/)?([\w.-]+); ([\w./-]+), Kind=(\w+)\)";
    DRY_RUN = r"\b([A-Z]\w+)/(?:([\w.-]+)/)?([\w.-]+) dry-run failed";
    HANDLED_AS = r#"\b([A-Z]\w+) in version "([^"]+)" cannot be handled as a"#;
    VALIDATION = r"ValidationError\(([A-Z]\w+)((?:\.[^)]*)?)\)";
    FROM_FILE = r#"(?:when (?:creating|applying patch|retrieving current configuration)(?: of)?|validating|parsing|reading|decode|decoding):? "?([^\s":]+\.(?:ya?ml|json))"?"#;
    TEMPLATE = r"(?:template: |parse error (?:at|on)(?: \()?\s*|YAML parse error on |error calling include: template: )\(?([\w./-]+\.(?:ya?ml|tpl|txt|json))(?::(\d+))?";
    YAML_LINE = r"yaml: line (\d+)";
    UNKNOWN = r#"unknown field "([^"]+)""#;
    NOT_DECLARED = r"\.?([A-Za-z][\w.\[\]=\x22/-]*): field not declared in schema";
    EXPECTED = r#"\.([A-Za-z][\w.\[\]=,"/-]*): expected [^,:]+, got "#;
    GO_FIELD = r"Go struct field ([\w.]+) of type ([\w.\[\]*]+)";
    FIELD_VALUE = r#"\b((?:metadata|spec|data|rules|roleRef|subjects|webhooks|parameters)[\w.\[\]"/=-]*): (Invalid value|Required value|Unsupported value|Forbidden|Duplicate value|Too long|Not found|Too many)"#;
    RENDERS_NOT = r"(?i)(accumulating|kustomize build|helm (?:lint|template)|execution error at|executing )";
    KUSTOMIZE = r"(?i)\b(kustomiz|accumulat|no matches for id |find unique target for patch|operation does not apply|may not add resource with an already registered id|helm (?:lint|template|install|upgrade)|execution error at|chart|executing )";
}

/// What the API server says of a patch that it cannot read as the object, without a field and often without a name.
const PATCH_DOES_NOT_FIT: &str = "is invalid: patch: Invalid value";

fn one(line: &str, from_tool: bool) -> Option<Complaint> {
    let mut c = empty(line);
    subject(line, &mut c);
    fault(line, &mut c);
    // people and controllers speak of charts and kustomizations that render well, too
    let renders = if from_tool { &KUSTOMIZE } else { &RENDERS_NOT };
    if c.problem == Problem::Other && c.kind.is_none() && renders.is_match(line) {
        c.problem = Problem::Render;
    }
    (c.problem != Problem::Other).then_some(c)
}

fn text(captures: &Captures<'_>, group: usize) -> Option<String> {
    captures
        .get(group)
        .map(|m| m.as_str().to_owned())
        .filter(|t| !t.is_empty())
}

/// Which object or file the line is about.
fn subject(line: &str, c: &mut Complaint) {
    if let Some(m) = IS_INVALID.captures(line) {
        (c.kind, c.name) = (text(&m, 1), text(&m, 2));
    } else if let Some(m) = TYPED_PATCH.captures(line) {
        (c.namespace, c.name, c.api_version, c.kind) =
            (text(&m, 1), text(&m, 2), text(&m, 3), text(&m, 4));
    } else if let Some(m) = DRY_RUN.captures(line) {
        (c.kind, c.namespace, c.name) = (text(&m, 1), text(&m, 2), text(&m, 3));
    } else if let Some(m) = HANDLED_AS.captures(line) {
        c.kind = text(&m, 1);
    } else if let Some(m) = VALIDATION.captures(line) {
        c.kind = text(&m, 1);
        c.field = text(&m, 2).map(|f| f.trim_start_matches('.').to_owned());
    }
    if let Some(m) = MAPPING.captures(line) {
        (c.name, c.namespace, c.file) = (text(&m, 1), text(&m, 2), text(&m, 3));
    } else if let Some(m) = FROM_FILE.captures(line) {
        c.file = text(&m, 1);
    }
}

/// What is wrong with it.
fn fault(line: &str, c: &mut Complaint) {
    if let Some(m) = NO_MATCH.captures(line) {
        c.problem = Problem::NoMatch;
        c.kind = text(&m, 1);
        // `in group "apps"` names no version
        c.api_version = text(&m, 2).filter(|_| line.contains("in version"));
    } else if let Some(m) = NOT_FOUND_BY_ARGO.captures(line) {
        c.problem = Problem::NoMatch;
        c.api_version = Some(format!("{}/{}", &m[1], &m[2]));
        (c.kind, c.namespace, c.name) = (text(&m, 3), text(&m, 4), text(&m, 5));
    } else if let Some(m) = NOT_SERVED_BY_ARGO.captures(line) {
        c.problem = Problem::NoMatch;
        let group = text(&m, 2).map(|g| g + "/").unwrap_or_default();
        c.api_version = text(&m, 1).map(|version| group + &version);
        (c.kind, c.namespace, c.name) = (text(&m, 3), text(&m, 4), text(&m, 5));
    } else if let Some(m) = UNKNOWN.captures(line) {
        c.problem = Problem::UnknownField;
        c.field = join(c.field.take(), text(&m, 1));
    } else if let Some(m) = NOT_DECLARED.captures(line) {
        c.problem = Problem::UnknownField;
        c.field = text(&m, 1);
    } else if let Some(m) = EXPECTED.captures(line) {
        c.problem = Problem::WrongType;
        c.field = text(&m, 1);
    } else if let Some(m) = GO_FIELD.captures(line) {
        let field = text(&m, 1);
        let kustomization = field
            .as_deref()
            .is_some_and(|f| f.starts_with("Kustomization."));
        c.problem = if kustomization {
            Problem::Render
        } else {
            Problem::WrongType
        };
        // the Go name of the last type comes first
        c.field = field.map(|f| {
            f.split_once('.')
                .map_or(f.clone(), |(_, rest)| rest.to_owned())
        });
    } else if let Some(m) = FIELD_VALUE.captures(line) {
        c.problem = match &m[2] {
            "Required value" => Problem::Required,
            "Unsupported value" => Problem::Unsupported,
            _ => Problem::Invalid,
        };
        c.field = text(&m, 1);
    } else if line.contains(PATCH_DOES_NOT_FIT) {
        c.problem = Problem::Invalid;
    } else if let Some(m) = TEMPLATE.captures(line) {
        c.problem = Problem::Render;
        c.file = text(&m, 1);
        c.line = text(&m, 2).and_then(|l| l.parse().ok());
    } else if YAML_LINE.is_match(line)
        || line.contains("missing required field")
        || line.contains("cannot unmarshal")
    {
        c.problem = if YAML_LINE.is_match(line) {
            Problem::Render
        } else {
            Problem::Invalid
        };
    }
    if c.line.is_none() {
        c.line = YAML_LINE.captures(line).and_then(|m| m[1].parse().ok());
    }
}

/// `spec.template` and `image` as one path; a field that is a path already stays.
fn join(parent: Option<String>, field: Option<String>) -> Option<String> {
    match (parent, field) {
        (Some(parent), Some(field)) if !field.contains('.') => Some(format!("{parent}.{field}")),
        (_, field) => field,
    }
}
