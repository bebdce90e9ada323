//! An image cannot be pulled or run.

use serde_json::{Value, json};

use super::subject::{Subject, after_merge, diagnosis, goods, option, settle, worked_once};
use crate::case::Case;
use crate::code::Code;
use crate::finding::Class;
use crate::object::{Object, at, list};
use crate::propose::playbook::build::{Words, and, ask, by_hand, edit, proposal, refuse};
use crate::propose::{Answer, Choice, Op, Proposal, Unlock};

pub(super) fn pull(case: &Case<'_>) -> Option<Answer> {
    let subject = Subject::of(case)?;
    let image = subject.container.str("image")?.to_owned();
    Some(match case.finding.class {
        Class::ImagePullFailed if case.finding.reason == "ErrImageNeverPull" => {
            not_on_node(case, &subject, &image)
        }
        Class::ImagePullFailed => unreachable_registry(case, &image),
        Class::ImagePullAuth => credentials(case, &subject, &image),
        Class::ImagePlatform => platform(case, &subject, &image),
        Class::InvalidImageName => not_a_name(case, &subject, &image),
        _ => which_tag(case, &subject, &image),
    })
}

/// Whether a registry's answer leaves open if the repository exists.
pub(in crate::propose::playbook) fn may_be_private(message: &str) -> bool {
    let text = message.to_ascii_lowercase();
    [
        "may require",
        "access denied",
        "denied:",
        "unauthorized",
        "insufficient_scope",
    ]
    .iter()
    .any(|w| text.contains(w))
}

/// Whether the registry's host name itself is unknown.
pub(in crate::propose::playbook) fn names_no_host(message: &str) -> bool {
    message.contains("no such host")
}

/// `imagePullPolicy: Never`, and the node does not have the image.
fn not_on_node(case: &Case<'_>, subject: &Subject<'_>, image: &str) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!(
        "imagePullPolicy of container {} is Never, so {image} is not pulled, and the node does not have it",
        subject.container.name
    ));
    facts.push("kubemend does not change pull policies (rule C03)".to_owned());
    let title = format!(
        "{} may not pull its image, and the node lacks {image}: where should it come from?",
        subject.name()
    );
    let options = vec![
        by_hand(format!("load {image} onto every node that may run the pod")),
        by_hand(format!(
            "set imagePullPolicy to IfNotPresent, if a registry has {image}"
        )),
    ];
    ask(Code::OwnerDecision, title, facts, options)
}

fn unreachable_registry(case: &Case<'_>, image: &str) -> Answer {
    refuse(
        Code::InfrastructureFault,
        format!(
            "{}. The registry of {image} did not answer as it should; nothing says that the reference is wrong. Check the registry, the network and its rate limits",
            diagnosis(case).join("; ")
        ),
    )
}

