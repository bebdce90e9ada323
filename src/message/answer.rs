//! What kubemend answers to commands, ticks and hints. Pure.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::markdown::fenced;
use super::{code, prose};
use crate::command::{Command, Mistake, Who, least};
use crate::config::Rules;
use crate::converse::judge::Refused;
use crate::forge::decide::Why;

/// The most characters of a difference that is shown.
const MAX_DIFFERENCE: usize = 16_000;

/// What became of a command that was heard.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// There is a pull request for it.
    Pull {
        /// Its number.
        number: u64,
        /// Its head now.
        head: String,
        /// Its head when it was asked for, where that is another one.
        before: Option<String>,
    },
    /// What people said did not become a fix.
    Unheard(String),
    /// No fix.
    Refused {
        /// The code.
        code: String,
        /// Why.
        reason: String,
    },
    /// It is a question, there.
    Question(Option<u64>),
    /// It is left as it is.
    Left(Why),
    /// Git is right already.
    Settled,
    /// Infrastructure gave no answer.
    Unknown,
    /// This run does not see it any more.
    Gone,
    /// It was tried, and did not succeed.
    Failed(String),
}

/// One answer: what was said, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The command, as far as it may be shown again.
    pub said: String,
    /// What comes of it, in Markdown.
    pub text: String,
}

/// The text of an answer.
pub fn answer(parts: &[Part]) -> String {
    let mut out = String::new();
    for part in parts {
        let _ = writeln!(out, "{}: {}\n", part.said, part.text.trim_end());
    }
    out.trim_end().to_owned()
}

/// A command as an answer shows it again: no value, no hint, for both are foreign text.
pub fn said(command: &Command) -> String {
    match command {
        Command::Retry { hint: Some(_) } => code("/kubemend retry hint=…"),
        Command::Set { values } => {
            let keys: Vec<String> = values.iter().map(|(k, _)| format!("{k}=…")).collect();
            code(&format!("/kubemend set {}", keys.join(" ")))
        }
        other => code(&other.to_string()),
    }
}

/// A line that is no command.
pub fn mistake(mistake: &Mistake) -> String {
    let what = prose(&mistake.to_string());
    let end = if what.ends_with('?') { "" } else { "." };
    format!("{what}{end} {} lists all commands.", code("/kubemend help"))
}

/// Somebody who may do other things, but not this.
pub fn not_permitted(who: Who) -> String {
    format!("this takes {}.", takes(who))
}

fn takes(who: Who) -> &'static str {
    match who {
        Who::Readers => "read permission",
        Who::Writers => "write permission",
        Who::MaintainersAndOwners => {
            "maintain permission, or write permission and to be the code owner of every changed file"
        }
    }
}

/// Why a command is not carried out.
pub fn refused(why: Refused) -> &'static str {
    match why {
        Refused::Moved => {
            "the branch moved after your comment, so this could hit commits that you have not seen. Look at the branch, and say it again if you still want it."
        }
        Refused::NotHere => {
            "this means nothing here. Say it in the pull request or question that you mean."
        }
        Refused::Closed => "this is closed. `/kubemend retry` brings it back first.",
        Refused::Merged => {
            "this is merged. If the problem is still there, the next run sees it and proposes again; `/kubemend revert` takes the merge back."
        }
        Refused::NotMergedYet => {
            "this is not merged, so there is nothing in the cluster to look at yet."
        }
        Refused::NotMerged => {
            "only what was merged can be taken back. Close the pull request instead."
        }
        Refused::Paused => {
            "kubemend is paused in this repository. `/kubemend resume` first, then say it again."
        }
        Refused::Secret => {
            "this looks like a credential. kubemend never takes credentials from comments, and never writes one. Delete the comment, replace the credential, and put it into the cluster by the way that you use for secrets."
        }
        Refused::NoState => {
            "nothing was done: what kubemend remembers in this body could not be read or written. The next run repairs it; say it again after that."
        }
        Refused::NoDashboard => {
            "there is no dashboard issue that could remember it (`dashboard: false`, or issues are switched off). Set `enabled: false` in `.github/kubemend.yaml` instead."
        }
        Refused::NoCluster => {
            "this kubemend sees no cluster. To check by hand after the merge: wait until the controller has synced the merge commit (Argo CD: `status.sync.revision`; Flux: `status.lastAppliedRevision`), then see that the workload is ready and the failure is not back."
        }
        Refused::NoMergeCommit => {
            "GitHub does not say which commit the merge made. Revert it by hand: the button is at the bottom of the pull request."
        }
        Refused::OtherOptions => {
            "the options were others when you wrote this. Look at the question as it is now, and choose again."
        }
        Refused::InReview => {
            "commands are not taken from the text of a review, because it can be changed later without a trace. Say it in a comment."
        }
    }
}

