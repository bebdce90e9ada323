//! From objects to answers: each case is a small world, and each broken fact changes the answer.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::case::{Case, Desired, Report};
use crate::detect::{View, network};
use crate::finding::Finding;
use crate::object::Object;
use crate::propose::playbook;
use crate::propose::{Answer, Op};
use crate::snapshot::{LogKey, Snapshot};

const WEB: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web, tier: front, release: r7}}, spec: {containers: [{name: c, env: [{name: CART, value: 'http://cart:80'}], ports: [{name: http, containerPort: 8080}]}]}}}}";
const CART: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: cart, namespace: shop}, spec: {selector: {matchLabels: {app: cart}}, template: {metadata: {labels: {app: cart, tier: back, release: r7}}, spec: {containers: [{name: c, ports: [{containerPort: 7000}]}]}}}}";

fn service(name: &str, selector: &str, target: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{selector: {selector}, ports: [{{port: 80, targetPort: {target}}}]}}}}"
    )
}

fn ingress(service: &str, port: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: public, namespace: shop}}, spec: {{rules: [{{http: {{paths: [{{path: /buy, backend: {{service: {{name: {service}, port: {port}}}}}}}]}}}}]}}}}"
    )
}

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: gate, namespace: shop}}, spec: {spec}}}"
    )
}

/// What the plays say: `fix path=value …`, `ask`, `refuse Code`; one for each finding.
fn answers(docs: &[&str], report: &str, log: &str) -> Vec<String> {
    let objects: Vec<Object> = docs
        .iter()
        .map(|d| Object::new(serde_saphyr::from_str(d).unwrap()).unwrap())
        .collect();
    let in_git = objects.iter().filter(|o| o.kind() != "Pod");
    let desired: Vec<Desired> = in_git
        .enumerate()
        .map(|(i, o)| Desired {
            object: o.clone(),
            file: "all.yaml".to_owned(),
            document: i,
            root: None,
        })
        .collect();
    let key = LogKey {
        namespace: "shop".to_owned(),
        pod: "caller".to_owned(),
        container: "c".to_owned(),
        previous: false,
    };
    let snapshot = Snapshot::new(objects, BTreeMap::from([(key, log.to_owned())]));
    let report = (!report.is_empty()).then(|| Report {
        kind: "user-report".to_owned(),
        namespace: Some("shop".to_owned()),
        text: report.to_owned(),
    });
    let view = View {
        snapshot: &snapshot,
        desired: &desired,
        report: report.as_ref(),
        now: jiff::Timestamp::UNIX_EPOCH,
        grace: Duration::ZERO,
    };
    let found = network::findings(&view);
    let said = found.iter().map(|finding| answer(&view, &found, finding));
    said.collect()
}

fn answer(view: &View<'_>, others: &[Finding], finding: &Finding) -> String {
    let case = Case {
        finding,
        others,
        snapshot: view.snapshot,
        desired: view.desired,
        earlier: &[],
        report: view.report,
        now: view.now,
        said: &crate::case::NOTHING_SAID,
    };
    match playbook::answer(&case) {
        None => format!("none {}", finding.class),
        Some((_, Answer::Ask(q))) => format!("ask {}", q.code),
        Some((_, Answer::Refuse(r))) => format!("refuse {}", r.code),
        Some((_, Answer::Fix(p))) => {
            let edits = p.edits.iter().map(|e| match &e.op {
                Op::Set(v) | Op::Add(v) => format!("{}={v}", e.path),
                Op::Remove => format!("-{}", e.path),
            });
            format!("fix {}", edits.collect::<Vec<_>>().join(" "))
        }
    }
}

fn of_service(name: &str, selector: &str, target: &str) -> Vec<String> {
    answers(&[WEB, CART, &service(name, selector, target)], "", "")
}