/// Repository and tag; a digest counts as the tag.
pub(in crate::propose::playbook) fn parts(image: &str) -> (&str, Option<&str>) {
    if let Some((repository, digest)) = image.split_once('@') {
        return (repository, Some(digest));
    }
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

/// The registry of a repository: the first part, where it is a host.
pub(in crate::propose::playbook) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// Tags of the same repository that containers of the dump run now.
fn running_tags(case: &Case<'_>, image: &str) -> Vec<String> {
    let (repository, _) = parts(image);
    let mut out: Vec<String> = Vec::new();
    for pod in case.snapshot.of_kind("Pod") {
        for container in pod.containers() {
            let other = container.str("image").unwrap_or_default();
            let runs = list(&pod.value, "status.containerStatuses")
                .iter()
                .any(|s| {
                    s.get("name").and_then(Value::as_str) == Some(container.name)
                        && at(s, "state.running").is_some()
                });
            if runs
                && other != image
                && parts(other).0 == repository
                && !out.iter().any(|o| o == other)
            {
                out.push(other.to_owned());
            }
        }
    }
    out.truncate(4);
    out
}

fn set_image(case: &Case<'_>, subject: &Subject<'_>, image: &str, basis: &str) -> Proposal {
    let object = subject.object();
    let op = Op::Set(Value::String(image.to_owned()));
    let words = Words {
        play: "image-pull",
        title: format!("set the image of {} to {image}", subject.name()),
        diagnosis: diagnosis(case),
        reason: basis.to_owned(),
        after_merge: after_merge(&object),
    };
    let edits = vec![edit(
        &object,
        subject.container.path.key("image"),
        op,
        Unlock::ImagePullNotFound,
        basis,
    )];
    proposal(words, edits)
}

fn which_tag(case: &Case<'_>, subject: &Subject<'_>, image: &str) -> Answer {
    let (repository, tag) = parts(image);
    let mut facts = diagnosis(case);
    let private = may_be_private(&case.finding.message);
    let state = if private {
        "does not exist, or is private and the pod's credentials do not open it"
    } else {
        "is not found"
    };
    facts.push(format!(
        "the registry says that {image} {state} (repository {repository}, tag {})",
        tag.unwrap_or("latest")
    ));
    if worked_once(case) {
        facts.push(
            "this revision was rolled out completely before, so the image was there once"
                .to_owned(),
        );
    }
    let running = running_tags(case, image);
    let mut options: Vec<Choice> = running
        .iter()
        .map(|other| {
            option(
                case,
                set_image(
                    case,
                    subject,
                    other,
                    "a container of the same cluster runs this image",
                ),
            )
        })
        .collect();
    options.extend(earlier_image(case, subject, &running).filter(|_| !private));
    if !running.is_empty() {
        facts.push(format!("other containers run {}", and(&running)));
    }
    options.extend(near_repository(case, image).map(|near| by_hand(format!("the repository is misspelled: set the image to {near} (rule C01: a person changes a repository)"))));
    options.push(by_hand(
        "set the image to a tag that exists in the registry",
    ));
    options.push(by_hand(format!(
        "push {image}, or give the pod credentials if the repository is private"
    )));
    let title = format!(
        "Which image should {} run, since {image} {}?",
        subject.name(),
        if private {
            "does not exist or is private"
        } else {
            "is not found"
        }
    );
    ask(Code::MissingValue, title, facts, options)
}

/// The image of the newest earlier revision, where no running container offers it already.
fn earlier_image(case: &Case<'_>, subject: &Subject<'_>, offered: &[String]) -> Option<Choice> {
    let now = subject.container.str("image").unwrap_or_default();
    goods(case).iter().find_map(|good| {
        let before = subject
            .container
            .path
            .get(&good.object)?
            .get("image")?
            .as_str()?;
        let fresh = before != now && !offered.iter().any(|o| o == before);
        fresh.then(|| option(case, set_image(case, subject, before, &good.basis)))
    })
}

/// An image of the dump or of Git whose repository this one misspells.
fn near_repository(case: &Case<'_>, image: &str) -> Option<String> {
    let (wrong, tag) = parts(image);
    let objects = case
        .snapshot
        .objects()
        .iter()
        .chain(case.desired.iter().map(|d| &d.object));
    let known: Vec<String> = objects
        .flat_map(Object::containers)
        .filter_map(|c| c.str("image").map(|i| parts(i).0.to_owned()))
        .collect();
    let right = crate::near::misspelled(wrong, known.iter().map(String::as_str))?;
    Some(tag.map_or_else(|| right.to_owned(), |t| format!("{right}:{t}")))
}

fn credentials(case: &Case<'_>, subject: &Subject<'_>, image: &str) -> Answer {
    let object = &subject.manifest.object;
    let mut facts = diagnosis(case);
    let host = registry(image);
    facts.push(format!(
        "registry {host} refuses to give {image} to the credentials that the pod has"
    ));
    let named: Vec<String> = object
        .pod_spec()
        .map(|spec| list(spec, "imagePullSecrets"))
        .unwrap_or_default()
        .iter()
        .filter_map(|s| s.get("name").and_then(Value::as_str).map(str::to_owned))
        .collect();
    facts.push(if named.is_empty() {
        "the pod template names no imagePullSecrets".to_owned()
    } else {
        format!("the pod template names the pull secrets {}; if they exist, their content is out of date or lacks the right to this repository", and(&named))
    });
    let sibling = named
        .is_empty()
        .then(|| sibling_secret(case, host))
        .flatten();
    if let Some((secret, sibling)) = sibling {
        let fix = add_secret(case, subject, &secret, &sibling);
        return settle(case, fix, Vec::new());
    }
    let namespace = object.namespace().unwrap_or("default");
    let title = format!(
        "Which pull secret for {host} should {} use?",
        subject.name()
    );
    let options = vec![
        by_hand(format!(
            "create a Secret of type kubernetes.io/dockerconfigjson for {host} in namespace {namespace} out of band, and name it in imagePullSecrets (rule B04: the name must exist)"
        )),
        by_hand("use an image that may be pulled without credentials"),
    ];
    let options = earlier_repository(case, subject, image)
        .into_iter()
        .chain(options)
        .collect();
    ask(Code::MissingSecretInput, title, facts, options)
}

/// The image of the earlier revision, where it came from another repository.
fn earlier_repository(case: &Case<'_>, subject: &Subject<'_>, image: &str) -> Option<Choice> {
    goods(case).iter().find_map(|good| {
        let before = subject
            .container
            .path
            .get(&good.object)?
            .get("image")?
            .as_str()?;
        (parts(before).0 != parts(image).0).then(|| {
            by_hand(format!(
                "go back to {before}, which {} ran (rule C01: a person changes a repository)",
                good.basis
            ))
        })
    })
}

/// The one existing pull secret that running siblings of the namespace use for the same registry.
fn sibling_secret(case: &Case<'_>, host: &str) -> Option<(String, String)> {
    let namespace = case.finding.object.namespace.as_deref();
    let mut found: Vec<(String, String)> = Vec::new();
    for pod in case.snapshot.in_namespace("Pod", namespace) {
        let running = pod.str("status.phase") == Some("Running");
        let same = pod
            .containers()
            .iter()
            .any(|c| c.str("image").is_some_and(|i| registry(i) == host));
        if !running || !same {
            continue;
        }
        for secret in pod.list("spec.imagePullSecrets") {
            let Some(name) = secret.get("name").and_then(Value::as_str) else {
                continue;
            };
            let exists = case.snapshot.find("Secret", namespace, name).is_some();
            if exists && !found.iter().any(|(n, _)| n == name) {
                found.push((name.to_owned(), pod.name().to_owned()));
            }
        }
    }
    match found.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

fn add_secret(case: &Case<'_>, subject: &Subject<'_>, secret: &str, sibling: &str) -> Proposal {
    let object = subject.object();
    let base = subject.manifest.object.pod_spec_path().unwrap_or_default();
    let basis = format!("Pod {sibling} pulls from the same registry with it");
    let mut facts = diagnosis(case);
    facts.push(format!("Secret {secret} exists, and {basis}"));
    let words = Words {
        play: "image-pull",
        title: format!("give {} the pull secret {secret}", subject.object()),
        diagnosis: facts,
        reason: format!("the registry refuses the pull, and {basis}"),
        after_merge: after_merge(&object),
    };
    let op = Op::Add(json!([{ "name": secret }]));
    proposal(
        words,
        vec![edit(
            &object,
            base.key("imagePullSecrets"),
            op,
            Unlock::ImagePullAuth,
            basis,
        )],
    )
}

fn platform(case: &Case<'_>, subject: &Subject<'_>, image: &str) -> Answer {
    let mut facts = diagnosis(case);
    let nodes: Vec<String> = case
        .snapshot
        .of_kind("Node")
        .filter_map(|n| {
            let arch = n
                .str("status.nodeInfo.architecture")
                .or_else(|| n.label("kubernetes.io/arch"))?;
            Some(format!("{} ({arch})", n.name()))
        })
        .collect();
    if !nodes.is_empty() {
        facts.push(format!("the nodes are {}", and(&nodes)));
    }
    facts.push(format!(
        "image {image} holds no program for the platform of the node that runs it"
    ));
    let title = format!(
        "Which image should {} run on this platform?",
        subject.name()
    );
    let mut options: Vec<Choice> = running_tags(case, image)
        .iter()
        .map(|other| {
            option(
                case,
                set_image(
                    case,
                    subject,
                    other,
                    "a container of the same cluster runs this image",
                ),
            )
        })
        .collect();
    options.push(by_hand(format!(
        "build {image} for the platform of the nodes, or name an image that is"
    )));
    options.push(by_hand("place the pods on nodes of the image's platform (nodeSelector kubernetes.io/arch), if there are any"));
    ask(Code::MissingValue, title, facts, options)
}

fn not_a_name(case: &Case<'_>, subject: &Subject<'_>, image: &str) -> Answer {
    let mut facts = diagnosis(case);
    facts.push(format!(
        "`{image}` is not a valid image reference: {}",
        fault(image)
    ));
    let title = format!("Which image should {} run?", subject.name());
    let mut options = Vec::new();
    let lower = image.trim().to_lowercase();
    if lower != image {
        options.push(by_hand(format!("set the image to {lower}, if that is what is meant (rule C01: a person changes a repository)")));
    }
    options.push(by_hand("set the image to a valid reference that exists"));
    ask(Code::MissingValue, title, facts, options)
}

fn fault(image: &str) -> &'static str {
    let repository = image.split(['@', ':']).next().unwrap_or(image);
    if image.trim() != image || image.contains(char::is_whitespace) {
        "it holds a space"
    } else if image.contains("://") {
        "it holds a scheme"
    } else if repository.chars().any(char::is_uppercase) {
        "the repository must be lowercase"
    } else if image.ends_with([':', '@', '/']) {
        "it ends in a separator"
    } else if image.matches(':').count() > 1 && !image.contains('@') {
        "it holds more than one tag"
    } else {
        "it does not have the form registry/repository:tag"
    }
}
