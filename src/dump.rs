//! Reads snapshots from disk: `kubectl get … -o yaml|json` output, `kubectl cluster-info dump`
//! folders, container logs, and triggers.
//!
//! Everything here is untrusted: sizes are bounded before anything is parsed, symlinks are not
//! followed, and every error names the file and, where there is one, the line.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::case::Report;
use crate::object::Object;
use crate::snapshot::{LogKey, Snapshot};

/// The largest dump that is read, in bytes, all files together.
pub const MAX_DUMP_BYTES: u64 = 256 << 20;
/// The most files of a dump folder.
pub const MAX_DUMP_FILES: usize = 20_000;
/// Of each log only this many bytes at its end are kept.
pub const MAX_LOG_BYTES: usize = 256 << 10;
/// The largest trigger file, in bytes.
const MAX_TRIGGER_BYTES: u64 = 64 << 10;

/// A dump, a log folder or a trigger that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", file.display())]
pub struct DumpError {
    /// The file or folder.
    pub file: PathBuf,
    /// What is wrong, with the line where there is one, and what to do.
    pub message: String,
}

fn error(file: &Path, message: impl Into<String>) -> DumpError {
    DumpError {
        file: file.to_owned(),
        message: message.into(),
    }
}

/// What was read.
#[derive(Debug)]
pub struct Dump {
    /// The cluster as dumped.
    pub snapshot: Snapshot,
    /// The newest moment that any object, event or status mentions: "now" for a dump without a clock.
    pub newest: Option<Timestamp>,
    /// What was left out, one sentence each.
    pub notes: Vec<String>,
}

/// Reads a dump file, or a folder of them with an optional `logs/` folder; `logs` overrides that.
pub fn read(path: &Path, logs: Option<&Path>) -> Result<Dump, DumpError> {
    let mut reader = Reader::default();
    if path.is_dir() {
        reader.folder(path, path, logs.is_some())?;
    } else {
        reader.dump_file(path)?;
    }
    if let Some(logs) = logs {
        reader.log_folder(logs)?;
    }
    if reader.objects.is_empty() && !reader.saw_list {
        return Err(error(
            path,
            "no Kubernetes object and no List in this dump; write it with `kubectl get … -o yaml`",
        ));
    }
    let newest = reader
        .objects
        .iter()
        .filter_map(|o| newest_time(&o.value, 0))
        .max();
    let mut snapshot = Snapshot::new(reader.objects, reader.logs);
    for kind in &reader.empty_lists {
        snapshot.listed_empty(kind, None);
    }
    Ok(Dump {
        snapshot,
        newest,
        notes: reader.notes,
    })
}

#[derive(Default)]
struct Reader {
    objects: Vec<Object>,
    logs: BTreeMap<LogKey, String>,
    empty_lists: Vec<String>,
    notes: Vec<String>,
    bytes: u64,
    files: usize,
    /// Whether any List was read, even an empty one: then nothing being there is an answer.
    saw_list: bool,
}