/// It is so already.
pub fn already(command: &Command) -> &'static str {
    match command {
        Command::Pause => "kubemend is paused already.",
        Command::Resume => "kubemend is not paused.",
        _ => "nothing to do.",
    }
}

/// All commands, with the least permission.
pub fn help(rules: &Rules) -> String {
    let mut out = String::from(
        "a command stands at the start of a line, outside quotes, lists, code and HTML. A comment may hold ten.\n\n\
         | command | what it does | takes |\n|---|---|---|\n",
    );
    for (written, what, command) in commands() {
        let takes = match least(&command, rules) {
            Who::Readers => "read",
            Who::Writers => "write",
            Who::MaintainersAndOwners => "maintain, or code owner",
        };
        let _ = writeln!(out, "| {} | {what} | {takes} |", code(written));
    }
    out.push_str(
        "\nComments of a review without a command are hints for a new proposal. Whatever is asked for goes through the same checks as \
         every fix, and is only ever a pull request.",
    );
    out
}

fn commands() -> [(&'static str, &'static str, Command); 14] {
    [
        ("/kubemend help", "this list", Command::Help),
        (
            "/kubemend status",
            "what is known about this now",
            Command::Status,
        ),
        (
            "/kubemend explain [CODE]",
            "why this ends as it does, or what a code means",
            Command::Explain { code: None },
        ),
        (
            "/kubemend retry [hint=\"…\"]",
            "propose again; brings back what was closed",
            Command::Retry { hint: None },
        ),
        (
            "/kubemend choose N",
            "answer a question with an option",
            Command::Choose { option: 1 },
        ),
        (
            "/kubemend set KEY=VALUE",
            "answer with a value; never a credential",
            Command::Set { values: Vec::new() },
        ),
        (
            "/kubemend rebase",
            "make the commit again on the current base",
            Command::Rebase,
        ),
        (
            "/kubemend recreate",
            "throw away what people pushed, and make it again",
            Command::Recreate,
        ),
        (
            "/kubemend ignore [7d]",
            "do not propose this for 7 days; without a period for good",
            Command::Ignore { period: None },
        ),
        ("/kubemend unignore", "propose it again", Command::Unignore),
        (
            "/kubemend verify",
            "look now whether the merged fix works",
            Command::Verify,
        ),
        (
            "/kubemend revert",
            "open a pull request that takes a merged fix back",
            Command::Revert,
        ),
        (
            "/kubemend pause",
            "write nothing in this repository",
            Command::Pause,
        ),
        ("/kubemend resume", "go on", Command::Resume),
    ]
}

/// What came of a command that was heard.
pub fn heard(command: &Command, outcome: &Outcome, now: Timestamp) -> String {
    match command {
        Command::Pause => {
            "kubemend writes nothing in this repository until `/kubemend resume`.".to_owned()
        }
        Command::Resume => "kubemend goes on with the next run.".to_owned(),
        Command::Ignore { period } => ignored(*period, now),
        Command::Unignore => format!("it may be proposed again. {}", sentence(outcome)),
        Command::Revert => reverted(outcome),
        _ => sentence(outcome),
    }
}

/// What is known of a merged fix in the cluster: what the look of this pass found, or the verdict.
pub fn verified(seen: Option<&str>, verdict: Option<&str>, on_trial: bool) -> String {
    match (seen, verdict) {
        (Some(state), _) => format!(
            "{}{}. The comment about the rollout has the evidence.",
            state.get(..1).unwrap_or_default().to_lowercase(),
            state.get(1..).unwrap_or_default()
        ),
        (None, Some(verdict)) => format!(
            "the verdict was given: {}. The comment about the rollout has the evidence.",
            verdict.replace('_', " ")
        ),
        (None, None) if on_trial => {
            "its pods are read for it from now on; the comment about the rollout follows with the next look.".to_owned()
        }
        (None, None) => {
            "nothing is known that the cluster could be asked: it was merged more than a week ago, what it should change was not recorded, or it was proposed without a cluster and nothing in this one applies it from this repository.".to_owned()
        }
    }
}

