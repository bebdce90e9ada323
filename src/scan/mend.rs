//! From a draft to its proven fix, or to the reason why there is none.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::broken_sources;
use crate::case::{Case, NO_ANSWERS};
use crate::code::{Code, Refusal};
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::locate::{self, Repository, SharedBase};
use crate::pipeline::{Asked, Context, Ended, Ending, heal};
use crate::propose::{Answer, Playbook, Proposal, ProposeError, Proposed, Proposer};
use crate::scan::draft::{Draft, Remedy};
use crate::scan::place::Place;
use crate::scan::world::Scope;
use crate::scan::{Input, Outcome};
use crate::snapshot::Snapshot;
use crate::source::Fault;

/// The most findings for which a fix is looked for; each costs renderings.
const MAX_TRIED: usize = 200;

/// The repository as one scope sees it.
pub(super) fn narrowed<'r>(
    input: &Input<'r>,
    scope: &Scope,
    places: locate::Policy,
) -> Repository<'r> {
    let all = scope.members.iter().chain(&scope.neighbours);
    let kept: HashSet<usize> = all.copied().collect();
    input.repository.narrowed(places, &|i, _| kept.contains(&i))
}

/// One proposal that follows from the finding alone.
struct Prepared<'p>(&'p Proposal);

impl Proposer for Prepared<'_> {
    fn propose(
        &self,
        _case: &Case<'_>,
        _evidence: &Evidence,
        feedback: &[String],
    ) -> Result<Proposed, ProposeError> {
        let answer = feedback.is_empty().then(|| Answer::Fix(self.0.clone()));
        Ok(Proposed {
            answer,
            ..Proposed::default()
        })
    }
}

/// Finds fixes, each object's once.
pub(super) struct Mender<'s, 'r> {
    input: &'s Input<'r>,
    nothing: Snapshot,
    /// What was asked and how it ended.
    known: BTreeMap<String, Outcome>,
    tried: usize,
    /// The scope that was looked at last.
    last: Option<(usize, locate::Policy, Repository<'r>)>,
    pub(super) fixes: Vec<Ended>,
    pub(super) open: Vec<Ended>,
}

impl<'s, 'r> Mender<'s, 'r> {
    pub(super) fn new(input: &'s Input<'r>) -> Self {
        Self {
            input,
            nothing: Snapshot::default(),
            known: BTreeMap::new(),
            tried: 0,
            last: None,
            fixes: Vec::new(),
            open: Vec::new(),
        }
    }

    /// What is to be done about a draft.
    pub(super) fn outcome(
        &mut self,
        draft: &Draft,
        scope: Option<(usize, &Scope)>,
        roots: &[String],
        place: &Place,
    ) -> Outcome {
        let (finding, proposal) = match &draft.remedy {
            Remedy::Person(code, why) => return open(*code, why),
            Remedy::Play(finding) => (finding, None),
            Remedy::Edit(finding, proposal) => (finding, Some(proposal.as_ref())),
        };
        let Some(scope) = scope else {
            return open(Code::NotRendered, "its root was not rendered");
        };
        let places = match self.places(roots, place) {
            Ok(places) => places,
            Err(refusal) => {
                return Outcome::Open {
                    refusal,
                    options: Vec::new(),
                };
            }
        };
        // the playbook mends an object as a whole, so all its faults have one fix
        let edit = proposal.map(|p| &p.edits);
        let key = match draft.rule.id < "KM200" {
            true => format!("{} {:?}", draft.object, roots),
            false => format!(
                "{} {:?} {:?} {edit:?} {:?}",
                draft.object, roots, finding.class, finding.facts
            ),
        };
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let outcome = self.mend(finding, proposal, scope, places);
        self.known.insert(key, outcome.clone());
        outcome
    }

