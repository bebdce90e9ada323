//! Sources that cannot be rendered or read: their faults are in files, not in objects.
//!
//! A mechanical repair is offered as the proven option of a question, never as a pull request of
//! its own: what did not render was never applied, so merging it may bring in more than the repair.

use std::collections::BTreeMap;

use crate::code::Code;
use crate::edit;
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::locate::Repository;
use crate::message;
use crate::patch;
use crate::pipeline::{Asked, Context, Ended, Ending, fingerprint};
use crate::propose::{Choice, Claim, Question};
use crate::source::{Answer, Fault, Fix, faults, supersedes};

/// The endings of broken sources, and the findings that they do not explain.
pub(crate) fn settle(ctx: &Context<'_>, findings: Vec<Finding>) -> (Vec<Ended>, Vec<Finding>) {
    let told = |r: &crate::case::Report| matches!(r.kind.as_str(), "apply-error" | "render-error");
    if !ctx.report.is_some_and(told) {
        return (Vec::new(), findings); // a broken root is listed, and the run goes on
    }
    let roots = ctx.repository.roots().filter(|(_, why)| why.is_some());
    let broken: Vec<String> = roots.map(|(root, _)| root.to_owned()).collect();
    let faults = faults(ctx.repository.files, ctx.report, &broken);
    let rest = findings
        .into_iter()
        .filter(|f| !faults.iter().any(|fault| supersedes(fault, f)))
        .collect();
    (faults.iter().map(|f| ending(ctx, f)).collect(), rest)
}

pub(crate) fn ending(ctx: &Context<'_>, fault: &Fault) -> Ended {
    let finding = fault.finding.clone();
    let fingerprint = fingerprint(ctx, &finding, None);
    let evidence = Evidence::default();
    let ending = match &fault.answer {
        Answer::Refuse(refusal) => Ending::Refused {
            refusal: refusal.clone(),
            blocked: Vec::new(),
            text: message::refusal(&finding, &evidence, refusal, &[], &fingerprint),
        },
        Answer::Ask(question) => asked(&finding, question.clone(), Vec::new(), &fingerprint),
        Answer::Fix(fix) => asked(
            &finding,
            question(fix),
            vec![repair(ctx, fix)],
            &fingerprint,
        ),
    };
    Ended {
        finding,
        key: fingerprint.clone(),
        fingerprint,
        evidence: evidence.digest(),
        unheard: None,
        ending,
    }
}

fn asked(
    finding: &Finding,
    question: Question,
    mut patches: Vec<Option<String>>,
    fingerprint: &str,
) -> Ending {
    patches.resize(question.options.len(), None);
    let text = message::question(
        finding,
        &Evidence::default(),
        &question,
        &patches,
        fingerprint,
    );
    Ending::Question(Asked {
        question,
        patches,
        keys: Vec::new(),
        text,
    })
}

fn question(fix: &Fix) -> Question {
    let mut diagnosis = fix.diagnosis.clone();
    diagnosis.extend(
        fix.after_merge
            .iter()
            .map(|step| Claim::fact(format!("once it renders: {step}"))),
    );
    let option = |title: &str| Choice {
        title: title.to_owned(),
        proposal: None,
    };
    Question {
        code: Code::OwnerDecision,
        title: format!("{}: is what this source brings in then wanted?", fix.title),
        diagnosis,
        options: vec![option(&fix.title), option("mend the source by hand")],
    }
}

/// The diff of a repair, proven: each file edit by two readers, the whole by rendering the root.
fn repair(ctx: &Context<'_>, fix: &Fix) -> Option<String> {
    let files = ctx.repository.files;
    let mut changed = BTreeMap::new();
    for (file, edits) in &fix.edits {
        changed.insert(
            file.clone(),
            edit::apply(files.get(file)?, edits).ok()?.bytes,
        );
    }
    let after = files.with(&changed);
    ctx.repository.renderer?;
    let renders = !Repository::open_root(&after, ctx.repository, &fix.root).is_empty();
    renders.then(|| patch::unified(files, &changed))
}
