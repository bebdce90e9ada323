//! What kubemend writes of its own into a cluster, against a loopback API server: a Lease, records,
//! Events, and what happens when they cannot be written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use kubemend::cluster::{Access, Bill, Campaign, Cluster, Keeper};
use kubemend::election::Timing;
use kubemend::propose::Usage;
use kubemend::remediation::{Outcome, PullRequest, Seen, Spec, Survey};
use serde_json::{Value, json};
use tokio::sync::watch;
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kubemend/leases";
const RECORDS: &str = "/apis/kubemend.dev/v1alpha1/namespaces/kubemend/remediations";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

/// Objects by path, as the API server keeps them: each write needs the version that was read.
#[derive(Clone, Default)]
struct Store {
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    version: Arc<Mutex<u64>>,
}

impl Store {
    fn put(&self, at: &str, mut object: Value) -> ResponseTemplate {
        let mut version = self.version.lock().unwrap();
        *version += 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["metadata"]["generation"] = json!(1);
        self.objects
            .lock()
            .unwrap()
            .insert(at.to_owned(), object.clone());
        ResponseTemplate::new(200).set_body_json(object)
    }

    fn get(&self, at: &str) -> Option<Value> {
        self.objects.lock().unwrap().get(at).cloned()
    }

    /// Somebody else writes.
    fn touch(&self, at: &str) {
        let object = self.get(at).unwrap();
        self.put(at, object);
    }

    fn below(&self, at: &str) -> Vec<Value> {
        let objects = self.objects.lock().unwrap();
        let below = objects
            .iter()
            .filter(|(p, _)| p.starts_with(&format!("{at}/")));
        below.map(|(_, o)| o.clone()).collect()
    }
}

impl Respond for Store {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let at = request.url.path().trim_end_matches("/status").to_owned();
        let body = || -> Value { serde_json::from_slice(&request.body).unwrap() };
        let found = self.get(&at);
        match request.method.as_str() {
            "GET" if at == RECORDS => ResponseTemplate::new(200).set_body_json(json!({
                "apiVersion": "kubemend.dev/v1alpha1", "kind": "RemediationList",
                "metadata": {"resourceVersion": "1"}, "items": self.below(RECORDS),
            })),
            "GET" => found.map_or_else(
                || refused(404, "NotFound"),
                |o| ResponseTemplate::new(200).set_body_json(o),
            ),
            "POST" => {
                let object = body();
                let at = format!("{at}/{}", object["metadata"]["name"].as_str().unwrap());
                match self.get(&at) {
                    Some(_) => refused(409, "AlreadyExists"),
                    None => self.put(&at, object),
                }
            }
            "DELETE" => {
                self.objects.lock().unwrap().remove(&at);
                ResponseTemplate::new(200)
                    .set_body_json(json!({"kind": "Status", "metadata": {}, "status": "Success"}))
            }
            _ => {
                let (object, Some(mut there)) = (body(), found) else {
                    return refused(404, "NotFound");
                };
                let version = &object["metadata"]["resourceVersion"];
                if !version.is_null() && *version != there["metadata"]["resourceVersion"] {
                    return refused(409, "Conflict");
                }
                if request.url.path().ends_with("/status") {
                    there["status"] = object["status"].clone();
                } else {
                    there = object;
                }
                self.put(&at, there)
            }
        }
    }
}

struct Api {
    server: MockServer,
    store: Store,
    kubeconfig: tempfile::NamedTempFile,
}

