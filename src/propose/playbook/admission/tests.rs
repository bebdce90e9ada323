#![allow(clippy::unwrap_used)]
use crate::code::Code;
use crate::detect::admission::findings;
use crate::propose::Answer;
use crate::propose::playbook::testing::{ask, asked, edits, fixed, words};

fn live(why: &str, more: &str) -> String {
    format!("
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop, uid: d}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: web-1, namespace: shop, uid: r, ownerReferences: [{{kind: Deployment, name: web, uid: d, controller: true}}]}}
spec: {{replicas: 3}}
---
kind: Event
metadata: {{name: e}}
reason: FailedCreate
involvedObject: {{kind: ReplicaSet, namespace: shop, name: web-1}}
message: 'Error creating: pods \"web-1-xyz\" is forbidden: {why}'
---
{more}")
}

fn quota(hard: &str, used: &str) -> String {
    format!(
        "
kind: ResourceQuota
metadata: {{name: team, namespace: shop}}
status: {{hard: {hard}, used: {used}}}
"
    )
}

fn git(resources: &str) -> String {
    format!("
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec: {{replicas: 3, template: {{spec: {{containers: [{{name: app, image: a, resources: {resources}}}]}}}}}}
")
}

const MUST: &str = "failed quota: team: must specify limits.cpu for: app";
const LIMIT: &str = "spec.template.spec.containers[name=app].resources.limits.cpu";

fn declare(hard: &str, used: &str, resources: &str) -> Answer {
    let (hard, used) = (
        format!("{{limits.cpu: {hard}}}"),
        format!("{{limits.cpu: {used}}}"),
    );
    ask(
        findings,
        &live(MUST, &quota(&hard, &used)),
        &git(resources),
        "",
    )
}

#[test]
fn a_limit_lies_between_request_and_quota() {
    let asks = "{requests: {cpu: 100m}}";
    assert_eq!(
        fixed(&declare("4", "0", asks)),
        [format!("{LIMIT} = 200m")],
        "twice the request"
    );
    assert_eq!(
        fixed(&declare("600m", "0", asks)),
        [format!("{LIMIT} = 150m")],
        "with room for one surge pod"
    );
    assert_eq!(
        fixed(&declare("330m", "0", asks)),
        [format!("{LIMIT} = 110m")],
        "no room for surge"
    );
    asked(&declare("330m", "100m", asks));
    asked(&declare("4", "0", "{}"));
}

#[test]
fn what_an_earlier_version_declared_counts_if_it_fits() {
    let run = |hard: &str| {
        let live = live(
            MUST,
            &quota(&format!("{{limits.cpu: {hard}}}"), "{limits.cpu: '0'}"),
        );
        ask(findings, &live, &git("{}"), &git("{limits: {cpu: 500m}}"))
    };
    assert_eq!(fixed(&run("4")), [format!("{LIMIT} = 500m")]);
    asked(&run("1"));
}

#[test]
fn other_workloads_without_the_declaration_make_it_a_question() {
    let other = git("{}").replace("name: web", "name: other");
    let live = live(MUST, &quota("{limits.cpu: '4'}", "{limits.cpu: '0'}"));
    let answer = ask(
        findings,
        &live,
        &format!("{}---\n{other}", git("{requests: {cpu: 100m}}")),
        "",
    );
    let text = words(asked(&answer));
    assert!(text.contains("Deployment shop/other"), "{text}");
}

#[test]
fn two_missing_declarations_are_a_question() {
    let why = "failed quota: team: must specify limits.cpu,limits.memory for: app";
    let answer = ask(
        findings,
        &live(why, &quota("{limits.cpu: '4'}", "{}")),
        &git("{requests: {cpu: 100m}}"),
        "",
    );
    asked(&answer);
}

#[test]
fn an_exceeded_quota_is_a_question_with_numbers_and_a_change() {
    let why = "exceeded quota: team, requested: requests.cpu=200m, used: requests.cpu=400m, limited: requests.cpu=500m";
    let live = live(why, &quota("{requests.cpu: 500m}", "{requests.cpu: 400m}"));
    let answer = ask(findings, &live, &git("{requests: {cpu: 200m}}"), "");
    let question = asked(&answer);
    let text = words(question);
    for fact in [
        "ResourceQuota team",
        "requests.cpu",
        "hard 500m",
        "3 replicas x 200m = 600m",
    ] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
    let lower = question.options[0].proposal.as_ref().unwrap();
    assert_eq!(
        edits(lower),
        ["spec.template.spec.containers[name=app].resources.requests.cpu = 33m"]
    );
}

#[test]
fn where_the_replicas_fit_the_pods_of_an_update_count() {
    let pod = "
kind: Pod
metadata: {name: web-0, namespace: shop, ownerReferences: [{kind: ReplicaSet, name: web-1, uid: r, controller: true}]}
spec: {containers: [{name: app, image: a, resources: {requests: {memory: 128Mi}}}]}
status: {phase: Running}
---";
    let quota = quota("{requests.memory: 300Mi}", "{requests.memory: 128Mi}");
    let why = "exceeded quota: team, requested: requests.memory=200Mi, used: requests.memory=128Mi, limited: requests.memory=300Mi";
    let one = git("{requests: {memory: 200Mi}}").replace("replicas: 3", "replicas: 1");
    let answer = ask(findings, &live(why, &format!("{pod}{quota}")), &one, "");
    let question = asked(&answer);
    let lower = question.options[0].proposal.as_ref().unwrap();
    assert_eq!(
        edits(lower),
        ["spec.template.spec.containers[name=app].resources.requests.memory = 150Mi"]
    );
    let text = words(question);
    assert!(text.contains("from 300Mi to at least 400Mi"), "{text}");
}

#[test]
fn a_quota_on_a_count_is_not_solved_by_lower_requests() {
    let why = "exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2";
    let answer = ask(
        findings,
        &live(why, &quota("{pods: '2'}", "{pods: '2'}")),
        &git("{}"),
        "",
    );
    assert!(asked(&answer).options.iter().all(|o| o.proposal.is_none()));
}

#[test]
fn a_limit_range_gives_the_bound() {
    let why = "[maximum memory usage per Container is 1Gi, but limit is 2Gi]";
    let run = |resources: &str| ask(findings, &live(why, ""), &git(resources), "");
    let base = "spec.template.spec.containers[name=app].resources";
    assert_eq!(
        fixed(&run("{limits: {memory: 2Gi}}")),
        [format!("{base}.limits.memory = 1Gi")]
    );
    assert_eq!(
        fixed(&run("{limits: {memory: 2Gi}, requests: {memory: 1536Mi}}")),
        [
            format!("{base}.limits.memory = 1Gi"),
            format!("{base}.requests.memory = 1Gi")
        ]
    );
    asked(&run("{}"));
    let pod = "maximum memory usage per Pod is 1Gi, but limit is 2Gi";
    asked(&ask(
        findings,
        &live(pod, ""),
        &git("{limits: {memory: 2Gi}}"),
        "",
    ));
}

#[test]
fn pod_security_lists_each_violation() {
    let why = "violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"app\" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container \"app\" must set securityContext.runAsNonRoot=true)";
    let answer = ask(
        findings,
        &live(&why.replace('\'', "''"), ""),
        &git("{}"),
        "",
    );
    let question = asked(&answer);
    let text = words(question);
    assert!(
        text.contains("Namespace shop") && text.contains("restricted"),
        "{text}"
    );
    assert_eq!(
        question
            .diagnosis
            .iter()
            .filter(|c| c.text.starts_with("violation: "))
            .count(),
        2
    );
    assert!(question.options.iter().all(|o| o.proposal.is_none()));
}

#[test]
fn a_service_account_of_git_is_only_not_applied() {
    let why = "error looking up service account shop/robot: serviceaccount \"robot\" not found";
    let account =
        "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: NAME, namespace: shop}\n";
    let run = |name: &str| {
        let git = format!("{}{}", git("{}"), account.replace("NAME", name));
        ask(findings, &live(why, ""), &git, "")
    };
    assert!(matches!(run("robot"), Answer::Refuse(r) if r.code == Code::PendingSync));
    assert!(words(asked(&run("robots"))).contains("use ServiceAccount robots"));
}
