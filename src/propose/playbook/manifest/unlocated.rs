//! What a tool refuses where Git holds no readable object that is at fault: templates, and objects
//! that come from elsewhere.

use crate::case::Case;
use crate::code::{Code, Refusal};
use crate::detect::manifest::fact;
use crate::finding::Class;
use crate::propose::{Answer, Choice, Claim, Question};
use crate::schema;

pub(super) fn run(case: &Case<'_>) -> Option<Answer> {
    let known = case
        .desired
        .iter()
        .any(|d| d.object.reference().same_object(&case.finding.object));
    if known && case.finding.class != Class::RenderError {
        return is_served_elsewhere(case).or_else(|| Some(not_understood(case)));
    }
    if case.finding.class == Class::RenderError {
        return Some(render_error(case));
    }
    Some(not_in_git(case))
}

/// The kind exists, in another group or version than the manifest says.
fn is_served_elsewhere(case: &Case<'_>) -> Option<Answer> {
    let object = &case.finding.object;
    if case.finding.class != Class::DeprecatedApi {
        return None;
    }
    let served: Vec<&str> = schema::versions_of(&object.kind);
    if served.is_empty() || served.contains(&object.api_version.as_str()) {
        return None;
    }
    let desired = case
        .desired
        .iter()
        .find(|d| d.object.reference().same_object(object))?;
    let versions = served.join(" or ");
    Some(Answer::Ask(Question {
        code: Code::BlockedIdentity,
        title: format!(
            "Is {object} in {} meant to be a {} of {versions}?",
            desired.file, object.kind
        ),
        diagnosis: vec![
            Claim::fact(format!("The tool says: {}", case.finding.message)),
            Claim::fact(format!(
                "{object} in {} says apiVersion {:?}; Kubernetes {} serves the kind {} as {versions}.",
                desired.file,
                object.api_version,
                schema::VERSION,
                object.kind
            )),
            Claim::fact(
                "Rule G01: the API group of an object is its identity, and kubemend changes it only for removed versions of its table.",
            ),
        ],
        options: served
            .iter()
            .map(|v| Choice {
                title: format!(
                    "Set apiVersion of {object} in {} to {v} by hand",
                    desired.file
                ),
                proposal: None,
            })
            .collect(),
    }))
}

fn not_understood(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let place = case
        .desired
        .iter()
        .find(|d| d.object.reference().same_object(&finding.object))
        .map(|d| format!(" in {} (document {})", d.file, d.document + 1))
        .unwrap_or_default();
    let field = finding
        .fact(fact::FIELD)
        .map(|f| format!(" The field is {f}."))
        .unwrap_or_default();
    Answer::Refuse(Refusal::new(
        Code::NoSafeFix,
        format!(
            "{}{place} is refused: {}.{field} The schema of Kubernetes {} finds no fault in it, so the right value is not known",
            finding.object,
            finding.message.trim_end_matches('.'),
            schema::VERSION
        ),
    ))
}

/// kustomize or Helm cannot render.
fn render_error(case: &Case<'_>) -> Answer {
    let message = case.finding.message.trim();
    let place = place(case);
    let file = case.finding.fact(fact::FILE).unwrap_or_default();
    let is_template = file.contains("templates/") || file.ends_with(".tpl");
    if is_template {
        let text = format!(
            "the template{place} cannot be rendered: {message}. Rule J09: Helm templates are never changed by kubemend; change that line, or the value that it reads, by hand"
        );
        return Answer::Refuse(Refusal::new(Code::BlockedTemplate, text));
    }
    let text = format!("the source{place} cannot be rendered: {message}");
    Answer::Refuse(Refusal::new(Code::RenderFailed, text))
}

fn place(case: &Case<'_>) -> String {
    let finding = case.finding;
    match (finding.fact(fact::FILE), finding.fact(fact::LINE)) {
        (Some(file), Some(line)) => format!(" {file}, line {line},"),
        (Some(file), None) => format!(" {file}"),
        _ => String::new(),
    }
}

/// No document of Git defines the object; a chart's template may.
fn not_in_git(case: &Case<'_>) -> Answer {
    let finding = case.finding;
    let object = &finding.object;
    let field = finding.fact(fact::FIELD).unwrap_or("the object");
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return Answer::Ask(Question {
            code: Code::BlockedIdentity,
            title: format!(
                "What should {field} of the {} {:?} be?",
                object.kind, object.name
            ),
            diagnosis: vec![
                Claim::fact(format!("The tool says: {}", finding.message)),
                Claim::fact(format!(
                    "No plain document of the repository defines {object}{}; a template or another source does.",
                    place(case)
                )),
                Claim::fact(
                    "Rule G01: kubemend never changes a name, because other objects may refer to it and a rename is a deletion.",
                ),
            ],
            options: vec![Choice {
                title: format!("Give the {} a valid {field} by hand", object.kind),
                proposal: None,
            }],
        });
    }
    let instead = schema::deprecated(&object.api_version, &object.kind)
        .and_then(|d| d.replacement)
        .map(|new| {
            format!(
                ". {} of {} has to become {new}",
                object.kind, object.api_version
            )
        })
        .unwrap_or_default();
    Answer::Refuse(Refusal::new(
        Code::NotManaged,
        format!(
            "no plain document or kustomize root of this repository defines {object}, which a tool refuses ({field}): {}{instead}. Change its source (a Helm template, a generator, another repository)",
            finding.message.trim_end_matches('.')
        ),
    ))
}
