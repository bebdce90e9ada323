//! Plays: GitOps engines. Their own objects are not edited; the message says where the cause is.

use crate::case::Case;
use crate::code::Code;
use crate::finding::Class;
use crate::propose::Answer;
use crate::propose::playbook::Play;
use crate::propose::playbook::build::refuse;

/// The plays of this module.
pub const PLAYS: &[Play] = &[Play {
    name: "gitops-engine",
    about: "says what Argo CD or Flux reports, and whose turn it is",
    classes: &[
        Class::ArgoDegraded,
        Class::ArgoSyncFailed,
        Class::ArgoComparisonError,
        Class::FluxKustomizationNotReady,
        Class::FluxHelmReleaseNotReady,
        Class::FluxSourceNotReady,
    ],
    run: engine,
}];

fn engine(case: &Case<'_>) -> Option<Answer> {
    let finding = case.finding;
    let (code, next) = verdict(finding.class, &finding.message);
    let mut text = finding.summary.clone();
    if !finding.related.is_empty() {
        let names: Vec<String> = finding
            .related
            .iter()
            .take(8)
            .map(ToString::to_string)
            .collect();
        text = format!("{text}. It is about {}", names.join(", "));
    }
    Some(refuse(code, format!("{text}. Next step: {next}")))
}

/// What kind of failure a message tells of; the first that fits counts.
const SIGNS: &[(&[&str], Code, &str)] = &[
    (
        &[
            "authentication required",
            "authorization failed",
            "unauthorized",
            "403",
            "401",
            "permission denied (publickey)",
            "invalid credentials",
            "could not read username",
        ],
        Code::MissingSecretInput,
        "renew the credentials that the engine uses for the source; kubemend never writes secrets",
    ),
    (
        &[
            "no such host",
            "i/o timeout",
            "connection refused",
            "dial tcp",
            "context deadline exceeded",
            "tls:",
            "x509",
            "could not resolve",
            "no route to host",
            "server misbehaving",
        ],
        Code::InfrastructureFault,
        "make the host that the message names reachable and trusted from the engine's pods",
    ),
    (
        &[
            "repository not found",
            "couldn't find remote ref",
            "unable to resolve",
            "reference not found",
            "no matching",
            "no chart version found",
            "failed to get chart version",
            "chart with version matching",
            "not found in",
            "manifest unknown",
            "no artifact available",
        ],
        Code::MissingValue,
        "correct the URL, revision, chart name or version in the source that the message names; the right value is known to its owner only",
    ),
    (
        &[
            "app path does not exist",
            "path not found",
            "no such file or directory",
            "kustomization path",
        ],
        Code::MissingValue,
        "correct spec.source.path (Argo CD) or spec.path (Flux) to a folder that exists at that revision",
    ),
    (
        &[
            "kustomize build",
            "accumulating resources",
            "yaml:",
            "mapping values",
            "manifest generation error",
            "failed to render",
            "template:",
            "parse error",
            "error converting yaml",
            "unmarshal",
        ],
        Code::RenderFailed,
        "mend the source that does not render; run kubemend on the repository that holds it",
    ),
    (
        &[
            "is forbidden",
            "cannot patch resource",
            "cannot create resource",
        ],
        Code::BlockedRbac,
        "give the engine's ServiceAccount the permission that the message names (rules F01, F02: kubemend never does)",
    ),
    (
        &[
            "field is immutable",
            "may not change",
            "is immutable",
            "updates to statefulset spec",
        ],
        Code::BlockedImmutable,
        "delete and re-create the object that the message names, or take the change back",
    ),
    (
        &[
            "no matches for kind",
            "crds are installed",
            "could not find the requested resource",
            "crd is installed",
            "the kubernetes api could not find",
            "server does not recognize",
        ],
        Code::InfrastructureFault,
        "install the CustomResourceDefinition first, or move the manifest to an API version that the server has",
    ),
    (
        &[
            "failed calling webhook",
            "admission webhook",
            "denied the request",
        ],
        Code::InfrastructureFault,
        "read the webhook's reason and change the object or the policy",
    ),
    (
        &[
            "values don't meet the specifications",
            "values.schema",
            "nil pointer evaluating",
            "execution error at",
        ],
        Code::NotYetSupported,
        "correct the Helm values that the message names by hand",
    ),
    (
        &[
            "not permitted in project",
            "is not allowed in project",
            "project",
        ],
        Code::InfrastructureFault,
        "allow the source or destination in the AppProject (group H rules: kubemend never does)",
    ),
];

fn verdict(class: Class, message: &str) -> (Code, &'static str) {
    let lower = message.to_ascii_lowercase();
    let hit = SIGNS
        .iter()
        .find(|(signs, _, _)| signs.iter().any(|s| lower.contains(s)));
    match (hit, class) {
        (Some((_, code, next)), _) => (*code, next),
        (None, Class::FluxHelmReleaseNotReady) => (
            Code::NotYetSupported,
            "read the release's message and change its values by hand; then `flux reconcile helmrelease` retries it",
        ),
        (None, Class::ArgoDegraded) => (
            Code::NoSafeFix,
            "look at the resources that are named; the dump shows no more specific cause, so a complete dump with pods, events and logs helps",
        ),
        (None, _) => (
            Code::InfrastructureFault,
            "read the engine's message; no manifest field could be proven wrong from it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lead_to_codes() {
        for (message, code) in [
            (
                "rpc error: authentication required",
                Code::MissingSecretInput,
            ),
            (
                "dial tcp: lookup git.example.org: no such host",
                Code::InfrastructureFault,
            ),
            (
                "couldn't find remote ref \"refs/heads/live\"",
                Code::MissingValue,
            ),
            ("deploy: app path does not exist", Code::MissingValue),
            (
                "kustomize build failed: accumulating resources",
                Code::RenderFailed,
            ),
            ("spec.selector: field is immutable", Code::BlockedImmutable),
            ("something else", Code::InfrastructureFault),
        ] {
            assert_eq!(verdict(Class::ArgoSyncFailed, message).0, code, "{message}");
        }
    }
}