impl Api {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster:\n    server: {}\nusers:\n- name: a\n  user: {{}}\ncontexts:\n- name: a\n  context: {{cluster: a, user: a}}\n",
            server.uri()
        );
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), text).unwrap();
        let version = json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        let version = ResponseTemplate::new(200).set_body_json(version);
        let at = Mock::given(path("/version"));
        at.respond_with(version).mount(&server).await;
        let store = Store::default();
        let all = Mock::given(path_regex("^/apis/"));
        all.respond_with(store.clone())
            .with_priority(100)
            .mount(&server)
            .await;
        Self {
            server,
            store,
            kubeconfig,
        }
    }

    async fn cluster(&self) -> Cluster {
        let access = Access {
            kubeconfig: Some(self.kubeconfig.path()),
            ..Access::default()
        };
        Cluster::connect(&access).await.unwrap()
    }

    /// What is asked with this verb at this place gets this answer instead, `times` times.
    async fn trouble(&self, verb: &str, at: &str, answer: ResponseTemplate, times: u64) {
        let mock = Mock::given(method(verb)).and(path_regex(format!("^{at}")));
        let mock = mock
            .respond_with(answer)
            .up_to_n_times(times)
            .with_priority(1);
        mock.mount(&self.server).await;
    }

    async fn asked(&self, verb: &str, at: &str) -> Vec<Request> {
        let all = self.server.received_requests().await.unwrap();
        let fits = |r: &Request| r.method.as_str() == verb && r.url.path().starts_with(at);
        all.into_iter().filter(fits).collect()
    }

    async fn keeper(&self, leads: watch::Receiver<bool>) -> Keeper {
        let cluster = self.cluster().await;
        let (records, events) = (
            cluster.remediations("kubemend"),
            cluster.events("kubemend-0"),
        );
        Keeper::new(
            Some(records),
            Some(events),
            leads,
            "https://github.example.com",
        )
    }

    fn records(&self) -> Vec<Value> {
        self.store.below(RECORDS)
    }
}

fn refused(code: u16, reason: &str) -> ResponseTemplate {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "hunter2", "reason": reason, "code": code});
    ResponseTemplate::new(code).set_body_json(status)
}

fn always() -> watch::Receiver<bool> {
    watch::Sender::new(true).subscribe()
}

fn soon() -> Timing {
    Timing {
        duration: Duration::from_secs(1),
        renew: Duration::from_millis(600),
        retry: Duration::from_millis(20),
    }
}

async fn becomes(leads: &mut watch::Receiver<bool>, wanted: bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), leads.wait_for(|l| *l == wanted));
    waited.await.expect("a change").unwrap();
}

fn survey(outcome: Outcome, code: &str) -> Survey {
    let seen = Seen {
        spec: Spec {
            fingerprint: "aaaaaaaa1111".to_owned(),
            api_version: "apps/v1".to_owned(),
            object: "Deployment shop/cart".to_owned(),
            summary: "cart fails".to_owned(),
            repository: "acme/shop".to_owned(),
            ..Spec::default()
        },
        outcome: Some(outcome),
        code: code.to_owned(),
        reported: true,
        ..Seen::default()
    };
    Survey {
        repository: "acme/shop".to_owned(),
        complete: true,
        seen: vec![seen],
        ..Survey::default()
    }
}

#[tokio::test]
async fn one_of_two_leads_hears_the_other_and_hands_over() {
    let api = Api::start().await;
    let cluster = api.cluster().await;
    let stand = |me: &str| Campaign::begin(cluster.lease("kubemend", "leader"), me, soon());
    let one = stand("one");
    let mut leads = one.leads();
    becomes(&mut leads, true).await;
    let other = stand("other");
    let called = one.called();
    tokio::pin!(called);
    // it is not called before somebody rings
    let early = tokio::time::timeout(Duration::from_millis(1), &mut called).await;
    assert!(early.is_err());
    other.ring();
    tokio::time::timeout(Duration::from_secs(60), called)
        .await
        .expect("the ring is heard");
    assert!(!*other.leads().borrow() && *one.leads().borrow());
    one.resign().await;
    assert!(!*leads.borrow_and_update());
    becomes(&mut other.leads(), true).await;
    let lease = api.store.get(&format!("{LEASES}/leader")).unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "other");
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_and_comes_back() {
    for trouble in [
        refused(500, "InternalError"),
        refused(403, "Forbidden"),
        refused(409, "Conflict"),
    ] {
        let api = Api::start().await;
        let lease = api.cluster().await.lease("kubemend", "leader");
        let one = Campaign::begin(lease, "one", soon());
        let mut leads = one.leads();
        becomes(&mut leads, true).await;
        // each attempt fails until it has to stop, and a few after that
        api.trouble("PUT", LEASES, trouble, 60).await;
        becomes(&mut leads, false).await;
        becomes(&mut leads, true).await;
    }
}

#[tokio::test]
async fn nobody_leads_without_the_right_to_a_lease() {
    let api = Api::start().await;
    api.trouble("GET", LEASES, refused(403, "Forbidden"), u64::MAX)
        .await;
    let lease = api.cluster().await.lease("kubemend", "leader");
    let one = Campaign::begin(lease, "one", soon());
    while api.asked("GET", LEASES).await.len() < 5 {
        tokio::task::yield_now().await;
    }
    assert!(!*one.leads().borrow());
    assert!(api.asked("POST", LEASES).await.is_empty());
}

