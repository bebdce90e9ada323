//! Edge cases of what Argo CD, Flux and the workload itself show of a merged fix, one file each in
//! `applied/`. A file holds the history of the branch, the cluster look by look, and what is to be seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubemend::case::Desired;
use kubemend::detect::{View, detect};
use kubemend::finding::{Class, Finding};
use kubemend::manifest::read_stream;
use kubemend::object::Object;
use kubemend::snapshot::Snapshot;
use kubemend::verify::Applied;
use kubemend::verify::expect::Expected;
use kubemend::verify::machine::{Baseline, Facts, Live, Memory, State, Symptom, Timing, step};
use kubemend::verify::rollout::Rollout;
use kubemend::verify::sight::{Failing, Merged, World, look};
use serde::Deserialize;
use serde_json::Value;

/// Where the manifests are.
const REPOSITORY: &str = "https://github.com/acme/gitops";

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    /// The branch, its oldest commit first.
    commits: Vec<Commit>,
    merge: Merge,
    /// How it was before the merge, where that is known.
    before: Option<Baseline>,
    /// What Git makes by now, where that matters.
    #[serde(default)]
    git: Vec<InGit>,
    /// The cluster at the first look.
    objects: Vec<Value>,
    looks: Vec<Look>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    id: String,
    #[serde(default)]
    changes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    commit: String,
    at: Timestamp,
    /// The object that failed, as people read it.
    mends: String,
    class: Class,
    expects: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InGit {
    file: String,
    root: Option<String>,
    object: Value,
}

/// What happened until a look, and what is to be seen then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    at: Timestamp,
    /// Taken again each minute until then; the last one is compared.
    until: Option<Timestamp>,
    /// Objects that are there no more.
    #[serde(default)]
    gone: Vec<String>,
    #[serde(default)]
    new: Vec<Value>,
    /// Parts of objects; null takes a key away.
    #[serde(default)]
    change: Vec<Value>,
    expect: BTreeMap<String, Value>,
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/applied");
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.sort();
    files
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

fn read(file: &Path) -> Edge {
    let text = fs::read_to_string(file).unwrap();
    let mut all = read_stream(&text).unwrap_or_else(|e| panic!("{}: {e}", name(file)));
    assert_eq!(all.len(), 1, "{}: one document", name(file));
    serde_json::from_value(all.remove(0)).unwrap_or_else(|e| panic!("{}: {e}", name(file)))
}

impl Edge {
    fn place(&self, commit: &str) -> Option<usize> {
        self.commits.iter().position(|c| c.id == commit)
    }

    fn is_ancestor(&self, a: &str, b: &str) -> Option<bool> {
        Some(self.place(a)? <= self.place(b)?)
    }

    fn changed(&self, a: &str, b: &str) -> Option<Vec<String>> {
        let (a, b) = (self.place(a)?, self.place(b)?);
        let between = self.commits.get(a.min(b) + 1..=a.max(b))?;
        Some(between.iter().flat_map(|c| c.changes.clone()).collect())
    }

    fn desired(&self) -> Vec<Desired> {
        let all = self.git.iter().map(|d| Desired {
            object: Object::new(d.object.clone()).unwrap(),
            file: d.file.clone(),
            document: 0,
            root: d.root.clone(),
        });
        all.collect()
    }