/// What came of the hints of a review.
pub fn hints(count: usize, outcome: &Outcome) -> String {
    let hints = match count {
        1 => "your hint".to_owned(),
        n => format!("{n} hints"),
    };
    format!("took {hints} into account. {}", sentence(outcome))
}

fn ignored(period: Option<SignedDuration>, now: Timestamp) -> String {
    let back = "`/kubemend unignore`, `/kubemend retry`, or removing the label `kubemend/ignored` brings it back.";
    match period.and_then(|p| now.checked_add(p).ok()) {
        Some(until) => format!("not proposed again until {}. {back}", minute(until)),
        None => format!("not proposed again. {back}"),
    }
}

fn reverted(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Pull { number, .. } => {
            format!("#{number} takes it back. The fix is not proposed again while that is open.")
        }
        Outcome::Failed(why) => format!(
            "it could not be taken back: {}.",
            prose(why).trim_end_matches('.')
        ),
        other => sentence(other),
    }
}

/// An outcome in one sentence.
pub fn sentence(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Pull {
            number,
            head,
            before: Some(before),
        } => format!(
            "#{number} was made again: commit {} replaces {}.",
            short(head),
            short(before)
        ),
        Outcome::Pull { number, .. } => format!("See #{number}."),
        Outcome::Unheard(reason) => {
            format!(
                "What was said did not become a fix: {}.",
                prose(reason).trim_end_matches('.')
            )
        }
        Outcome::Refused { code: name, reason } => {
            format!("There is no fix: {} ({}).", prose(reason), code(name))
        }
        Outcome::Question(Some(number)) => format!("It is a question now: see #{number}."),
        Outcome::Question(None) => "It is still a question.".to_owned(),
        Outcome::Left(why) => left(why),
        Outcome::Settled => "Git is right already, so there is nothing to propose.".to_owned(),
        Outcome::Unknown => {
            "The run got no answer about this finding (a model or a repository did not answer). It is tried again in the next run.".to_owned()
        }
        Outcome::Gone => "This run does not see the problem any more.".to_owned(),
        Outcome::Failed(why) => format!(
            "It did not succeed: {}. Say it again to try once more.",
            prose(why).trim_end_matches('.')
        ),
    }
}

/// Why a finding is left as it is.
pub fn left(why: &Why) -> String {
    match why {
        Why::Current(n) => format!("Nothing changed: the same is still what kubemend proposes in #{n}."),
        Why::ClosedByHuman(n) => format!("A person closed #{n}, and that means no."),
        Why::Ignored => "It is ignored by label or command.".to_owned(),
        Why::IgnoredByRules => "It is ignored by configuration.".to_owned(),
        Why::HandsOff(n) => format!(
            "A person works on #{n}, so kubemend does not touch it. `/kubemend recreate` throws these commits away."
        ),
        Why::Frozen(n) => format!("The label `kubemend/stop-updating` freezes #{n}."),
        Why::Merged(n) => format!("#{n} is merged, and waits to be applied."),
        Why::Reverted(n) => format!("#{n} takes it back, so the same change is not proposed again."),
        Why::Limited(cap) => format!("It waits: the limit `{cap}` is reached."),
        Why::QuietHours => "It waits: these are quiet hours.".to_owned(),
        Why::TooYoung => "It waits: it fails for too short a time.".to_owned(),
        Why::CoolingDown => "It waits: another one was closed a short time ago.".to_owned(),
        Why::Paused => "kubemend is paused here.".to_owned(),
        Why::Loop(n) => format!("The same change was proposed before, in #{n}: going on would go round in circles."),
        Why::Unreadable => "Not everything could be read in this run, so nothing was opened. It is tried again.".to_owned(),
        Why::Inactive => "The last pull requests were all closed by people, so only the dashboard lists it; tick its box there.".to_owned(),
        Why::Refused(name) => format!("There is no fix ({}).", code(name)),
        Why::Settled => "Git is right already, so there is nothing to propose.".to_owned(),
    }
}

/// What changed since the last attempt: the difference between two diffs.
pub fn difference(patches: &str) -> String {
    if patches.is_empty() {
        return "\n\nThe new commit proposes the same change as before.".to_owned();
    }
    format!(
        "\n\n<details><summary>What changed since the last attempt (difference of the two diffs)</summary>\n\n{}\n\n</details>",
        fenced("diff", patches, MAX_DIFFERENCE)
    )
}