#[tokio::test]
async fn a_record_is_made_once_and_written_again_only_when_it_differs() {
    let api = Api::start().await;
    let keeper = api.keeper(always()).await;
    let refusal = survey(Outcome::Refused, "NoSafeFix");
    for _ in 0..3 {
        keeper.keep(&refusal, 0, Timestamp::now()).await;
    }
    let [record] = &api.records()[..] else {
        panic!("one record")
    };
    assert_eq!(record["metadata"]["name"], "finding-aaaaaaaa1111");
    assert_eq!(record["spec"]["object"], "Deployment shop/cart");
    assert_eq!(record["status"]["code"], "NoSafeFix");
    assert_eq!(record["status"]["observedGeneration"], 1);
    assert_eq!(api.asked("POST", RECORDS).await.len(), 1);
    let patches = api.asked("PATCH", RECORDS).await;
    assert_eq!(patches.len(), 1);
    assert_eq!(
        patches[0].headers["content-type"],
        "application/apply-patch+yaml"
    );
    // one Event for the one thing that happened
    let events = api.asked("POST", EVENTS).await;
    let event: Value = serde_json::from_slice(&events[0].body).unwrap();
    assert_eq!(
        (events.len(), &event["reason"]),
        (1, &json!("KubemendRefused"))
    );
    assert_eq!(event["reportingController"], "kubemend.dev/kubemend");
    assert_eq!(event["regarding"]["name"], "cart");
    keeper
        .keep(
            &survey(Outcome::Refused, "OutOfBounds"),
            0,
            Timestamp::now(),
        )
        .await;
    assert_eq!(api.records()[0]["status"]["code"], "OutOfBounds");
    assert_eq!(api.asked("POST", EVENTS).await.len(), 2);
    // nothing but its own was ever written
    let all = api.server.received_requests().await.unwrap();
    let writes = all.iter().filter(|r| r.method.as_str() != "GET");
    for write in writes {
        let at = write.url.path();
        assert!(at.starts_with(RECORDS) || at.starts_with(EVENTS), "{at}");
    }
}

#[tokio::test]
async fn a_conflict_is_read_again_once_and_then_counts_what_is_there() {
    let api = Api::start().await;
    let keeper = api.keeper(always()).await;
    keeper
        .keep(&survey(Outcome::Refused, "NoSafeFix"), 0, Timestamp::now())
        .await;
    let at = format!("{RECORDS}/finding-aaaaaaaa1111");
    api.store.touch(&at);
    keeper
        .keep(&survey(Outcome::Asked, ""), 0, Timestamp::now())
        .await;
    assert_eq!(api.store.get(&at).unwrap()["status"]["outcome"], "Asked");
    // somebody deletes it: it comes back
    api.store.objects.lock().unwrap().remove(&at);
    keeper
        .keep(&survey(Outcome::Refused, "NoSafeFix"), 0, Timestamp::now())
        .await;
    assert_eq!(api.store.get(&at).unwrap()["status"]["outcome"], "Refused");
}