#[test]
fn one_wrong_selector_key_is_corrected() {
    for (selector, want) in [
        (
            "{app: web, tier: fornt}",
            "fix spec.selector.tier=\"front\"",
        ),
        ("{app: web, extra: x}", "fix -spec.selector.extra"),
        ("{app: website}", "fix spec.selector.app=\"web\""),
        (
            "{name: web}",
            "fix spec.selector.app=\"web\" -spec.selector.name",
        ),
    ] {
        assert_eq!(of_service("web", selector, "8080"), [want], "{selector}");
    }
    assert!(of_service("web", "{app: web}", "8080").is_empty());
}

#[test]
fn a_slip_is_corrected_whatever_the_service_is_called() {
    let fix = ["fix spec.selector.tier=\"front\""];
    assert_eq!(of_service("entry", "{tier: fornt}", "8080"), fix);
    // one of a series is another one
    let track = WEB.replace("tier: front", "tier: front-1");
    let docs = [track.as_str(), &service("entry", "{tier: front-2}", "8080")];
    assert_eq!(answers(&docs, "", ""), ["ask OwnerDecision"]);
    // a port that its containers do not have
    let ask = ["ask OwnerDecision"];
    assert_eq!(of_service("entry", "{tier: fornt}", "9999"), ask);
}

#[test]
fn another_application_with_a_near_name_is_not_meant() {
    let oauth = WEB
        .replace("web", "oauth")
        .replace("tier: front", "part-of: shop");
    let ask = ["ask OwnerDecision"];
    let of = |services: &[&str]| {
        let all = std::iter::once(oauth.as_str()).chain(services.iter().copied());
        answers(&all.collect::<Vec<_>>(), "", "")
    };
    for name in ["auth", "auth-svc", "auth-internal"] {
        for selector in ["{app: auth}", "{app: auth, part-of: shop}"] {
            let called_so = service(name, selector, "8080");
            assert_eq!(of(&[&called_so]), ask, "{name} {selector}");
        }
    }
    let entry = service("entry", "{app: auth}", "8080");
    assert_eq!(of(&[&entry]), ["fix spec.selector.app=\"oauth\""]);
    let own = service("oauth", "{app: oauth}", "8080");
    assert_eq!(of(&[&entry, &own]), ask, "the pods have their Service");
}

#[test]
fn an_unproven_selector_is_a_question() {
    let ask = ["ask OwnerDecision"];
    // the Service of something that is not deployed shares a label with everything
    assert_eq!(of_service("mail", "{app: mail, release: r7}", "25"), ask);
    assert_eq!(of_service("mail", "{app: mail, release: r7}", "8080"), ask);
    // two keys off
    assert_eq!(
        of_service("web", "{app: site, tier: x, release: r7}", "8080"),
        ask
    );
    // nothing near at all
    assert_eq!(of_service("mail", "{app: mail}", "25"), ask);
}

#[test]
fn a_second_track_is_not_sent_to_the_first() {
    let first = service("web", "{app: web, tier: front}", "8080");
    let second = service("shadow", "{app: web, tier: trial}", "8080");
    let alone = answers(&[WEB, CART, &second], "", "");
    assert_eq!(alone, ["fix spec.selector.tier=\"front\""]);
    let beside = answers(&[WEB, CART, &first, &second], "", "");
    assert_eq!(beside, ["ask OwnerDecision"]);
}

