//! Plays: manifests that the API server refuses.
//!
//! One play repairs an object as a whole: it converts a removed API version, then mends what the
//! schema refuses, one certain repair after the other, until nothing is left. What is not certain
//! becomes a question. The result always validates, or nothing is proposed.

use serde_json::Value;

use crate::case::{Case, Desired};
use crate::code::{Code, Refusal};
use crate::detect::manifest::fact;
use crate::finding::{Class, Severity};
use crate::object::Object;
use crate::path::FieldPath;
use crate::propose::playbook::Play;
use crate::propose::{Answer, Choice, Claim, Op, Proposal, ProposedEdit, Question, Source, Unlock};
use crate::schema::{self, Issue, IssueKind};

mod repair;
mod unlocated;

use repair::{Doubt, Repair, Step};

const NAME: &str = "valid-manifest";

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: NAME,
        about: "Repairs what the API server refuses in a manifest, where only one repair keeps its meaning.",
        classes: &[Class::InvalidManifest, Class::DeprecatedApi],
        run,
    },
    Play {
        name: "refused-source",
        about: "Explains what a tool refuses where no readable object in Git is at fault.",
        classes: &[
            Class::InvalidManifest,
            Class::DeprecatedApi,
            Class::RenderError,
        ],
        run: unlocated::run,
    },
];

/// The most rounds of repairs: one fault may hide the next.
const MAX_ROUNDS: usize = 6;
/// The most edits of a proposal.
const MAX_EDITS: usize = 10;

fn run(case: &Case<'_>) -> Option<Answer> {
    let desired = manifest(case)?;
    let mut work = Work::new(case, desired);
    if let Err(answer) = work.convert() {
        return Some(*answer);
    }
    work.mend();
    if work.steps.is_empty() && work.doubts.is_empty() {
        return None;
    }
    Some(work.answer())
}

/// The object in Git; a base that several roots render counts once.
fn manifest<'a>(case: &Case<'a>) -> Option<&'a Desired> {
    let mut hits = case
        .desired
        .iter()
        .filter(|d| d.object.reference().same_object(&case.finding.object));
    let first = hits.next()?;
    hits.all(|d| (&d.file, d.document) == (&first.file, first.document))
        .then_some(first)
}

/// The repair of one object.
struct Work<'a, 'c> {
    case: &'c Case<'a>,
    desired: &'a Desired,
    /// The object after all steps.
    object: Object,
    /// Every issue that was met, for people.
    met: Vec<Issue>,
    steps: Vec<Step>,
    doubts: Vec<Doubt>,
    notes: Vec<String>,
}

