//! An Application whose manifests are rendered into a branch first. Pure.
//!
//! What is synced is a commit of that branch; ours is the dry one that it was made from.

use serde_json::Value;

use super::{Question, failed, not_seen, operation, revision, unknown_history};
use crate::object::{Object, at};
use crate::verify::Applied;
use crate::verify::revision::Revision;

/// How far the commit got.
pub(super) fn applied(app: &Object, question: &Question<'_>) -> Applied {
    let Some(dry) = made(app, "lastSuccessfulOperation", "drySHA") else {
        return hydration_failed(app, question).unwrap_or_else(|| Applied::Applying {
            detail: "nothing was hydrated yet".to_owned(),
        });
    };
    match question.holds(&dry) {
        None => unknown_history(app, 0, &dry),
        Some(false) => {
            hydration_failed(app, question).unwrap_or_else(|| not_seen(app, 0, &dry, question))
        }
        Some(true) => synced(app, &dry, question),
    }
}

/// The commit that the hydrator made from ours is the one to look for: it is the newest of its branch.
fn synced(app: &Object, dry: &Revision, question: &Question<'_>) -> Applied {
    let hydrated = made(app, "lastSuccessfulOperation", "hydratedSHA");
    let compared = revision(app, "status.sync", 0);
    let (Some(hydrated), Some(commit)) = (&hydrated, hydrated.as_ref().and_then(Revision::commit))
    else {
        return not_compared();
    };
    let asked = Question {
        commit,
        is_ancestor: &|a, b| Some(a == b),
        ..*question
    };
    if let Some(failed) = failed(app, 0, &asked) {
        return failed;
    }
    if compared.as_ref() != Some(hydrated) {
        return not_compared();
    }
    match operation(app, 0, hydrated, &asked) {
        Applied::Applied { at, .. } => Applied::Applied {
            at,
            revision: dry.commit().unwrap_or_default().to_owned(),
        },
        other => other,
    }
}

fn not_compared() -> Applied {
    Applied::Applying {
        detail: "hydrated, and not compared yet".to_owned(),
    }
}

/// A hydration of our commit that failed. It renders all Applications of a branch together, so which of
/// them is to blame is not said.
fn hydration_failed(app: &Object, question: &Question<'_>) -> Option<Applied> {
    let path = "status.sourceHydrator.currentOperation";
    let text = |key: &str| app.get(path)?.get(key)?.as_str();
    if text("phase") != Some("Failed") {
        return None;
    }
    let message = text("message").unwrap_or("no reason is given");
    let tried = made(app, "currentOperation", "drySHA").and_then(|r| question.holds(&r));
    match tried {
        Some(true) => Some(Applied::Failed {
            message: format!("the hydrator failed: {message}"),
            resources: Vec::new(),
        }),
        // it may have failed before it knew the commit
        None => Some(Applied::Applying {
            detail: format!("the hydrator failed: {message}"),
        }),
        Some(false) => None,
    }
}

fn made(app: &Object, operation: &str, key: &str) -> Option<Revision> {
    let status = app.get("status.sourceHydrator")?;
    let text = at(status, operation)?.get(key).and_then(Value::as_str);
    Revision::read(text?)
}