impl Reader {
    fn folder(
        &mut self,
        root: &Path,
        folder: &Path,
        logs_elsewhere: bool,
    ) -> Result<(), DumpError> {
        for entry in sorted_entries(folder)? {
            let kind = entry
                .symlink_metadata()
                .map_err(|e| error(&entry, e.to_string()))?
                .file_type();
            let name = entry
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if kind.is_symlink() {
                self.notes
                    .push(format!("{}: symlink, not followed", entry.display()));
            } else if kind.is_dir() && name == "logs" && folder == root {
                if !logs_elsewhere {
                    self.log_folder(&entry)?;
                }
            } else if kind.is_dir() {
                if entry.components().count() < root.components().count() + 6 {
                    self.folder(root, &entry, logs_elsewhere)?;
                }
            } else if kind.is_file() && name == "logs.txt" {
                self.cluster_info_log(&entry)?;
            } else if kind.is_file() && is_dump_name(&name) {
                self.dump_file(&entry)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, file: &Path) -> Result<String, DumpError> {
        self.files += 1;
        if self.files > MAX_DUMP_FILES {
            return Err(error(
                file,
                format!("more than {MAX_DUMP_FILES} files; dump fewer namespaces at once"),
            ));
        }
        // the size of a pipe or a device says nothing, so what is read is counted
        let unreadable = |e: std::io::Error| error(file, format!("cannot be read: {e}"));
        let left = MAX_DUMP_BYTES.saturating_sub(self.bytes);
        let mut bytes = Vec::new();
        let source = fs::File::open(file).map_err(unreadable)?;
        source
            .take(left + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_DUMP_BYTES {
            let limit = MAX_DUMP_BYTES >> 20;
            return Err(error(
                file,
                format!("the dump is over {limit} MiB; dump fewer namespaces or kinds"),
            ));
        }
        String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
            error(
                file,
                format!(
                    "line {line}: not UTF-8 (byte {at}); dump it again with `kubectl get … -o yaml`"
                ),
            )
        })
    }

    fn dump_file(&mut self, file: &Path) -> Result<(), DumpError> {
        let text = self.text(file)?;
        let values = parse(&text).map_err(|message| error(file, message))?;
        for value in values {
            self.value(file, value);
        }
        Ok(())
    }

    fn value(&mut self, file: &Path, value: Value) {
        let kind = value
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        match value {
            Value::Object(mut map) if kind.ends_with("List") && map.contains_key("items") => {
                self.saw_list = true;
                let item_kind = kind.trim_end_matches("List");
                let version = map.get("apiVersion").cloned();
                let items = match map.remove("items") {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(), // `items: null` is how an empty list of a typed kind prints
                };
                if items.is_empty() && !item_kind.is_empty() {
                    self.empty_lists.push(item_kind.to_owned());
                }
                for mut item in items {
                    name_kind(&mut item, item_kind, version.as_ref());
                    self.value(file, item);
                }
            }
            Value::Null => {}
            value => match Object::new(value).filter(|o| !o.name().is_empty()) {
                Some(object) => self.objects.push(object),
                None => self.notes.push(format!(
                    "{}: an entry without kind or metadata.name was left out",
                    file.display()
                )),
            },
        }
    }

    fn log_folder(&mut self, folder: &Path) -> Result<(), DumpError> {
        for file in sorted_entries(folder)? {
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_file = file.symlink_metadata().is_ok_and(|m| m.is_file());
            let Some(stem) = name.strip_suffix(".log").filter(|_| is_file) else {
                continue;
            };
            let Some(key) = log_key(stem) else {
                let form = "<namespace>_<pod>_<container>[_previous].log";
                self.notes
                    .push(format!("{}: not named {form}, left out", file.display()));
                continue;
            };
            let bytes =
                fs::read(&file).map_err(|e| error(&file, format!("cannot be read: {e}")))?;
            self.logs.insert(key, log_tail(&bytes));
        }
        Ok(())
    }

    /// `<namespace>/<pod>/logs.txt` of `kubectl cluster-info dump`: sections by container.
    fn cluster_info_log(&mut self, file: &Path) -> Result<(), DumpError> {
        let text = self.text(file)?;
        let mut current: Option<(LogKey, String)> = None;
        for line in text.lines() {
            if let Some(key) = section_start(line) {
                current = Some((key, String::new()));
            } else if line.starts_with("==== END logs for container ") {
                if let Some((key, log)) = current.take() {
                    self.logs.insert(key, log_tail(log.as_bytes()));
                }
            } else if let Some((_, log)) = &mut current {
                log.push_str(line);
                log.push('\n');
            }
        }
        Ok(())
    }
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, DumpError> {
    let entries =
        fs::read_dir(folder).map_err(|e| error(folder, format!("cannot be read: {e}")))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    paths.sort();
    Ok(paths)
}

fn is_dump_name(name: &str) -> bool {
    [".yaml", ".yml", ".json"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// All documents of a dump: JSON when it starts like JSON, else YAML.
fn parse(text: &str) -> Result<Vec<Value>, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::Deserializer::from_str(text)
            .into_iter::<Value>()
            .collect::<Result<_, _>>()
            .map_err(|e| format!("line {}: not JSON: {e}", e.line()));
    }
    crate::manifest::read_stream(text)
}

/// Items of a typed list (`PodList` of `cluster-info dump`) come without kind and apiVersion.
fn name_kind(item: &mut Value, kind: &str, version: Option<&Value>) {
    let Value::Object(map) = item else { return };
    if kind.is_empty() {
        return;
    }
    map.entry("kind")
        .or_insert_with(|| Value::String(kind.to_owned()));
    if let Some(version) = version {
        map.entry("apiVersion").or_insert_with(|| version.clone());
    }
}

fn log_key(stem: &str) -> Option<LogKey> {
    let (stem, previous) = stem
        .strip_suffix("_previous")
        .map_or((stem, false), |s| (s, true));
    let mut parts = stem.splitn(3, '_');
    Some(LogKey {
        namespace: parts.next()?.to_owned(),
        pod: parts.next()?.to_owned(),
        container: parts.next().filter(|c| !c.is_empty())?.to_owned(),
        previous,
    })
}

/// `==== START logs for container web of pod shop/web-1 ====`
fn section_start(line: &str) -> Option<LogKey> {
    let rest = line.strip_prefix("==== START logs for container ")?;
    let (container, rest) = rest.split_once(" of pod ")?;
    let (namespace, pod) = rest.trim_end_matches([' ', '=']).split_once('/')?;
    Some(LogKey {
        namespace: namespace.into(),
        pod: pod.into(),
        container: container.into(),
        previous: false,
    })
}

fn log_tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(MAX_LOG_BYTES);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// The newest time stamp anywhere in an object.
fn newest_time(value: &Value, depth: usize) -> Option<Timestamp> {
    match value {
        Value::String(s)
            if s.len() >= 20
                && s.len() <= 35
                && s.as_bytes().first().is_some_and(u8::is_ascii_digit) =>
        {
            s.parse().ok()
        }
        Value::Array(items) if depth < 12 => {
            items.iter().filter_map(|v| newest_time(v, depth + 1)).max()
        }
        // specs hold schedules and deadlines, not observations
        Value::Object(map) if depth < 12 => map
            .iter()
            .filter(|(k, _)| *k != "spec" && *k != "annotations")
            .filter_map(|(_, v)| newest_time(v, depth + 1))
            .max(),
        _ => None,
    }
}

/// Reads a trigger file: `kind`, `namespace`, `time`, `text`.
pub fn read_trigger(file: &Path) -> Result<(Report, Option<Timestamp>), DumpError> {
    let size = fs::metadata(file)
        .map_err(|e| error(file, format!("cannot be read: {e}")))?
        .len();
    if size > MAX_TRIGGER_BYTES {
        return Err(error(
            file,
            format!("a trigger is at most {} KiB", MAX_TRIGGER_BYTES >> 10),
        ));
    }
    let text = fs::read_to_string(file).map_err(|e| error(file, format!("cannot be read: {e}")))?;
    let value = parse(&text)
        .map_err(|m| error(file, m))?
        .into_iter()
        .next()
        .unwrap_or_default();
    let field = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let time = match field("time") {
        Some(t) => Some(
            t.parse()
                .map_err(|e| error(file, format!("`time` is not RFC 3339: {e}")))?,
        ),
        None => None,
    };
    let Some(text) = field("text") else {
        return Err(error(
            file,
            "a trigger needs `text` (kind, namespace and time are optional)",
        ));
    };
    let kind = field("kind").unwrap_or_else(|| "user-report".to_owned());
    Ok((
        Report {
            kind,
            namespace: field("namespace"),
            text,
        },
        time,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::snapshot::Existence;

    fn read_text(name: &str, text: &str) -> Result<Dump, DumpError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        read(&file, None)
    }

    #[test]
    fn a_list_and_many_documents_read_alike() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n";
        let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}}\n";
        for text in [pod.to_owned(), format!("---\n{pod}---\n"), list.to_owned()] {
            let dump = read_text("d.yaml", &text).unwrap();
            assert!(
                dump.snapshot.find("Pod", Some("shop"), "a").is_some(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_typed_list_names_its_items_and_an_empty_one_is_known_to_be_empty() {
        let text = r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a","namespace":"shop"}}]}
                      {"kind":"SecretList","apiVersion":"v1","items":null}"#;
        let dump = read_text("d.json", text).unwrap();
        assert!(dump.snapshot.find("Pod", Some("shop"), "a").is_some());
        assert_eq!(
            dump.snapshot.existence("ConfigMap", Some("shop"), "x"),
            Existence::Unknown
        );
    }

    #[test]
    fn secret_values_do_not_survive_the_reading() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\ndata: {password: aHVudGVyMg==}\n";
        let dump = read_text("d.yaml", text).unwrap();
        let secret = dump.snapshot.find("Secret", Some("shop"), "s").unwrap();
        assert_eq!(secret.get("data.password"), Some(&Value::Null));
    }

    #[test]
    fn bad_input_names_file_and_line() {
        let bad = read_text("d.yaml", "kind: Pod\n  bad: [\n")
            .unwrap_err()
            .to_string();
        assert!(bad.contains("d.yaml") && bad.contains("line"), "{bad}");
        let bad = read_text("d.json", "{\"kind\": \n\n nope}")
            .unwrap_err()
            .to_string();
        assert!(bad.contains("line 3"), "{bad}");
    }

    #[test]
    fn a_log_is_named_by_namespace_pod_and_container() {
        let key = log_key("shop_web-1_app_previous").unwrap();
        assert_eq!(
            (
                key.namespace.as_str(),
                key.pod.as_str(),
                key.container.as_str(),
                key.previous
            ),
            ("shop", "web-1", "app", true)
        );
        assert!(log_key("shop_web-1").is_none());
        let key =
            section_start("==== START logs for container app of pod shop/web-1 ====").unwrap();
        assert_eq!(
            (key.namespace.as_str(), key.pod.as_str()),
            ("shop", "web-1")
        );
    }
}
