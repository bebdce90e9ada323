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
    if schema::deprecated(&object.api_version, &object.kind).is_some() {
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
    let places: Vec<String> = case
        .desired
        .iter()
        .filter(|d| d.object.reference().same_object(&finding.object))
        .map(|d| format!("{} (document {})", d.file, d.document + 1))
        .collect();
    let place = places.join(" and ");
    if places.len() > 1 && finding.fact(fact::ISSUES).is_some() {
        let text = format!(
            "{} is defined in {place}: {}",
            finding.object, finding.summary
        );
        return Answer::Refuse(Refusal::new(Code::Ambiguous, text));
    }
    let said = finding.message.trim_end_matches('.');
    let (code, why) = reason(said, case);
    let field = finding
        .fact(fact::FIELD)
        .map(|f| format!(" (field {f})"))
        .unwrap_or_default();
    let text = format!(
        "{} in {place} is refused{field}: {said}. {why}",
        finding.object
    );
    Answer::Refuse(Refusal::new(code, text))
}

/// What kind of refusal a message is that is not about the form of the object.
fn reason(said: &str, case: &Case<'_>) -> (Code, String) {
    let has = |marks: &[&str]| marks.iter().any(|m| said.contains(m));
    if has(&[
        "field is immutable",
        "updates to statefulset spec",
        "may not change once set",
        "cannot change roleRef",
        "is immutable after creation",
    ]) {
        let why = "The API server never changes this field of an existing object (rules G04, G09 to G15): put the old value back, or delete and re-create the object by hand";
        return (Code::BlockedImmutable, why.to_owned());
    }
    if has(&["namespaces \""]) && has(&["not found"]) {
        let why = "The namespace does not exist, and kubemend creates no objects (rule G02): create the Namespace, or correct the name by hand";
        return (Code::BlockedNewObject, why.to_owned());
    }
    if has(&[
        "is forbidden: User",
        "cannot create resource",
        "cannot patch resource",
        "connection refused",
        "i/o timeout",
        "x509:",
    ]) {
        let why = "The manifest is not at fault: whoever applies it may not, or does not reach the API server";
        return (Code::InfrastructureFault, why.to_owned());
    }
    if has(&["denied the request", "violates PodSecurity"]) {
        let why = "A policy of the cluster refuses it: the message says what it demands; meet it by hand, or change the policy with its owner";
        return (Code::NoSafeFix, why.to_owned());
    }
    let object = &case.finding.object;
    if case.finding.class == Class::DeprecatedApi && schema::versions_of(&object.kind).is_empty() {
        return not_served(case);
    }
    let why = format!(
        "The schema of Kubernetes {} finds no fault in {object}, so the right value is not known",
        schema::VERSION
    );
    (Code::NoSafeFix, why)
}

/// A kind that Kubernetes itself does not have.
fn not_served(case: &Case<'_>) -> (Code, String) {
    let object = &case.finding.object;
    if let Some(kind) = schema::kind_spelled_like(&object.kind) {
        let why = format!(
            "Kinds are spelled exactly: Kubernetes has {kind}. Rule G01: a kind is the identity of an object, so correct it by hand"
        );
        return (Code::BlockedIdentity, why);
    }
    let version = &object.api_version;
    let why = format!(
        "Kubernetes itself has no kind {}, so a CustomResourceDefinition has to serve {version} {}: install or upgrade what brings it before this manifest is applied, or correct apiVersion and kind by hand",
        object.kind, object.kind
    );
    (Code::InfrastructureFault, why)
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
    let syntax = message.contains("yaml: ") || message.contains("converting YAML to JSON");
    let code = if syntax {
        Code::NotYaml
    } else {
        Code::RenderFailed
    };
    Answer::Refuse(Refusal::new(code, text))
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
    let said = finding.message.trim_end_matches('.');
    let (code, why) = reason(said, case);
    let in_git = case.desired.iter().any(|d| {
        finding
            .fact(fact::FILE)
            .is_some_and(|f| d.file.ends_with(f))
    });
    if code != Code::NoSafeFix || in_git {
        let text = format!("{object}{} is refused: {said}. {why}", place(case));
        return Answer::Refuse(Refusal::new(code, text));
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