#[test]
fn classes_and_certificates_that_do_not_exist_are_said_and_not_changed() {
    let class = |name: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: {name}}}}}"
        )
    };
    let with = |spec: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: public, namespace: shop}}, spec: {{{spec}, rules: []}}, status: {{}}}}"
        )
    };
    let of = |docs: &[&str], report: &str| answers(docs, report, "");
    let typo = with("ingressClassName: ngnix");
    assert_eq!(of(&[&typo, &class("nginx")], ""), ["ask ForbiddenByRule"]);
    assert!(of(&[&typo, &class("ngnix")], "").is_empty());
    assert!(of(&[&typo], "").is_empty(), "classes are not in the dump");
    let served = typo.replace(
        "status: {}",
        "status: {loadBalancer: {ingress: [{ip: 10.0.0.1}]}}",
    );
    assert!(of(&[&served, &class("nginx")], "").is_empty());
    let tls = with("ingressClassName: nginx, tls: [{hosts: [a.example], secretName: a-tls}]");
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: other, namespace: shop}}";
    let docs = [tls.as_str(), secret, &class("nginx")];
    assert!(of(&docs, "").is_empty(), "a dump may leave Secrets out");
    assert_eq!(
        of(&docs, "the certificate of a.example is wrong"),
        ["refuse MissingSecretInput"]
    );
}

#[test]
fn a_load_balancer_without_address_matters_to_who_asks() {
    let balancer = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}, status: {loadBalancer: {}}}";
    assert!(answers(&[WEB, balancer], "", "").is_empty());
    assert_eq!(
        answers(&[WEB, balancer], "web has no external IP", ""),
        ["refuse InfrastructureFault"]
    );
}

#[test]
fn a_report_of_two_applications_shows_the_policy_between_them() {
    let gate = |from: &str, port: &str| {
        policy(&format!(
            "{{podSelector: {{matchLabels: {{app: cart}}}}, policyTypes: [Ingress], ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {from}}}}}}}], ports: [{{port: {port}}}]}}]}}"
        ))
    };
    let cart = service("cart", "{app: cart}", "7000");
    let of = |policy: &str| {
        answers(
            &[WEB, CART, &cart, policy],
            "web times out calling cart",
            "",
        )
    };
    assert_eq!(of(&gate("web", "7001")), ["ask BlockedNetworkPolicy"]);
    assert_eq!(of(&gate("wep", "7000")), ["ask BlockedNetworkPolicy"]);
    assert!(of(&gate("web", "7000")).is_empty());
}

#[test]
fn services_without_selector_and_scaled_down_ones_are_no_findings() {
    let external = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {type: ExternalName, externalName: example.org, selector: {app: zzz}}}";
    assert!(answers(&[WEB, external], "", "").is_empty());
    assert!(of_service("web", "{}", "8080").is_empty());
    let other = service("web", "{app: zzz}", "8080");
    assert!(
        answers(&[&other], "", "").is_empty(),
        "a dump without workloads"
    );
}

#[test]
fn a_target_port_goes_to_the_only_declared_one() {
    let path = "spec.ports[0].targetPort";
    assert_eq!(
        of_service("web", "{app: web}", "8081"),
        [format!("fix {path}=8080")]
    );
    assert_eq!(
        of_service("web", "{app: web}", "htpp"),
        [format!("fix {path}=\"http\"")]
    );
    let two = WEB.replace(
        "containerPort: 8080",
        "containerPort: 8080}, {name: admin, containerPort: 9000",
    );
    let docs = [two.as_str(), &service("web", "{app: web}", "8081")];
    assert_eq!(answers(&docs, "", ""), ["ask OwnerDecision"]);
    let silent = WEB.replace("{name: http, containerPort: 8080}", "");
    let docs = [silent.as_str(), &service("web", "{app: web}", "8081")];
    assert!(
        answers(&docs, "", "").is_empty(),
        "no port declared: nothing known"
    );
    let listens = WEB.replace("name: c,", "name: c, args: ['--port=8081'],");
    let docs = [listens.as_str(), &service("web", "{app: web}", "8081")];
    assert!(answers(&docs, "", "").is_empty(), "it listens there");
}

#[test]
fn a_selector_that_takes_foreign_pods_is_narrowed() {
    assert_eq!(
        of_service("web", "{release: r7}", "8080"),
        ["fix spec.selector.app=\"web\""]
    );
    // nobody can say whose Service it is
    assert!(of_service("all", "{release: r7}", "8080").is_empty());
    let canary = WEB
        .replace("name: web,", "name: web-canary,")
        .replace("app: web", "app: web-canary");
    let docs = [WEB, &canary, &service("web", "{release: r7}", "8080")];
    assert!(answers(&docs, "", "").is_empty(), "a canary belongs to it");
}