    /// One look at a cluster, as a pass takes it, and where the fix stands after it.
    fn look(&self, objects: &[Value], memory: &Memory, now: Timestamp) -> (Facts, Memory, State) {
        let objects = objects.iter().cloned().filter_map(Object::new);
        let snapshot = Snapshot::new(objects.collect(), BTreeMap::new());
        let desired = self.desired();
        let findings = detect(&View {
            snapshot: &snapshot,
            desired: &desired,
            report: None,
            now,
            grace: Duration::from_secs(120),
        });
        let failing: Vec<Failing<'_>> = findings.iter().map(failing).collect();
        let merge = &self.merge;
        let merged = Merged {
            commit: &merge.commit,
            at: merge.at,
            key: "",
            also: &[],
            object: &merge.mends,
            class: Some(merge.class),
            expects: &merge.expects,
            applied_at: memory.applied_at,
            before: self.before.as_ref(),
            is_revert: false,
            is_anywhere: false,
        };
        let world = World {
            now,
            snapshot: &snapshot,
            failing: &failing,
            unread: None,
            desired: &desired,
            feeds: &BTreeMap::new(),
            head: &self.commits.last().unwrap().id,
            is_ancestor: &|a, b| self.is_ancestor(a, b),
            changed: &|a, b| self.changed(a, b),
            is_ours: &|url| url.trim_end_matches(".git") == REPOSITORY,
        };
        let facts = look(&merged, &world).facts;
        let baseline = self.before.as_ref().filter(|b| b.is_before(merge.at));
        let timing = Timing::default().after(self.before.as_ref());
        let (memory, state) = step(memory, &facts, baseline, &timing, now);
        (facts, memory, state)
    }

    /// What was to be seen, and was not.
    fn complaints(&self) -> Vec<String> {
        let mut objects = self.objects.clone();
        let mut memory = Memory::default();
        let mut complaints = Vec::new();
        for taken in &self.looks {
            taken.happen(&mut objects);
            let mut now = taken.at;
            let seen = loop {
                let (facts, next, state) = self.look(&objects, &memory, now);
                memory = next;
                if taken.until.is_none_or(|until| now >= until) {
                    break seen(&facts, &state);
                }
                now += SignedDuration::from_mins(1);
            };
            complaints.extend(taken.complaints(&seen, now));
        }
        complaints
    }
}

fn failing(finding: &Finding) -> Failing<'_> {
    Failing {
        key: "",
        object: &finding.object,
        class: finding.class,
        severity: finding.severity,
        since: None,
        summary: &finding.summary,
    }
}

impl Look {
    /// Brings the objects to the moment of the look.
    fn happen(&self, objects: &mut Vec<Value>) {
        for lost in &self.gone {
            let before = objects.len();
            objects.retain(|o| reference(o) != *lost);
            assert!(objects.len() < before, "{lost} was never there");
        }
        for part in &self.change {
            let is_it = |o: &&mut Value| reference(o) == reference(part);
            let changed = objects.iter_mut().find(is_it);
            let changed = changed.unwrap_or_else(|| panic!("{} is not there", reference(part)));
            merge(changed, part);
        }
        objects.extend(self.new.iter().cloned());
    }

    fn complaints(&self, seen: &BTreeMap<&str, String>, now: Timestamp) -> Vec<String> {
        let complaint = |(what, wanted): (&String, &Value)| {
            let wanted = text(wanted);
            let seen = seen.get(what.as_str()).map_or("no such thing", |s| s);
            (!fits(seen, &wanted)).then(|| format!("{now}: {what}: wanted {wanted}; seen {seen}"))
        };
        self.expect.iter().filter_map(complaint).collect()
    }
}

fn reference(object: &Value) -> String {
    let object = Object::new(object.clone()).unwrap();
    object.reference().to_string()
}