/// What is known about a pull request or question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// The finding in a few words.
    pub summary: String,
    /// Its identity.
    pub fingerprint: String,
    /// What this run makes of it, in a sentence.
    pub now: String,
    /// The head and base commits.
    pub commits: Option<(String, String)>,
    /// Which attempt it is.
    pub attempt: u32,
    /// Whether people pushed to the branch.
    pub foreign: bool,
    /// How many hints are known.
    pub hints: usize,
    /// The keys of values that were given.
    pub keys: Vec<String>,
    /// The option that was chosen.
    pub chosen: Option<usize>,
    /// Ignored until then.
    pub ignored_until: Option<Timestamp>,
    /// Seen healthy: since when, how often.
    pub healthy: Option<(Timestamp, u32)>,
    /// Paused by whom, since when.
    pub paused: Option<(String, Timestamp)>,
    /// Open pull requests and questions, for the dashboard.
    pub open: Option<(usize, usize)>,
}

/// The answer to `status`.
pub fn status(status: &Status) -> String {
    let mut rows = Vec::new();
    if !status.summary.is_empty() {
        rows.push(format!("finding: {}", prose(&status.summary)));
    }
    rows.push(format!("now: {}", status.now));
    if let Some((pulls, questions)) = status.open {
        rows.push(format!(
            "open: {pulls} pull requests, {questions} questions"
        ));
    }
    if let Some((head, base)) = &status.commits {
        let attempt = status.attempt.max(1);
        rows.push(format!(
            "commit {} on base {}, attempt {attempt}",
            short(head),
            short(base)
        ));
    }
    if status.foreign {
        rows.push("people pushed to the branch, so kubemend leaves it alone".to_owned());
    }
    rows.extend(said_so_far(status));
    if let Some(until) = status.ignored_until {
        rows.push(match until == Timestamp::MAX {
            true => "ignored for good".to_owned(),
            false => format!("ignored until {}", minute(until)),
        });
    }
    if let Some((since, count)) = status.healthy {
        rows.push(format!(
            "seen healthy {count} times since {}",
            minute(since)
        ));
    }
    if let Some((by, since)) = &status.paused {
        rows.push(format!("paused by {} since {}", code(by), minute(*since)));
    }
    if !status.fingerprint.is_empty() {
        rows.push(format!("fingerprint {}", code(&status.fingerprint)));
    }
    let mut out = String::from("\n\n");
    for row in rows {
        let _ = writeln!(out, "- {row}");
    }
    out
}

fn said_so_far(status: &Status) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(option) = status.chosen {
        parts.push(format!("option {option}"));
    }
    if !status.keys.is_empty() {
        let keys: Vec<String> = status.keys.iter().map(|k| code(k)).collect();
        parts.push(format!("values for {}", keys.join(", ")));
    }
    match status.hints {
        0 => {}
        1 => parts.push("1 hint".to_owned()),
        n => parts.push(format!("{n} hints")),
    }
    (!parts.is_empty()).then(|| format!("said so far: {}", parts.join(", ")))
}

/// The answer to `explain` without a code.
pub fn explained(summary: &str, outcome: &Outcome, meaning: Option<&str>) -> String {
    let mut out = String::new();
    if !summary.is_empty() {
        let _ = write!(out, "{}. ", prose(summary).trim_end_matches('.'));
    }
    out.push_str(&sentence(outcome));
    if let Some(meaning) = meaning {
        let _ = write!(out, "\n\n{}", fenced("text", meaning, 2_000));
    }
    out.push_str(
        "\n\nEvidence, changes and checks stand in the description above; each claim names its evidence.",
    );
    out
}

/// The answer to `explain CODE`.
pub fn code_explained(meaning: &str) -> String {
    format!("\n\n{}", fenced("text", meaning, 2_000))
}

fn short(sha: &str) -> String {
    code(&sha.chars().take(12).collect::<String>())
}

fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::command::parse;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn help_lists_every_command() {
        let text = help(&Rules::default());
        for verb in Command::VERBS {
            assert!(text.contains(&format!("`/kubemend {verb}")), "{verb}");
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_refusal_and_outcome_has_its_text() {
        let refusals = [
            Refused::Moved,
            Refused::NotHere,
            Refused::Closed,
            Refused::Merged,
            Refused::NotMerged,
            Refused::NotMergedYet,
            Refused::Paused,
            Refused::Secret,
            Refused::NoState,
            Refused::NoDashboard,
            Refused::NoCluster,
            Refused::NoMergeCommit,
            Refused::OtherOptions,
            Refused::InReview,
        ];
        let mut all: Vec<String> = refusals.iter().map(|r| refused(*r).to_owned()).collect();
        let looks = [
            (Some("Applied and well, watching"), None, true),
            (None, Some("apply_failed"), false),
            (None, None, true),
            (None, None, false),
        ];
        all.extend(looks.map(|(seen, verdict, on)| verified(seen, verdict, on)));
        let pull = |before: Option<&str>| Outcome::Pull {
            number: 3,
            head: "0123456789abcdef".into(),
            before: before.map(str::to_owned),
        };
        let outcomes = [
            pull(None),
            pull(Some("fedcba9876543210")),
            Outcome::Unheard("limit.memory 1Ti is out of bounds".into()),
            Outcome::Refused {
                code: "NoSafeFix".into(),
                reason: "nothing is safe".into(),
            },
            Outcome::Question(Some(4)),
            Outcome::Question(None),
            Outcome::Left(Why::Current(3)),
            Outcome::Left(Why::ClosedByHuman(3)),
            Outcome::Left(Why::Ignored),
            Outcome::Left(Why::IgnoredByRules),
            Outcome::Left(Why::HandsOff(3)),
            Outcome::Left(Why::Frozen(3)),
            Outcome::Left(Why::Merged(3)),
            Outcome::Left(Why::Reverted(3)),
            Outcome::Left(Why::Limited("max_open_prs")),
            Outcome::Left(Why::QuietHours),
            Outcome::Left(Why::TooYoung),
            Outcome::Left(Why::CoolingDown),
            Outcome::Left(Why::Paused),
            Outcome::Left(Why::Loop(2)),
            Outcome::Left(Why::Unreadable),
            Outcome::Left(Why::Inactive),
            Outcome::Left(Why::Refused("NoSafeFix".into())),
            Outcome::Left(Why::Settled),
            Outcome::Settled,
            Outcome::Unknown,
            Outcome::Gone,
            Outcome::Failed("the file changed".into()),
        ];
        all.extend(outcomes.iter().map(sentence));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn heard_commands_say_what_comes_of_them() {
        let outcome = Outcome::Pull {
            number: 9,
            head: "abc".into(),
            before: None,
        };
        let body = "/kubemend retry hint=\"@all fixes #1\"\n/kubemend choose 2\n/kubemend set a=hidden b=\"x y\"\n\
            /kubemend ignore 7d\n/kubemend ignore\n/kubemend unignore\n/kubemend revert\n/kubemend pause\n/kubemend resume";
        let parts: Vec<Part> = parse(body)
            .commands
            .into_iter()
            .map(|c| c.unwrap())
            .map(|c| Part {
                said: said(&c),
                text: heard(&c, &outcome, now()),
            })
            .collect();
        let text = answer(&parts);
        assert!(!text.contains("hidden") && !text.contains("@all"));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn mistakes_are_shown_without_power() {
        let body = "/kubemend retri\n/kubemend @admin\n/kubemend set a=\"\n/kubemend explain <img>";
        let parts: Vec<Part> = parse(body)
            .commands
            .into_iter()
            .map(|c| Part {
                said: code("/kubemend"),
                text: mistake(&c.unwrap_err()),
            })
            .collect();
        insta::assert_snapshot!(answer(&parts));
    }

    #[test]
    fn status_shows_what_is_remembered() {
        let full = Status {
            summary: "Deployment shop/cart is OOMKilled (fixes #1)".into(),
            fingerprint: "0123456789ab".into(),
            now: "See #3.".into(),
            commits: Some(("0123456789abcdef".into(), "fedcba9876543210".into())),
            attempt: 2,
            foreign: true,
            hints: 2,
            keys: vec!["limit.memory".into()],
            chosen: Some(1),
            ignored_until: Some(now()),
            healthy: Some((now(), 2)),
            paused: Some(("ann".into(), now())),
            open: Some((1, 2)),
        };
        insta::assert_snapshot!(status(&full));
    }

    #[test]
    fn the_difference_of_diffs_stands_in_a_fence_that_holds() {
        assert!(difference("").contains("same change"));
        let hostile = difference("+ ```\n+ @admin\n");
        assert!(
            hostile.contains("````diff\n+ ```\n+ @admin\n````"),
            "{hostile}"
        );
    }
}