impl<'a, 'c> Work<'a, 'c> {
    fn new(case: &'c Case<'a>, desired: &'a Desired) -> Self {
        Self {
            case,
            desired,
            object: desired.object.clone(),
            met: Vec::new(),
            steps: Vec::new(),
            doubts: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Moves the object to the version that replaces its own.
    fn convert(&mut self) -> Result<(), Box<Answer>> {
        let object = &self.desired.object;
        let Some(gone) = schema::deprecated(object.api_version(), object.kind()) else {
            return Ok(());
        };
        let Some(converted) = schema::convert(object) else {
            let message = format!(
                "{} in {} is a {} of {}, which Kubernetes {} removed without a replacement. Use {} instead, and remove the object from Git",
                object.reference(),
                self.place(),
                object.kind(),
                object.api_version(),
                gone.removed_in,
                gone.instead
            );
            return Err(Box::new(Answer::Refuse(Refusal::new(
                Code::NoSafeFix,
                message,
            ))));
        };
        self.met.extend(schema::check(object));
        self.notes = converted.notes;
        if !converted.open.is_empty() {
            for open in converted.open {
                self.doubts.push(Doubt::text("apiVersion", open));
            }
        }
        for step in converted.moves {
            self.push(Step {
                path: step.path,
                op: step.op,
                why: step.why,
                unlock: Unlock::DeprecatedApi,
            });
        }
        Ok(())
    }

    fn mend(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let issues = schema::check(&self.object);
            let before = self.steps.len();
            self.doubts.retain(|d| d.issue.is_none());
            let mut changed = false;
            for issue in issues {
                if !self.met.contains(&issue) {
                    self.met.push(issue.clone());
                }
                match repair::repair(&issue, &self.object, self.case) {
                    Repair::Certain(steps) => {
                        changed = true;
                        steps.into_iter().for_each(|s| self.push(s));
                    }
                    Repair::Doubtful(doubt) => self.doubts.push(doubt),
                }
            }
            if !changed && self.steps.len() == before {
                return;
            }
        }
    }

    /// Takes a step, or folds it into the value that an earlier step adds.
    fn push(&mut self, step: Step) {
        if self.loses_spelling(&step) {
            let why =
                "it is written without quotes and has to be text: quote it by hand, as it is meant";
            let doubt = Doubt::text(&step.path.to_string(), why.to_owned());
            if !self.doubts.contains(&doubt) {
                self.doubts.push(doubt);
            }
            return;
        }
        crate::lock::apply_op(&mut self.object.value, &step.path, &step.op);
        let host = self.steps.iter_mut().find_map(|s| match &mut s.op {
            Op::Add(value) | Op::Set(value) if step.path.starts_with(&s.path) => {
                Some((s.path.0.len(), value))
            }
            _ => None,
        });
        match host {
            Some((depth, value)) => {
                let rest = FieldPath(step.path.0.iter().skip(depth).cloned().collect());
                match (&step.op, rest.0.is_empty()) {
                    (Op::Set(new) | Op::Add(new), true) => *value = new.clone(),
                    _ => crate::lock::apply_op(value, &rest, &step.op),
                }
            }
            None => self.steps.push(step),
        }
    }

    /// Whether a step makes text of a value that an earlier step moves: then nobody compares it
    /// with its spelling in the file (`yes`, `0x1F`).
    fn loses_spelling(&self, step: &Step) -> bool {
        let retyped = matches!(
            (step.path.get(&self.object.value), &step.op),
            (
                Some(Value::Bool(_) | Value::Number(_)),
                Op::Set(Value::String(_))
            )
        );
        retyped
            && self
                .steps
                .iter()
                .any(|s| !matches!(s.op, Op::Remove) && step.path.starts_with(&s.path))
    }

    fn answer(self) -> Answer {
        let left = schema::check(&self.object);
        if self.doubts.is_empty() && left.is_empty() && self.steps.len() <= MAX_EDITS {
            return Answer::Fix(self.proposal(&self.steps, self.title()));
        }
        Answer::Ask(self.question(&left))
    }

    /// `apps/till.yaml`, with the document where the file may hold several.
    fn place(&self) -> String {
        let ordinal =
            ["first", "second", "third", "fourth", "fifth", "sixth"].get(self.desired.document);
        match ordinal {
            Some(word) => format!("{} ({word} document)", self.desired.file),
            None => format!(
                "{} (document {})",
                self.desired.file,
                self.desired.document + 1
            ),
        }
    }

    fn title(&self) -> String {
        let object = self.desired.object.reference();
        let moved = self.steps.iter().find_map(|s| match &s.op {
            Op::Set(v) if s.path == FieldPath::keys(["apiVersion"]) => v.as_str(),
            _ => None,
        });
        if let Some(version) = moved {
            return format!(
                "Move {object} from {} to {version}",
                self.desired.object.api_version()
            );
        }
        match self.met.as_slice() {
            [only] => format!("Make {object} valid: {}", short_path(&only.path)),
            many => format!("Make {object} valid: {} fields", many.len()),
        }
    }

    fn diagnosis(&self) -> Vec<Claim> {
        let object = self.desired.object.reference();
        let mut claims = Vec::new();
        let message = self.case.finding.message.trim();
        if !message.is_empty() {
            claims.push(Claim::fact(format!("The tool says: {message}")));
        }
        claims.push(Claim::fact(format!("{object} is in {}.", self.place())));
        for issue in &self.met {
            claims.push(Claim::fact(format!("{issue}.")));
        }
        for note in &self.notes {
            claims.push(Claim::fact(format!("Check after the merge: {note}.")));
        }
        claims
    }

    fn proposal(&self, steps: &[Step], title: String) -> Proposal {
        let object = self.desired.object.reference();
        let edits = steps.iter().map(|s| ProposedEdit {
            object: object.clone(),
            path: s.path.clone(),
            op: s.op.clone(),
            unlock: s.unlock,
            basis: s.why.clone(),
        });
        Proposal {
            source: Source::Playbook(NAME),
            title,
            diagnosis: self.diagnosis(),
            reason: format!(
                "The API server refuses {object} as it is; after the change it validates against the schema of Kubernetes {}, and nothing else differs.",
                schema::VERSION
            ),
            risk: Severity::Medium,
            after_merge: self.after_merge(steps),
            edits: edits.collect(),
        }
    }

    fn after_merge(&self, steps: &[Step]) -> Vec<String> {
        let selector = FieldPath::keys(["spec", "selector"]);
        let mut out = self.notes.clone();
        if steps.iter().any(|s| s.path == selector) {
            out.push("spec.selector is immutable once the object exists: check that it selects what you want".to_owned());
        }
        out
    }

    fn question(&self, left: &[Issue]) -> Question {
        let object = self.desired.object.reference();
        let mut diagnosis = self.diagnosis();
        let mut options = Vec::new();
        for doubt in &self.doubts {
            diagnosis.push(Claim::fact(format!("{}: {}", doubt.path, doubt.why)));
            options.extend(self.options(doubt));
        }
        if self.doubts.is_empty() && !left.is_empty() {
            diagnosis.push(Claim::fact(format!(
                "{} faults would be left after the certain repairs.",
                left.len()
            )));
        }
        for step in &self.steps {
            diagnosis.push(Claim::fact(format!("Certain: {}.", step.describe())));
        }
        if options.is_empty() {
            options.push(Choice {
                title: format!("Change {object} in {} by hand", self.place()),
                proposal: None,
            });
        }
        Question {
            code: self.code(),
            title: self.question_title(),
            diagnosis,
            options,
        }
    }

    fn question_title(&self) -> String {
        let (object, place) = (self.desired.object.reference(), self.place());
        match self.doubts.first() {
            Some(doubt) => format!("How should {} of {object} in {place} be?", doubt.path),
            None => format!("How should {object} in {place} be made valid?"),
        }
    }

    fn code(&self) -> Code {
        self.doubts
            .iter()
            .map(|d| d.code)
            .next()
            .unwrap_or(Code::OwnerDecision)
    }

    /// An option's proposal is given only if the object is valid after it.
    fn options(&self, doubt: &Doubt) -> Vec<Choice> {
        let choice = |option: &repair::Choosable| {
            let mut all = Work::new(self.case, self.desired);
            for step in self.steps.iter().chain(&option.steps) {
                all.push(step.clone());
            }
            let whole = !option.steps.is_empty()
                && schema::check(&all.object).is_empty()
                && all.steps.len() <= MAX_EDITS;
            Choice {
                title: option.title.clone(),
                proposal: whole.then(|| self.proposal(&all.steps, option.title.clone())),
            }
        };
        doubt.options.iter().map(choice).collect()
    }
}

/// The last two keys of a path, for titles.
fn short_path(path: &FieldPath) -> String {
    let from = path.0.len().saturating_sub(3);
    FieldPath(path.0.iter().skip(from).cloned().collect()).to_string()
}

/// Whether the tool's own message names exactly this field.
fn is_named(case: &Case<'_>, path: &FieldPath) -> bool {
    case.finding.fact(fact::FIELD) == Some(path.to_string().as_str())
}

/// Whether an issue is about the identity of the object.
fn is_identity(issue: &Issue) -> bool {
    let path = issue.path.to_string();
    matches!(
        issue.kind,
        IssueKind::BadName { .. } | IssueKind::MissingRequired | IssueKind::BadValue { .. }
    ) && matches!(path.as_str(), "metadata.name" | "metadata.namespace")
}

#[cfg(test)]
mod tests;
