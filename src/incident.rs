//! One report, one ending: results that belong to the same reported fault are settled together.
//!
//! A report can have several causes. When one of them needs a person, a pull request for the other
//! alone would look like the fix and not be it; so the proven part becomes an option of the question.

use crate::message;
use crate::pipeline::{Asked, Context, Ended, Ending};
use crate::propose::{Choice, Claim, Question};
use crate::report::related;

/// Settles the results of one run. Without a report every result stands alone.
pub(crate) fn settle(ctx: &Context<'_>, results: Vec<Ended>) -> Vec<Ended> {
    if ctx.report.is_none() {
        return results;
    }
    let (fixes, mut rest): (Vec<Ended>, Vec<Ended>) = results
        .into_iter()
        .partition(|r| matches!(r.ending, Ending::PullRequest(_)));
    let mut standing = Vec::new();
    for fix in fixes {
        match rest
            .iter_mut()
            .find(|open| belongs_together(ctx, &fix, open))
        {
            Some(open) => join(open, &fix),
            None => standing.push(fix),
        }
    }
    standing.extend(rest);
    standing
}

fn belongs_together(ctx: &Context<'_>, fix: &Ended, open: &Ended) -> bool {
    if !matches!(open.ending, Ending::Question(_) | Ending::Refused { .. }) {
        return false;
    }
    let (a, b) = (&fix.finding.object, &open.finding.object);
    a.same_object(b)
        || related(a, ctx.snapshot, &ctx.repository.desired)
            .iter()
            .any(|r| r.same_object(b))
}

/// Makes the proven fix an option of the open question.
fn join(open: &mut Ended, fix: &Ended) {
    let Ending::PullRequest(pull_request) = &fix.ending else {
        return;
    };
    let mut asked = match &open.ending {
        Ending::Question(asked) => asked.clone(),
        Ending::Refused { refusal, text, .. } => as_question(open, refusal, text),
        _ => return,
    };
    asked.question.diagnosis.push(Claim::fact(format!(
        "a second cause of the same report: {}",
        fix.finding.summary
    )));
    let title = format!(
        "only the part that is proven: {} (it does not settle the rest)",
        pull_request.text.title
    );
    asked.question.options.push(Choice {
        title,
        proposal: None,
    });
    asked.patches.push(Some(pull_request.mended.patch.clone()));
    let evidence = crate::evidence::Evidence::default();
    asked.text = message::question(
        &open.finding,
        &evidence,
        &asked.question,
        &asked.patches,
        &open.fingerprint,
    );
    open.ending = Ending::Question(asked);
}

fn as_question(open: &Ended, refusal: &crate::code::Refusal, text: &message::Text) -> Asked {
    let next = Choice {
        title: refusal.code.next_step().to_owned(),
        proposal: None,
    };
    let question = Question {
        code: refusal.code,
        title: format!("{}: what should happen?", open.finding.summary),
        diagnosis: vec![Claim::fact(refusal.message.clone())],
        options: vec![next],
    };
    Asked {
        question,
        patches: vec![None],
        keys: Vec::new(),
        text: text.clone(),
    }
}