#[test]
fn an_ingress_backend_goes_to_the_only_one_that_fits() {
    let web = service("web-service", "{app: web}", "8080");
    let of = |name: &str, port: &str| answers(&[WEB, CART, &web, &ingress(name, port)], "", "");
    let base = "spec.rules[0].http.paths[0].backend.service";
    assert!(of("web-service", "{number: 80}").is_empty());
    assert_eq!(
        of("web-service", "{number: 8080}"),
        [format!("fix {base}.port.number=80")]
    );
    assert_eq!(
        of("web-svc", "{number: 80}"),
        [format!("fix {base}.name=\"web-service\"")]
    );
    assert_eq!(
        of("web-sevrice", "{number: 80}"),
        [format!("fix {base}.name=\"web-service\"")]
    );
    assert_eq!(of("checkout", "{number: 80}"), ["ask OwnerDecision"]);
}

#[test]
fn a_route_is_changed_only_where_the_report_names_path_and_service() {
    let docs = [
        WEB,
        CART,
        &service("web", "{app: web}", "8080"),
        &service("cart", "{app: cart}", "7000"),
        &ingress("web", "{number: 80}"),
    ];
    let fix = "fix spec.rules[0].http.paths[0].backend.service.name=\"cart\"";
    let says = |text: &str| answers(&docs, text, "");
    assert_eq!(
        says("Ingress public is broken; /buy belongs to cart"),
        [fix]
    );
    assert!(says("Ingress public is broken; /buy is slow").is_empty());
    assert!(says("Ingress public is broken; /buy belongs to web").is_empty());
    assert!(says("Ingress public is broken; /sell belongs to cart").is_empty());
}

#[test]
fn a_policy_is_a_finding_only_where_something_needs_the_traffic() {
    let caller = "{apiVersion: v1, kind: Pod, metadata: {name: caller, namespace: shop, labels: {app: web}}}";
    let cart = service("cart", "{app: cart}", "7000");
    let of = |spec: &str, log: &str| answers(&[caller, CART, &cart, &policy(spec)], "", log);
    let ask = ["ask BlockedNetworkPolicy"];
    let none: [&str; 0] = [];
    let timeout = "dial cart:80: i/o timeout";
    let closed = "{podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress]}";
    assert_eq!(of(closed, timeout), ask);
    assert_eq!(of(closed, "dial cart:80: connection refused"), none);
    assert_eq!(of(closed, "all is well with cart"), none);
    let admits = |who: &str, port: i64| {
        format!(
            "{{podSelector: {{matchLabels: {{app: cart}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {who}}}}}}}], ports: [{{port: {port}}}]}}]}}"
        )
    };
    assert_eq!(of(&admits("web", 7000), timeout), none);
    assert_eq!(of(&admits("web", 7001), timeout), ask);
    assert_eq!(of(&admits("other", 7000), timeout), ask);
    let mute = "{podSelector: {}, policyTypes: [Egress]}";
    assert_eq!(of(mute, "curl: (6) Could not resolve host: cart"), ask);
    let dns = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}, {to: [{podSelector: {}}]}]}";
    assert_eq!(of(dns, "curl: (6) Could not resolve host: cart"), none);
}

#[test]
fn a_report_alone_shows_a_policy_that_isolates_what_it_names() {
    let docs = [
        WEB,
        CART,
        &service("cart", "{app: cart}", "7000"),
        &policy("{podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress]}"),
    ];
    assert_eq!(
        answers(&docs, "web cannot connect to cart", ""),
        ["ask BlockedNetworkPolicy"]
    );
    assert!(answers(&docs, "is the image of cart up to date?", "").is_empty());
}