    /// A line that feeds several roots is changed for all of them if all of them have the fault.
    fn places(&self, roots: &[String], place: &Place) -> Result<locate::Policy, Refusal> {
        if roots.len() < 2 {
            return Ok(self.input.places);
        }
        let readers = self.input.repository.readers_of(&place.file);
        if readers.iter().all(|r| roots.contains(r)) {
            return Ok(locate::Policy {
                shared_base: SharedBase::Base,
            });
        }
        let message = format!(
            "{} feeds {} roots, and {} of them have this fault",
            place.file,
            readers.len(),
            roots.len()
        );
        Err(Refusal::new(Code::SharedBase, message))
    }

    fn mend(
        &mut self,
        finding: &Finding,
        proposal: Option<&Proposal>,
        (number, scope): (usize, &Scope),
        places: locate::Policy,
    ) -> Outcome {
        self.tried += 1;
        if self.tried > MAX_TRIED {
            let why =
                format!("a scan looks for at most {MAX_TRIED} fixes; run it again after these");
            return open(Code::InputTooLarge, &why);
        }
        let known = self
            .last
            .take()
            .filter(|(n, p, _)| (*n, *p) == (number, places));
        let repository = match known {
            Some((.., repository)) => repository,
            None => narrowed(self.input, scope, places),
        };
        let prepared = proposal.map(Prepared);
        let proposer: &dyn Proposer = match &prepared {
            Some(prepared) => prepared,
            None => &Playbook,
        };
        let ctx = self.context(&repository, proposer);
        let healed = catch_unwind(AssertUnwindSafe(|| heal(&ctx, finding, &[])));
        self.last = Some((number, places, repository));
        match healed {
            Ok(Ok((ended, _))) => self.ended(ended),
            Ok(Err(error)) => open(Code::NoSafeFix, &error.to_string()),
            Err(_) => open(Code::InternalFault, &finding.summary),
        }
    }

    fn context<'c>(
        &'c self,
        repository: &'c Repository<'c>,
        proposer: &'c dyn Proposer,
    ) -> Context<'c> {
        Context {
            checkout: self.input.checkout,
            repository,
            snapshot: &self.nothing,
            report: None,
            now: self.input.now,
            grace: Duration::ZERO,
            policy: self.input.policy,
            proposer,
            answers: &NO_ANSWERS,
            style: self.input.style,
        }
    }

    fn ended(&mut self, ended: Ended) -> Outcome {
        let outcome = match &ended.ending {
            Ending::PullRequest(_) => {
                self.fixes.push(ended);
                return Outcome::Fixed(self.fixes.len() - 1);
            }
            Ending::Question(asked) => question(asked),
            Ending::Refused { refusal, .. } | Ending::Nothing { refusal, .. } => Outcome::Open {
                refusal: refusal.clone(),
                options: Vec::new(),
            },
        };
        self.open.push(ended);
        outcome
    }

    /// A source that does not render: a repair is an option, never a fix of its own.
    pub(super) fn source(&self, draft: &Draft, fault: &Fault) -> Outcome {
        let ctx = self.context(self.input.repository, &Playbook);
        let ended = broken_sources::ending(&ctx, fault);
        match ended.ending {
            Ending::Question(asked) => question(&asked),
            Ending::Refused { refusal, .. } => Outcome::Open {
                refusal,
                options: Vec::new(),
            },
            _ => open(Code::OwnerDecision, draft.rule.help),
        }
    }
}

/// What a person may choose, with the proven diff of each option that has one.
fn question(asked: &Asked) -> Outcome {
    let titles = asked.question.options.iter().map(|o| o.title.clone());
    let patches = asked.patches.iter().cloned().chain(std::iter::repeat(None));
    Outcome::Open {
        refusal: Refusal::new(asked.question.code, asked.question.title.clone()),
        options: titles.zip(patches).collect(),
    }
}

fn open(code: Code, why: &str) -> Outcome {
    Outcome::Open {
        refusal: Refusal::new(code, why),
        options: Vec::new(),
    }
}