#[tokio::test]
async fn without_the_definition_or_the_right_a_pass_goes_on_and_asks_again() {
    for trouble in [
        refused(404, "NotFound"),
        refused(403, "Forbidden"),
        refused(500, "InternalError"),
    ] {
        let api = Api::start().await;
        api.trouble("GET", RECORDS, trouble, 2).await;
        let keeper = api.keeper(always()).await;
        let refusal = survey(Outcome::Refused, "NoSafeFix");
        keeper.keep(&refusal, 0, Timestamp::now()).await;
        keeper.keep(&refusal, 0, Timestamp::now()).await;
        assert!(api.records().is_empty());
        assert!(api.asked("POST", RECORDS).await.is_empty());
        // it remembers by itself what it told
        assert_eq!(api.asked("POST", EVENTS).await.len(), 1);
        // and when there is a place for records, they are there
        keeper.keep(&refusal, 0, Timestamp::now()).await;
        assert_eq!(api.records().len(), 1);
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_written_by_the_next_pass() {
    for (verb, at) in [("POST", RECORDS), ("PATCH", RECORDS), ("POST", EVENTS)] {
        let api = Api::start().await;
        let keeper = api.keeper(always()).await;
        api.trouble(verb, at, refused(503, "ServiceUnavailable"), 1)
            .await;
        let refusal = survey(Outcome::Refused, "NoSafeFix");
        keeper.keep(&refusal, 0, Timestamp::now()).await;
        keeper.keep(&refusal, 0, Timestamp::now()).await;
        let records = api.records();
        assert_eq!(records.len(), 1, "{verb} {at}");
        assert_eq!(records[0]["status"]["outcome"], "Refused", "{verb} {at}");
    }
}

/// The connection is cut in the middle of a write, again and again: the next pass writes it.
#[tokio::test]
async fn a_connection_that_is_cut_loses_nothing() {
    let api = Api::start().await;
    let door = Door::open(*api.server.address());
    let text = std::fs::read_to_string(api.kubeconfig.path()).unwrap();
    let text = text.replace(&api.server.uri(), &format!("http://{}", door.address));
    std::fs::write(api.kubeconfig.path(), text).unwrap();
    let keeper = api.keeper(always()).await;
    let refusal = survey(Outcome::Refused, "NoSafeFix");
    door.shut(true);
    keeper.keep(&refusal, 0, Timestamp::now()).await;
    assert!(api.records().is_empty());
    door.shut(false);
    keeper.keep(&refusal, 0, Timestamp::now()).await;
    assert_eq!(api.records().len(), 1);
    door.shut(true);
    keeper
        .keep(&survey(Outcome::Asked, ""), 0, Timestamp::now())
        .await;
    door.shut(false);
    assert_eq!(api.records()[0]["status"]["outcome"], "Refused");
    keeper
        .keep(&survey(Outcome::Asked, ""), 0, Timestamp::now())
        .await;
    assert_eq!(api.records()[0]["status"]["outcome"], "Asked");
}

/// What stands between kubemend and the API server, and hangs up when it is told to.
struct Door {
    address: std::net::SocketAddr,
    shut: watch::Sender<bool>,
}

impl Door {
    fn open(to: std::net::SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let shut = watch::Sender::new(false);
        let told = shut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut shut = told.subscribe();
                tokio::spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        biased;
                        _ = shut.wait_for(|shut| *shut) => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { address, shut }
    }

    fn shut(&self, shut: bool) {
        self.shut.send_replace(shut);
    }
}

#[tokio::test]
async fn whoever_does_not_lead_writes_no_record() {
    let api = Api::start().await;
    let keeper = api.keeper(watch::Sender::new(false).subscribe()).await;
    keeper
        .keep(&survey(Outcome::Refused, "NoSafeFix"), 0, Timestamp::now())
        .await;
    assert!(api.records().is_empty());
    assert!(api.asked("POST", EVENTS).await.is_empty());
}

/// A restart, or another leader: budgets and refusals go on where they were.
#[tokio::test]
async fn a_new_leader_knows_what_was_spent_and_refused() {
    use kubemend::propose::ration::{Budget, Ration};
    let api = Api::start().await;
    let mut refusal = survey(Outcome::Refused, "ModelRefused");
    refusal.seen[0].evidence = "digest".to_owned();
    refusal.seen[0].spent = Usage {
        calls: 7,
        ..Usage::default()
    };
    let now = Timestamp::now();
    api.keeper(always()).await.keep(&refusal, 0, now).await;
    let next = api.keeper(always()).await;
    let (ledger, refusals) = next.recall(0).await;
    let budget = Budget {
        per_hour: 10,
        per_day: 100,
    };
    let ration = Ration::new(budget, ledger, refusals, now);
    assert_eq!(ration.reserve(100), 3);
    assert!(ration.refused("digest").is_some() && ration.refused("other").is_none());
    // what is spent now is not forgotten when the records are read again in the same term
    let (ledger, refusals) = next.recall(0).await;
    assert_eq!(Ration::new(budget, ledger, refusals, now).reserve(1), 0);
}

#[tokio::test]
async fn a_pull_request_has_its_address_in_record_and_event() {
    let api = Api::start().await;
    let keeper = api.keeper(always()).await;
    let mut proposed = survey(Outcome::Proposed, "");
    proposed.seen[0].pull = Some(PullRequest {
        number: 12,
        state: "open".to_owned(),
        ..PullRequest::default()
    });
    keeper.keep(&proposed, 0, Timestamp::now()).await;
    let url = "https://github.example.com/acme/shop/pull/12";
    assert_eq!(api.records()[0]["status"]["pullRequest"]["url"], url);
    let events = api.asked("POST", EVENTS).await;
    let event: Value = serde_json::from_slice(&events[0].body).unwrap();
    assert!(event["note"].as_str().unwrap().ends_with(url), "{event}");
}

/// A namespace that ends or a policy refuses one Event; the next is about another workload.
#[tokio::test]
async fn one_refused_event_silences_no_other() {
    let api = Api::start().await;
    let keeper = api.keeper(always()).await;
    api.trouble("POST", EVENTS, refused(403, "Forbidden"), 1)
        .await;
    let mut two = survey(Outcome::Refused, "NoSafeFix");
    let mut other = two.seen[0].clone();
    other.spec.fingerprint = "bbbbbbbb2222".to_owned();
    other.spec.object = "Deployment shop/mail".to_owned();
    two.seen.push(other);
    keeper.keep(&two, 0, Timestamp::now()).await;
    let told = api.asked("POST", EVENTS).await;
    let told = told
        .iter()
        .map(|r| -> Value { serde_json::from_slice(&r.body).unwrap() });
    let about: Vec<Value> = told.map(|e| e["regarding"]["name"].clone()).collect();
    assert_eq!(about, ["cart", "mail"]);
}

fn with_calls(calls: u32) -> Survey {
    let mut survey = survey(Outcome::Refused, "NoSafeFix");
    survey.seen[0].spent.calls = calls;
    survey
}

/// A pass that is late, panics or loses the lead is dropped where it waits.
#[tokio::test]
async fn what_a_dropped_pass_spent_is_written_down() {
    let api = Api::start().await;
    let keeper = Arc::new(api.keeper(always()).await);
    let now = Timestamp::now();
    let mut spent = with_calls(4);
    spent.seen[0].outcome = None;
    let bill = Bill::new(Arc::clone(&keeper), 0, now);
    bill.add(spent.clone());
    let pass = tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(bill);
    });
    pass.abort();
    let written = async {
        while api.records().is_empty() || api.records()[0]["status"].is_null() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), written).await;
    waited.expect("a record");
    let record = &api.records()[0];
    assert_eq!(record["status"]["spend"]["calls"], 4);
    assert!(record["status"]["outcome"].is_null(), "{record}");

    // a pass that ended early tells what it spent, one that ended tells all of it, and once
    let later = now + jiff::SignedDuration::from_secs(1);
    let bill = Bill::new(Arc::clone(&keeper), 0, later);
    bill.add(spent.clone());
    bill.settle(&Survey::default()).await;
    assert_eq!(api.records()[0]["status"]["spend"]["calls"], 8);
    let bill = Bill::new(Arc::clone(&keeper), 0, later);
    bill.add(spent);
    bill.settle(&with_calls(4)).await;
    let record = &api.records()[0];
    assert_eq!(record["status"]["spend"]["calls"], 8);
    assert_eq!(record["status"]["outcome"], "Refused");
}

/// Its own passes may have ended without a record; whoever led meanwhile wrote others.
#[tokio::test]
async fn a_leader_that_comes_back_forgets_nothing_that_it_spent() {
    use kubemend::propose::ration::{Budget, Ration};
    let api = Api::start().await;
    let now = Timestamp::now();
    let budget = Budget {
        per_hour: 100,
        per_day: 100,
    };
    let keeper = api.keeper(always()).await;
    let (ledger, refusals) = keeper.recall(1).await;
    let ration = Ration::new(budget, ledger, refusals, now);
    assert_eq!(ration.reserve(10), 10);
    let earlier = now - jiff::SignedDuration::from_secs(60);
    let other = api.keeper(always()).await;
    other.keep(&with_calls(5), 0, earlier).await;
    let (ledger, refusals) = keeper.recall(2).await;
    let ration = Ration::new(budget, ledger, refusals, now);
    assert_eq!(ration.reserve(100), 85);
    // what is recorded of it counts once
    keeper.keep(&with_calls(10), 2, now).await;
    let (ledger, refusals) = keeper.recall(3).await;
    ration.give_back(85);
    let ration = Ration::new(budget, ledger, refusals, now);
    assert_eq!(ration.reserve(100), 85);
}
