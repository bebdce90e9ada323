//! Files that nothing can be read from, and kustomizations that do not build.

use crate::code::Code;
use crate::files::Files;
use crate::finding::Severity;
use crate::locate::Repository;
use crate::manifest;
use crate::object::ObjectRef;
use crate::path::FieldPath;
use crate::scan::draft::{Draft, Remedy};
use crate::scan::place::{Place, in_document, text};
use crate::scan::rules;
use crate::source::{Answer, Fault, faults};

/// A draft with its place, and the options of a person where a repair is known.
pub(super) struct Sourced {
    pub draft: Draft,
    pub place: Place,
    pub fault: Option<Fault>,
}

/// Everything that keeps sources from being read or rendered.
pub(super) fn check(repository: &Repository<'_>) -> Vec<Sourced> {
    let files = repository.files;
    let mut out: Vec<Sourced> = files
        .by_path
        .keys()
        .filter_map(|f| syntax(repository, f))
        .collect();
    let unreadable: Vec<String> = out.iter().map(|s| s.place.file.clone()).collect();
    let broken: Vec<(&str, &str)> = repository
        .roots()
        .filter_map(|(root, why)| Some((root, why?)))
        .filter(|(_, why)| why.code == Code::RenderFailed)
        .map(|(root, why)| (root, why.message.as_str()))
        .collect();
    let dirs: Vec<String> = broken.iter().map(|(root, _)| (*root).to_owned()).collect();
    let known = faults(files, None, &dirs);
    for (root, why) in broken {
        let read = repository.files_of_root(root);
        // a file that is no YAML is told of already
        if !read.iter().any(|f| unreadable.contains(f)) {
            out.extend(root_fault(repository, root, why, &known, &read));
        }
    }
    out
}

fn root_fault(
    repository: &Repository<'_>,
    root: &str,
    why: &str,
    known: &[Fault],
    read: &[String],
) -> Option<Sourced> {
    let files = repository.files;
    let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    let own = names
        .iter()
        .map(|n| {
            if root.is_empty() {
                (*n).to_owned()
            } else {
                format!("{root}/{n}")
            }
        })
        .find(|f| files.get(f).is_some())?;
    let object = ObjectRef::new(
        "",
        "Kustomization",
        None,
        if root.is_empty() { "." } else { root },
    );
    let fault = known.iter().find(|f| match &f.answer {
        Answer::Fix(fix) => fix.root == root || fix.edits.keys().any(|e| read.contains(e)),
        _ => f.finding.object.name == object.name,
    });
    let told = fault.map_or_else(|| flat(why), explained);
    let message = format!("{} does not build: {told}", object.name);
    let draft = Draft {
        rule: &rules::BROKEN_KUSTOMIZATION,
        severity: Severity::High,
        object,
        container: None,
        path: FieldPath::default(),
        on_key: false,
        message,
        remedy: Remedy::Person(
            Code::OwnerDecision,
            "what does not render was never applied, so a person decides".to_owned(),
        ),
        related: Vec::new(),
        only_fixed: false,
    };
    let sources = read.iter().filter(|f| names.iter().any(|n| f.ends_with(n)));
    let entries = || {
        let mut all = sources.chain([&own]);
        all.find_map(|f| entry(files, f, why))
    };
    let place = named_entry(files, &told)
        .or_else(entries)
        .unwrap_or_else(|| Place::line(files, &own, 1));
    Some(Sourced {
        draft,
        place,
        fault: fault.cloned(),
    })
}

/// What the reader of kustomizations says about a fault.
fn explained(fault: &Fault) -> String {
    let claims = match &fault.answer {
        Answer::Refuse(refusal) => return flat(&refusal.message),
        Answer::Fix(fix) => &fix.diagnosis,
        Answer::Ask(question) => &question.diagnosis,
    };
    let all: Vec<&str> = claims.iter().map(|c| c.text.as_str()).collect();
    flat(&all.join(". "))
}

/// One line, without what kustomize repeats at every level.
fn flat(text: &str) -> String {
    let tail = text
        .rsplit_once("accumulating resources")
        .map_or(text, |(_, tail)| tail)
        .trim_start_matches([':', ' ']);
    let words: Vec<&str> = tail.split_whitespace().collect();
    words.join(" ").chars().take(600).collect()
}

/// `resources[2] of apps/kustomization.yaml is …`: the place of that entry.
fn named_entry(files: &Files, told: &str) -> Option<Place> {
    let words: Vec<&str> = told.split(' ').collect();
    let (field, file) = words.windows(3).find_map(|w| match w {
        [field, "of", file] if field.ends_with(']') => Some((*field, *file)),
        _ => None,
    })?;
    let path: FieldPath = field.parse().ok()?;
    let (whole, place) = in_document(files, file, 0, &path, false)?;
    whole.then_some(place)
}

/// The line of a kustomization whose entry the tool complains about.
fn entry(files: &Files, file: &str, why: &str) -> Option<Place> {
    let text = text(files, file)?;
    let mut best: Option<(usize, usize)> = None;
    for (i, line) in text.lines().enumerate() {
        let word = line
            .trim()
            .trim_start_matches("- ")
            .trim_start_matches("path: ")
            .trim_matches(['"', '\'', ' ']);
        let word = word.trim_start_matches("./").trim_start_matches("../");
        let named = word.len() > 3 && !word.starts_with('#') && !word.ends_with(':');
        if named && why.contains(word) && best.is_none_or(|(_, l)| word.len() > l) {
            best = Some((i + 1, word.len()));
        }
    }
    best.filter(|(_, l)| *l > 5)
        .map(|(line, _)| Place::line(files, file, line))
}

/// A file of manifests that is no YAML, with the line at which the reader stopped.
fn syntax(repository: &Repository<'_>, file: &str) -> Option<Sourced> {
    let files = repository.files;
    if !repository.problems.iter().any(|p| p.place == file) {
        return None;
    }
    let text = text(files, file)?;
    // a template is no YAML before it is rendered, and that is no fault
    if ["{{", "{%", "<%", "#@"]
        .iter()
        .any(|mark| text.contains(mark))
    {
        return None;
    }
    let (document, slice, refusal) = manifest::split(text)
        .into_iter()
        .enumerate()
        .find_map(|(i, s)| Some((i, s, manifest::read_value(s.of(text)).err()?)))
        // what only one reader refuses may well be applied
        .filter(|(_, _, refusal)| refusal.code != Code::ReadersDisagree)?;
    let line = slice.line + stopped(&refusal.message).map_or(0, |l| l.saturating_sub(1));
    let mut place = Place::line(files, file, line);
    place.document = document;
    let draft = Draft {
        rule: &rules::INVALID_YAML,
        severity: Severity::High,
        object: ObjectRef::new("", "File", None, file),
        container: None,
        path: FieldPath::default(),
        on_key: false,
        message: format!("{file} is no valid YAML: {}", first_line(&refusal.message)),
        remedy: Remedy::Person(Code::NotYaml, "what was meant is not known".to_owned()),
        related: Vec::new(),
        only_fixed: false,
    };
    Some(Sourced {
        draft,
        place,
        fault: None,
    })
}

/// The reader's words, without its advice to programmers and its own count of lines.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let plain = [", set ", " at line "]
        .iter()
        .fold(line, |l, cut| l.split(cut).next().unwrap_or(l));
    plain.chars().take(300).collect()
}

/// The number after `line ` in a reader's message.
fn stopped(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