fn merge(into: &mut Value, part: &Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(parts)) => {
            for (key, part) in parts {
                match part {
                    Value::Null => drop(into.shift_remove(key)),
                    part => merge(into.entry(key.clone()).or_insert(Value::Null), part),
                }
            }
        }
        (into, part) => *into = part.clone(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A word, or `word: part`, where the part stands somewhere in what is told; or not that, behind `not`.
fn fits(seen: &str, wanted: &str) -> bool {
    if let Some(unwanted) = wanted.strip_prefix("not ") {
        return !fits(seen, unwanted);
    }
    let (word, told) = seen.split_once(": ").unwrap_or((seen, ""));
    match wanted.split_once(": ") {
        Some((wanted, part)) => word == wanted && told.contains(part),
        None => word == wanted,
    }
}

/// What a file may expect, by name.
fn seen(facts: &Facts, state: &State) -> BTreeMap<&'static str, String> {
    let listed = |all: &[String]| match all.is_empty() {
        true => "none".to_owned(),
        false => all.join(", "),
    };
    let rollout = facts.rollout.as_ref();
    BTreeMap::from([
        ("applied", said_of_apply(&facts.applied)),
        ("applied at", moment(&facts.applied)),
        ("ours failed", facts.failed_is_ours.to_string()),
        ("live", said_of_live(&facts.live)),
        (
            "rollout",
            rollout.map_or("none".to_owned(), said_of_rollout),
        ),
        ("symptom", said_of_symptom(&facts.symptom)),
        ("newly broken", listed(&facts.newly_broken)),
        ("restarts", facts.restarts.to_string()),
        ("ready", facts.ready.to_string()),
        ("excuse", facts.excuse.unwrap_or("none").to_owned()),
        ("overtaken", facts.overtaken.to_string()),
        ("state", said_of_state(state)),
    ])
}

fn said_of_apply(applied: &Applied) -> String {
    match applied {
        Applied::NotSeen { at } => format!("unseen: {}", at.as_deref().unwrap_or("nothing")),
        Applied::Applying { detail } => format!("applying: {detail}"),
        Applied::Waiting { why } => format!("waiting: {why:?}"),
        Applied::Applied { revision, .. } => format!("applied: {revision}"),
        Applied::Failed { message, resources } => {
            format!("failed: {message} [{}]", resources.join(", "))
        }
        Applied::Unknown { why } => format!("unknown: {why}"),
    }
}

fn moment(applied: &Applied) -> String {
    match applied {
        Applied::Applied { at: Some(at), .. } => at.to_string(),
        _ => "none".to_owned(),
    }
}

fn said_of_live(live: &Live) -> String {
    match live {
        Live::Holds => "holds".to_owned(),
        Live::Differs { manager } => format!("differs: {}", manager.as_deref().unwrap_or("")),
        Live::Unknown => "unknown".to_owned(),
    }
}

fn said_of_rollout(rollout: &Rollout) -> String {
    match rollout {
        Rollout::Done => "done".to_owned(),
        Rollout::Progressing(what) => format!("progressing: {what}"),
        Rollout::Waiting(why) => format!("waiting: {why:?}"),
        Rollout::Failing(what) => format!("failing: {what}"),
    }
}

fn said_of_symptom(symptom: &Symptom) -> String {
    match symptom {
        Symptom::Absent => "absent".to_owned(),
        Symptom::Present(what) => format!("present: {what}"),
        Symptom::Another(what) => format!("another: {what}"),
        Symptom::Unobservable(why) => format!("unobservable: {why}"),
    }
}

fn said_of_state(state: &State) -> String {
    let detail = match state {
        State::Merged => String::new(),
        State::Applying(what) | State::Healing(what) => what.clone(),
        State::Waiting(why) => format!("{why:?}"),
        State::Settling(good) => good.to_string(),
        State::Ended(verdict) => verdict.clone().why_mut().cloned().unwrap_or_default(),
    };
    match detail.is_empty() {
        true => state.name().to_owned(),
        false => format!("{}: {detail}", state.name()),
    }
}

#[test]
fn each_edge_case_is_seen_as_what_it_is() {
    let complaints = |file: &PathBuf| {
        let all = read(file).complaints().into_iter();
        all.map(|c| format!("{}: {c}", name(file)))
            .collect::<Vec<_>>()
    };
    let wrong: Vec<String> = files().iter().flat_map(complaints).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever adds one says which rule it bends.
#[test]
fn each_edge_case_says_what_it_is_about() {
    let files = files();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# "), "{}", name(&file));
    }
}
