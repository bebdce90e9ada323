//! SARIF 2.1.0: what code scanning shows. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::files::Files;
use crate::scan::report::{FindingEntry, Report, level};
use crate::scan::{RULES, Scan, rules};

/// The key of our fingerprint in `partialFingerprints`.
pub const FINGERPRINT: &str = "kubemend/v1";

/// The log of one scan.
pub fn log(report: &Report, scan: &Scan, files: &Files) -> Value {
    let results: Vec<Value> = report
        .findings
        .iter()
        .zip(&scan.findings)
        .map(|(entry, found)| {
            let changed = scan.fix(found).map(|p| &p.mended.changed);
            result(entry, changed, files)
        })
        .collect();
    let silenced = report.silenced.iter().map(|s| {
        json!({
            "ruleId": s.rule,
            "ruleIndex": index(&s.rule),
            "level": "none",
            "message": {"text": format!("{}: silenced", s.object)},
            "locations": [location(&s.location)],
            "suppressions": [{"kind": "inSource", "justification": s.reason}],
        })
    });
    let notices: Vec<Value> = report
        .unseen
        .iter()
        .map(|text| json!({"level": "note", "message": {"text": text}}))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver()},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The root of the repository."}}},
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notices,
            }],
            "results": results.into_iter().chain(silenced).collect::<Vec<Value>>(),
        }],
    })
}

fn driver() -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "name": rule.name,
                "shortDescription": {"text": rule.about},
                "fullDescription": {"text": rule.about},
                "help": {
                    "text": rule.explain(),
                    "markdown": format!("{}\n\n{}\n\nSilence it with `# kubemend:ignore {} reason`.", rule.about, rule.help, rule.name),
                },
                "defaultConfiguration": {"level": level(rule.severity)},
                "properties": {
                    "problem.severity": level(rule.severity).replace("note", "recommendation"),
                    "precision": "very-high",
                    "tags": ["kubernetes", rule.class],
                },
            })
        })
        .collect();
    json!({
        "name": "kubemend",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    })
}

fn index(id: &str) -> usize {
    let position = rules::RULES.iter().position(|r| r.id == id);
    position.unwrap_or_default()
}

fn result(
    entry: &FindingEntry,
    changed: Option<&BTreeMap<String, Vec<u8>>>,
    files: &Files,
) -> Value {
    let mut result = json!({
        "ruleId": entry.rule,
        "ruleIndex": index(&entry.rule),
        "level": level(entry.severity),
        "message": {"text": text(entry)},
        "locations": [located(entry)],
        "partialFingerprints": {FINGERPRINT: entry.fingerprint},
        "properties": {"severity": entry.severity, "class": entry.class},
    });
    if let (Some(fix), Some(changed)) = (&entry.fix, changed) {
        let changes: Vec<Value> = changed
            .iter()
            .filter_map(|(file, after)| change(file, files.get(file)?, after))
            .collect();
        if !changes.is_empty() {
            result["fixes"] = json!([{
                "description": {"text": fix.title},
                "artifactChanges": changes,
            }]);
        }
    }
    result
}

fn text(entry: &FindingEntry) -> String {
    match (&entry.fix, &entry.open) {
        (Some(fix), _) => format!("{}\nProven fix: {}", entry.message, fix.title),
        (None, Some(open)) => format!("{}\nNo fix ({}): {}", entry.message, open.code, open.reason),
        _ => entry.message.clone(),
    }
}

fn located(entry: &FindingEntry) -> Value {
    let mut value = location(&entry.location);
    value["logicalLocations"] = json!([{
        "fullyQualifiedName": format!("{}/{}", entry.object, entry.path),
        "kind": "member",
    }]);
    value
}

fn location(span: &crate::scan::report::Span) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&span.file), "uriBaseId": "%SRCROOT%"},
            "region": {
                "startLine": span.line,
                "startColumn": span.column,
                "endLine": span.end_line,
                "endColumn": span.end_column,
            },
        },
    })
}

/// A path as a relative URI reference: everything but plain characters is percent-encoded.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// The lines of a file that differ, as replacements of whole lines.
fn change(file: &str, before: &[u8], after: &[u8]) -> Option<Value> {
    let (before, after) = (
        std::str::from_utf8(before).ok()?,
        std::str::from_utf8(after).ok()?,
    );
    let hunks = crate::patch::replacements(before, after);
    let replacements: Vec<Value> = hunks
        .into_iter()
        .map(|(lines, text)| {
            json!({
                // the region ends where the line behind the last one begins
                "deletedRegion": {
                    "startLine": lines.start + 1, "startColumn": 1,
                    "endLine": lines.end + 1, "endColumn": 1,
                },
                "insertedContent": {"text": text},
            })
        })
        .collect();
    (!replacements.is_empty()).then(|| {
        json!({
            "artifactLocation": {"uri": uri(file), "uriBaseId": "%SRCROOT%"},
            "replacements": replacements,
        })
    })
}
