//! Plays: Jobs, rollouts and replicas.

use crate::case::Case;
use crate::code::Code;
use crate::finding::{Class, fact};
use crate::propose::Answer;
use crate::propose::playbook::Play;
use crate::propose::playbook::build::{and, ask, by_hand, refuse};
use crate::propose::playbook::container::subject::{after_merge, diagnosis, whom};
use crate::propose::playbook::last_good::rollout_note;

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: "scaled-to-zero",
        about: "asks whether 0 replicas are meant",
        classes: &[Class::ScaledToZero],
        run: scaled_to_zero,
    },
    Play {
        name: "node-down",
        about: "says which node is down, and which workloads wait for it",
        classes: &[Class::NodeNotReady],
        run: node_down,
    },
    Play {
        name: "failed-job",
        about: "says why a Job or the runs of a CronJob failed",
        classes: &[
            Class::JobBackoffLimit,
            Class::JobDeadline,
            Class::CronJobFailing,
        ],
        run: failed_job,
    },
    Play {
        name: "stalled-rollout",
        about: "says which pods a rollout waits for",
        classes: &[Class::ProgressDeadlineExceeded, Class::StatefulSetStuck],
        run: stalled,
    },
];

fn scaled_to_zero(case: &Case<'_>) -> Option<Answer> {
    let object = &case.finding.object;
    let mut facts = diagnosis(case);
    let manifest = case.manifest();
    let in_git = manifest.and_then(|m| m.object.int("spec.replicas"));
    facts.push(match (manifest, in_git) {
        (Some(m), Some(n)) => match &m.root {
            Some(root) => format!("the kustomization in {root} renders spec.replicas {n}; the object is defined in {}", m.file),
            None => format!("{} sets spec.replicas to {n}", m.file),
        },
        (Some(m), None) => format!(
            "{} does not set spec.replicas, so something in the cluster scaled it to 0",
            m.file
        ),
        (None, _) => "the manifest is not in this repository".to_owned(),
    });
    let before = case.earlier_of(object).into_iter().find_map(|e| {
        let n = e.object.int("spec.replicas").filter(|n| *n > 0)?;
        Some((
            n,
            format!(
                "Git had {n} replicas before commit {} ({})",
                e.replaced_by.id.chars().take(10).collect::<String>(),
                e.replaced_by.subject
            ),
        ))
    });
    facts.extend(before.as_ref().map(|(_, text)| text.clone()));
    if let Some(report) = case.report {
        facts.push(format!("the report says: {}", report.text));
    }
    let wanted = before.map_or(1, |(n, _)| n);
    let title = format!("Is it meant that {object} has 0 replicas?");
    let options = vec![
        by_hand(format!(
            "set spec.replicas of {object} to {wanted} by hand (rule D01: kubemend does not change replicas from 0)"
        )),
        by_hand("keep 0 replicas, because it is meant"),
    ];
    Some(ask(Code::BlockedReplicas, title, facts, options))
}

fn node_down(case: &Case<'_>) -> Option<Answer> {
    let pods: Vec<String> = case.finding.pods.iter().map(ToString::to_string).collect();
    Some(refuse(
        Code::InfrastructureFault,
        format!(
            "{}. It shows in {}. Nothing says that a manifest is wrong: bring the node back, or remove it from the cluster so that the pods are made again elsewhere",
            case.finding.summary,
            and(&pods)
        ),
    ))
}

fn failed_job(case: &Case<'_>) -> Option<Answer> {
    let facts = diagnosis(case);
    if case.finding.class == Class::JobDeadline {
        let title = format!(
            "{} ran past activeDeadlineSeconds: may it take longer?",
            case.finding.object
        );
        let options = vec![
            by_hand(
                "raise spec.activeDeadlineSeconds by hand, to what a run needs (rules D19, L05)",
            ),
            by_hand("make the run faster, or look for what it waits for"),
        ];
        let facts = facts
            .into_iter()
            .chain(after_merge(&case.finding.object))
            .collect();
        return Some(ask(Code::OwnerDecision, title, facts, options));
    }
    let known =
        case.finding.fact(fact::LOG_TAIL).is_some() || case.finding.fact(fact::EXIT_CODE).is_some();
    if !known {
        let title = format!(
            "{} failed and its pods are gone: what did they say?",
            case.finding.object
        );
        let options = vec![by_hand(
            "run it again, and give the status and logs of its pods",
        )];
        return Some(ask(Code::NoSafeFix, title, facts, options));
    }
    Some(refuse(
        Code::ApplicationFault,
        format!(
            "{}. More retries would not help. The program of {} fails by itself, and no field of the manifest is known to be wrong; when it is mended, the Job has to be created again",
            facts.join("; "),
            whom(case)
        ),
    ))
}

fn stalled(case: &Case<'_>) -> Option<Answer> {
    let mut facts = diagnosis(case);
    facts.extend(rollout_note(case));
    let title = format!(
        "{} does not become ready: what do its pods wait for?",
        case.finding.object
    );
    let options = vec![by_hand(
        "run again with a complete dump (pods, events, logs); the command is in `kubemend fix --help`",
    )];
    Some(ask(Code::NoSafeFix, title, facts, options))
}
