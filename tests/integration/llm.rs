//! A language model behind a loopback stub: every way in which an endpoint can answer.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_openai::types::chat::CreateChatCompletionRequest;
use kubemend::case::{Case, Desired};
use kubemend::code::{Code, Refusal};
use kubemend::config::SchemaMode;
use kubemend::evidence::redact::Secret;
use kubemend::evidence::{Evidence, gather};
use kubemend::finding::{Class, Finding, Severity};
use kubemend::object::{Object, ObjectRef};
use kubemend::propose::chain::{Chain, Scripted};
use kubemend::propose::llm::{Model, Settings, Tape};
use kubemend::propose::memory::{self, Memory};
use kubemend::propose::ration::{Budget, Ledger, Ration};
use kubemend::propose::scope::Scope;
use kubemend::propose::{Answer, ProposeError, Proposed, Proposer, strict};
use kubemend::snapshot::Snapshot;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const KEY: &str = "test-key-7f3c";
const PLANTED: &str = "Tr0ub4dor-Horse-9";

/// An endpoint that plays its script, call by call; the last line repeats.
struct Stub {
    runtime: tokio::runtime::Runtime,
    server: MockServer,
}

struct Script(Vec<ResponseTemplate>, AtomicUsize);

impl Respond for Script {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let i = self.1.fetch_add(1, Ordering::SeqCst);
        self.0[i.min(self.0.len() - 1)].clone()
    }
}

impl Stub {
    fn new(script: Vec<ResponseTemplate>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            Mock::given(method("POST"))
                .and(path("/v1/chat/completions"))
                .respond_with(Script(script, AtomicUsize::new(0)))
                .mount(&server)
                .await;
            server
        });
        Self { runtime, server }
    }

    fn settings(&self) -> Settings {
        settings(&format!("{}/v1", self.server.uri()))
    }

    fn requests(&self) -> Vec<Request> {
        let received = self.server.received_requests();
        self.runtime.block_on(received).unwrap()
    }
}

fn settings(base_url: &str) -> Settings {
    Settings {
        base_url: base_url.to_owned(),
        key: Secret::new(KEY),
        model: "stub".to_owned(),
        timeout: Duration::from_secs(20),
        max_wait: Duration::from_millis(1),
        ..Settings::default()
    }
}

fn with_case<T>(use_it: impl FnOnce(&Case<'_>, &Evidence) -> T) -> T {
    with_message("last words", use_it)
}

fn with_message<T>(message: &str, use_it: impl FnOnce(&Case<'_>, &Evidence) -> T) -> T {
    let object = Object::new(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{
            "name": "web", "image": "shop/cart:1",
            "env": [{"name": "DB_PASSWORD", "value": PLANTED}],
            "resources": {"limits": {"memory": "128Mi"}}}]}}},
    }));
    let desired = [Desired {
        object: object.unwrap(),
        file: "cart.yaml".to_owned(),
        document: 0,
        root: None,
    }];
    let name = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "cart");
    let mut finding = Finding::new(Class::OOMKilled, Severity::High, name, "web was killed");
    finding.container = Some("web".to_owned());
    finding.message = format!("{message}: {PLANTED} was refused");
    let snapshot = Snapshot::new(Vec::new(), BTreeMap::new());
    let case = Case {
        said: &kubemend::case::NOTHING_SAID,
        finding: &finding,
        others: &[],
        snapshot: &snapshot,
        desired: &desired,
        earlier: &[],
        report: None,
        now: "2026-01-02T12:00:00Z".parse().unwrap(),
    };
    let evidence = gather(&case);
    use_it(&case, &evidence)
}

fn ask(settings: Settings) -> Result<Proposed, ProposeError> {
    with_case(|case, evidence| Model::new(settings).propose(case, evidence, &[]))
}

fn good() -> Value {
    json!({
        "diagnosis": [{"text": "web was killed at its limit", "cites": ["E1"]}],
        "summary": "raise the memory limit", "risk": "low",
        "reason": "The limit is too low for the load.",
        "edits": [{"object": "Deployment shop/cart",
            "path": "spec.template.spec.containers[name=web].resources.limits.memory",
            "op": "set", "value": "256Mi", "unlock": "OOMKilled"}],
        "no_safe_fix": null, "question": null,
    })
}

fn completion(content: &str, finish: &str) -> ResponseTemplate {
    message(json!({"role": "assistant", "content": content}), finish)
}

fn message(message: Value, finish: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980},
    }))
}

fn error(status: u16, code: &str, said: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "error": {"message": said, "type": code, "code": code, "param": null},
    }))
}

fn code_of(proposed: Result<Proposed, ProposeError>) -> Option<Code> {
    match proposed.ok()?.answer? {
        Answer::Refuse(refusal) => Some(refusal.code),
        _ => None,
    }
}

/// What a strict provider checks before it answers, and what must never leave.
fn check_request(request: &Request) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let typed: CreateChatCompletionRequest = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(&typed).unwrap(),
        body,
        "nothing beside the type"
    );
    assert!(typed.max_completion_tokens.is_some_and(|n| n <= 1_000));
    if let Some(schema) = body.pointer("/response_format/json_schema/schema") {
        assert_eq!(strict::lint(schema), Vec::<String>::new());
        let validator = jsonschema::validator_for(schema).unwrap();
        assert!(
            validator.is_valid(&good()),
            "the scripted answer could be said"
        );
    }
    let text = body.to_string();
    assert!(!text.contains(PLANTED) && !text.contains(KEY), "{text}");
    let header = request.headers.get("authorization").unwrap();
    assert_eq!(header.to_str().unwrap(), format!("Bearer {KEY}"));
}

#[test]
fn a_good_answer_is_a_proposal_in_every_schema_mode() {
    let modes = [
        (SchemaMode::Strict, json!("json_schema"), json!(true)),
        (SchemaMode::JsonSchema, json!("json_schema"), Value::Null),
        (SchemaMode::JsonObject, json!("json_object"), Value::Null),
        (SchemaMode::Prompt, Value::Null, Value::Null),
    ];
    for (schema_mode, format, strictness) in modes {
        let stub = Stub::new(vec![completion(&good().to_string(), "stop")]);
        let proposed = ask(Settings {
            schema_mode,
            ..stub.settings()
        })
        .unwrap();
        assert!(
            matches!(proposed.answer, Some(Answer::Fix(_))),
            "{proposed:?}"
        );
        assert_eq!(proposed.usage.calls, 1);
        assert_eq!(proposed.usage.prompt_tokens, 900);
        assert_eq!(proposed.usage.completion_tokens, 80);
        let requests = stub.requests();
        assert_eq!(requests.len(), 1);
        check_request(&requests[0]);
        let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
        let at = |p: &str| body.pointer(p).cloned().unwrap_or_default();
        assert_eq!(at("/response_format/type"), format);
        assert_eq!(at("/response_format/json_schema/strict"), strictness);
    }
}

#[test]
fn answers_that_cannot_be_used_are_refusals() {
    let cut: String = good().to_string().chars().take(200).collect();
    let mut wrong = good();
    wrong["risk"] = json!("tiny");
    let huge = "x".repeat(300_000);
    let table = [
        (
            "refusal",
            message(json!({"refusal": "I cannot help."}), "stop"),
            Code::ModelRefused,
        ),
        (
            "truncation",
            completion(&cut, "length"),
            Code::ModelUnusable,
        ),
        (
            "content filter",
            completion(&cut, "content_filter"),
            Code::ModelRefused,
        ),
        (
            "prose",
            completion("I would raise it.", "stop"),
            Code::ModelUnusable,
        ),
        ("cut JSON", completion(&cut, "stop"), Code::ModelUnusable),
        (
            "wrong JSON",
            completion(&wrong.to_string(), "stop"),
            Code::ModelUnusable,
        ),
        ("empty", completion("", "stop"), Code::ModelUnusable),
        (
            "no choices",
            ResponseTemplate::new(200).set_body_json(json!({})),
            Code::ModelUnusable,
        ),
        (
            "no JSON",
            ResponseTemplate::new(200).set_body_string("<html>"),
            Code::ModelUnusable,
        ),
        (
            "tool call",
            message(json!({"content": null}), "tool_calls"),
            Code::ModelUnusable,
        ),
        ("too long", completion(&huge, "stop"), Code::ModelUnusable),
    ];
    for (name, template, code) in table {
        let stub = Stub::new(vec![template]);
        assert_eq!(code_of(ask(stub.settings())), Some(code), "{name}");
        assert_eq!(stub.requests().len(), 1, "{name} is not asked again");
    }
}

#[test]
fn an_endpoint_that_does_not_answer_is_an_error() {
    let quota = error(429, "insufficient_quota", "You exceeded your quota.");
    let table = [
        (
            "rate limit",
            error(429, "rate_limit_exceeded", "slow down"),
            3,
        ),
        ("quota", quota, 1),
        (
            "server error",
            ResponseTemplate::new(500).set_body_string("oops"),
            3,
        ),
        ("overloaded", ResponseTemplate::new(503), 3),
        (
            "bad request",
            error(400, "invalid_request_error", "Invalid schema"),
            1,
        ),
        ("wrong key", error(401, "invalid_api_key", "bad key"), 1),
        (
            "redirect",
            ResponseTemplate::new(307).insert_header("location", "http://127.0.0.1:9/"),
            1,
        ),
    ];
    for (name, template, calls) in table {
        let stub = Stub::new(vec![template]);
        let failed = ask(stub.settings());
        assert!(failed.is_err(), "{name}: {failed:?}");
        assert_eq!(stub.requests().len(), calls, "{name}");
    }
}

#[test]
fn an_endpoint_that_is_down_is_not_asked_about_the_next_finding() {
    let table = [
        ("overloaded", ResponseTemplate::new(503), [3, 6, 6]),
        (
            "wrong key",
            error(401, "invalid_api_key", "bad key"),
            [1, 1, 1],
        ),
        // the next request may be better than this one
        (
            "bad request",
            error(400, "invalid_request_error", "Invalid schema"),
            [1, 2, 3],
        ),
        // one prompt may be too much for a minute, too slow for a proxy, or minded by a wall; not two in a row
        (
            "rate limit",
            error(429, "rate_limit_exceeded", "slow down"),
            [3, 6, 6],
        ),
        ("too slow", ResponseTemplate::new(408), [3, 6, 6]),
        ("wall", ResponseTemplate::new(403), [1, 2, 2]),
        (
            "quota",
            error(429, "insufficient_quota", "You exceeded your quota."),
            [1, 1, 1],
        ),
    ];
    for (name, template, asked) in table {
        let stub = Stub::new(vec![template]);
        let model = Model::new(stub.settings());
        let findings = ["last words", "first words", "no words"].map(|message| {
            let failed = with_message(message, |case, evidence| model.propose(case, evidence, &[]));
            (failed.unwrap_err(), stub.requests().len())
        });
        assert_eq!(findings.clone().map(|t| t.1), asked, "{name}");
        assert_eq!(
            findings[0].0, findings[2].0,
            "{name}: the reason is told again"
        );
        let passes = ["overloaded", "rate limit", "too slow"].contains(&name);
        assert_eq!(findings[0].0.passes, passes, "{name}");
    }
}

const TOO_LARGE: &str = "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 36278. \
     The input or output tokens must be reduced in order to run successfully.";

/// As OpenAI says it: the status of a rate limit, and no wait helps.
fn tokens(status: u16, said: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "error": {"message": said, "type": "tokens", "code": "rate_limit_exceeded", "param": null},
    }))
}

#[test]
fn a_prompt_that_is_too_large_is_the_end_of_one_finding() {
    let over = "TPM: Limit 30000, Requested 36278.";
    let table = [
        ("too large for a minute", tokens(429, TOO_LARGE)),
        ("so many tokens", tokens(429, over)),
        ("another status", tokens(413, TOO_LARGE)),
        ("no code", error(429, "", TOO_LARGE)),
        (
            "context",
            error(400, "context_length_exceeded", "at most 8192"),
        ),
        ("a proxy", ResponseTemplate::new(413)),
        (
            "no object around it",
            ResponseTemplate::new(400).set_body_json(json!({
                "object": "error", "type": "BadRequestError", "code": 400,
                "message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
            })),
        ),
        (
            "other words",
            error(400, "", "prompt is too long: 210000 tokens > 200000 maximum"),
        ),
    ];
    for (name, template) in table {
        let good = completion(&good().to_string(), "stop");
        let stub = Stub::new(vec![template.clone(), template.clone(), template, good]);
        let model = Model::new(stub.settings());
        let asked = |message| {
            with_message(message, |case, evidence| {
                model.propose(case, evidence, &[]).unwrap()
            })
        };
        let first = asked("last words");
        let Some(Answer::Refuse(refusal)) = &first.answer else {
            panic!("{name}: {first:?}")
        };
        assert_eq!(refusal.code, Code::ModelRefused, "{name}");
        assert!(refusal.message.contains("HTTP 4"), "{name}: {refusal:?}");
        assert_eq!(first.usage.calls, 0, "{name} is charged for by nobody");
        asked("first words");
        asked("no words");
        let fourth = asked("other words");
        assert!(
            matches!(fourth.answer, Some(Answer::Fix(_))),
            "{name} holds nothing else up: {fourth:?}"
        );
    }
}

#[test]
fn what_is_left_of_a_minute_is_no_limit_of_one_prompt() {
    let said = "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 1500.";
    let stub = Stub::new(vec![
        tokens(429, said),
        completion(&good().to_string(), "stop"),
    ]);
    let proposed = ask(stub.settings()).unwrap();
    assert!(matches!(proposed.answer, Some(Answer::Fix(_))));
    assert_eq!(proposed.usage.calls, 2);
}

#[test]
fn a_prompt_that_is_too_large_costs_nothing_of_the_budget_and_is_not_sent_again() {
    let stub = Stub::new(vec![tokens(429, TOO_LARGE)]);
    let settings = rationed(&stub, 1, BTreeMap::new());
    assert_eq!(code_of(ask(settings.clone())), Some(Code::ModelRefused));
    assert_eq!(code_of(ask(settings.clone())), Some(Code::ModelRefused));
    assert_eq!(stub.requests().len(), 1);
    let forgot = ask(forgetting(&settings));
    assert_eq!(code_of(forgot), Some(Code::ModelRefused), "not BudgetSpent");
}

#[test]
fn one_prompt_that_a_wall_minds_does_not_silence_the_next() {
    for status in [403, 408, 429] {
        let mut script = vec![ResponseTemplate::new(status); if status == 403 { 1 } else { 3 }];
        script.push(completion(&good().to_string(), "stop"));
        let stub = Stub::new(script);
        let model = Model::new(stub.settings());
        let asked =
            |message| with_message(message, |case, evidence| model.propose(case, evidence, &[]));
        assert!(asked("last words").is_err(), "{status}");
        let next = asked("first words").unwrap();
        assert!(matches!(next.answer, Some(Answer::Fix(_))), "{status}");
    }
}

#[test]
fn a_busy_endpoint_is_asked_again() {
    let busy = error(429, "rate_limit_exceeded", "slow down").insert_header("retry-after", "3600");
    let stub = Stub::new(vec![busy, completion(&good().to_string(), "stop")]);
    let proposed = ask(stub.settings()).unwrap();
    assert!(matches!(proposed.answer, Some(Answer::Fix(_))));
    assert_eq!(proposed.usage.calls, 2);
    let bodies: Vec<Vec<u8>> = stub.requests().into_iter().map(|r| r.body).collect();
    assert_eq!(bodies[0], bodies[1]);
}

/// Serves one connection: sends bytes, then either hangs up or waits for the client to do so.
fn raw_server(bytes: &'static [u8], hang_up: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(bytes);
            while !hang_up && stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
        }
    });
    url
}

const HEADERS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n";

#[test]
fn a_stalled_endpoint_ends_with_the_time_limit() {
    let stalled = Settings {
        timeout: Duration::from_millis(300),
        ..settings(&raw_server(HEADERS, false))
    };
    let failed = ask(stalled).unwrap_err().to_string();
    assert!(failed.contains("time limit"), "{failed}");
}

#[test]
fn a_cut_connection_is_no_answer() {
    assert!(ask(settings(&raw_server(HEADERS, true))).is_err());
    assert!(ask(settings(&raw_server(b"", true))).is_err());
}

#[test]
fn https_and_odd_keys_fail_without_a_panic() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert!(ask(settings(&format!("https://{closed}/v1"))).is_err());
    assert!(ask(settings("not a url")).is_err());
    assert!(ask(settings("")).is_err());
    let odd = Settings {
        key: Secret::new("a\nb"),
        ..settings(&format!("http://{closed}/v1"))
    };
    assert!(ask(odd).is_err());
}

#[test]
fn what_an_endpoint_says_is_redacted() {
    let leaked = format!("sk-proj-{}", "aB3dE5gH7j".repeat(4));
    let said = format!("Incorrect API key provided: {leaked}. {PLANTED}");
    let stub = Stub::new(vec![error(401, "invalid_api_key", &said)]);
    let failed = ask(stub.settings()).unwrap_err().to_string();
    assert!(failed.contains("Incorrect API key"), "{failed}");
    assert!(
        !failed.contains(&leaked) && !failed.contains(PLANTED),
        "{failed}"
    );
    let refusal = message(json!({"refusal": format!("no: {leaked}")}), "stop");
    let stub = Stub::new(vec![refusal]);
    let shown = format!("{:?}", ask(stub.settings()));
    assert!(!shown.contains(&leaked), "{shown}");
    assert!(!format!("{:?}", stub.settings()).contains(KEY));
}

#[test]
fn a_recorded_call_is_replayed_without_network() {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::new(vec![completion(&good().to_string(), "stop")]);
    let recorded = ask(Settings {
        tape: Tape::Record(folder.path().to_owned()),
        ..stub.settings()
    })
    .unwrap();
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for name in &names {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(!text.contains(KEY) && !text.contains(PLANTED), "{name}");
    }
    let replay = || ask(settings("").replaying(folder.path()));
    assert_eq!(replay().unwrap(), recorded);
    // An answer that a person wrote by hand.
    let answer = names.iter().find(|n| n.ends_with(".answer.json")).unwrap();
    std::fs::write(folder.path().join(answer), good().to_string()).unwrap();
    assert_eq!(replay().unwrap().answer, recorded.answer);
    std::fs::remove_file(folder.path().join(answer)).unwrap();
    assert!(replay().is_err());
}

#[test]
fn a_request_is_recorded_without_an_endpoint_too() {
    let folder = tempfile::tempdir().unwrap();
    let failed = ask(Settings {
        tape: Tape::Record(folder.path().to_owned()),
        ..settings("")
    });
    assert!(failed.is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_finding_gets_three_calls_and_no_more() {
    let stub = Stub::new(vec![completion(&good().to_string(), "stop")]);
    let model = Model::new(stub.settings());
    with_case(|case, evidence| {
        let mut feedback = Vec::new();
        for _ in 0..3 {
            let proposed = model.propose(case, evidence, &feedback).unwrap();
            assert!(matches!(proposed.answer, Some(Answer::Fix(_))));
            feedback.push("256Mi was blocked: out of bounds".to_owned());
        }
        let fourth = model.propose(case, evidence, &feedback);
        assert_eq!(code_of(fourth), Some(Code::NoSafeFix));
    });
    let requests = stub.requests();
    assert_eq!(requests.len(), 3);
    let last = String::from_utf8_lossy(&requests[2].body).into_owned();
    assert!(last.contains("out of bounds"), "feedback is told");
}

#[test]
fn money_runs_out_before_the_call() {
    let stub = Stub::new(vec![completion(&good().to_string(), "stop")]);
    let dear = Settings {
        price: (10_000, 30_000),
        max_cost: 1_000,
        ..stub.settings()
    };
    assert_eq!(code_of(ask(dear)), Some(Code::NoSafeFix));
    assert_eq!(stub.requests().len(), 0);
    let cheap = Settings {
        price: (1_000, 2_000),
        ..stub.settings()
    };
    assert_eq!(ask(cheap).unwrap().usage.cost, 900 + 160);
}

fn rationed(stub: &Stub, left: u32, refusals: BTreeMap<String, Refusal>) -> Settings {
    let now = "2026-01-02T12:00:00Z".parse().unwrap();
    let budget = Budget {
        per_hour: left,
        per_day: 100,
    };
    Settings {
        ration: Some(Ration::new(budget, Ledger::default(), refusals, now)),
        ..stub.settings()
    }
}

/// The same budget, in a process that remembers nothing.
fn forgetting(settings: &Settings) -> Settings {
    let ration = settings.ration.clone().unwrap();
    Settings {
        ration: Some(ration.remembering(Memory::default())),
        ..settings.clone()
    }
}

#[test]
fn the_same_finding_is_answered_from_memory_for_a_day() {
    let stub = Stub::new(vec![completion(&good().to_string(), "stop")]);
    let memory = Memory::default();
    let at = |time: &str| {
        let budget = Budget {
            per_hour: 10,
            per_day: 10,
        };
        let ration = Ration::new(
            budget,
            Ledger::default(),
            BTreeMap::new(),
            time.parse().unwrap(),
        );
        Settings {
            ration: Some(ration.remembering(memory.clone())),
            ..stub.settings()
        }
    };
    let first = ask(at("2026-01-02T12:00:00Z")).unwrap();
    let second = ask(at("2026-01-03T11:59:00Z")).unwrap();
    assert_eq!(first.answer, second.answer);
    assert_eq!((first.usage.calls, second.usage.calls), (1, 0));
    // what did not lead to a fix is asked about, and so is what people want to know again
    let corrected = with_case(|case, evidence| {
        let model = Model::new(at("2026-01-03T11:59:00Z"));
        model.propose(case, evidence, &["too much".to_owned()])
    });
    assert_eq!(corrected.unwrap().usage.calls, 1);
    let again = with_case(|case, evidence| {
        let said = kubemend::case::Said {
            again: true,
            ..Default::default()
        };
        let case = Case {
            said: &said,
            ..*case
        };
        Model::new(at("2026-01-03T11:59:00Z")).propose(&case, evidence, &[])
    });
    assert_eq!(again.unwrap().usage.calls, 1);
    assert_eq!(ask(at("2026-01-04T11:59:00Z")).unwrap().usage.calls, 1);
    assert_eq!(stub.requests().len(), 4);
}

/// What changes by itself in every pass is no news; a word of a log and a value in Git are.
#[test]
fn an_answer_counts_for_what_it_was_given_for() {
    let key = |log: &str, value: &str| {
        with_case(|case, _| {
            let config = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "settings", "namespace": "shop"}, "data": {"port": value}});
            let mut deployment = case.desired[0].clone();
            deployment.object.value["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
                json!([{"configMapRef": {"name": "settings"}}]);
            let settings = Desired {
                object: Object::new(config).unwrap(),
                file: "settings.yaml".to_owned(),
                document: 0,
                root: None,
            };
            let desired = [deployment, settings];
            let mut finding = case.finding.clone();
            finding.message = log.to_owned();
            let case = Case {
                desired: &desired,
                finding: &finding,
                ..*case
            };
            memory::key(&case, &Scope::of(&case), &gather(&case))
        })
    };
    let first = key("no route to db:5432 after 3 tries", "5432");
    assert_eq!(key("no route to db:5432 after 17 tries", "5432"), first);
    assert_ne!(key("no route to cache:5432 after 3 tries", "5432"), first);
    assert_ne!(key("no route to db:5432 after 3 tries", "5433"), first);
}

#[test]
fn the_budget_of_the_hour_runs_out_before_the_call_and_retries_count() {
    let stub = Stub::new(vec![completion(&good().to_string(), "stop")]);
    let settings = rationed(&stub, 2, BTreeMap::new());
    assert!(ask(forgetting(&settings)).is_ok());
    assert!(ask(forgetting(&settings)).is_ok());
    assert_eq!(code_of(ask(forgetting(&settings))), Some(Code::BudgetSpent));
    assert_eq!(stub.requests().len(), 2);
    // what nobody charges for does not count over runs: an outage of a night does not use up the day
    let stub = Stub::new(vec![ResponseTemplate::new(503)]);
    let settings = rationed(&stub, 2, BTreeMap::new());
    for _ in 0..3 {
        assert!(ask(settings.clone()).is_err());
    }
    assert_eq!(stub.requests().len(), 6, "two in each run");
    // a stall may be charged for
    let stalls = Settings {
        timeout: Duration::from_millis(300),
        base_url: raw_server(HEADERS, false),
        ..rationed(&stub, 1, BTreeMap::new())
    };
    assert!(ask(stalls.clone()).is_err());
    assert_eq!(code_of(ask(stalls)), Some(Code::BudgetSpent));
}

#[test]
fn what_was_refused_on_the_same_evidence_is_not_asked_again() {
    let stub = Stub::new(vec![completion(&good().to_string(), "stop")]);
    let digest = with_case(|_, evidence| evidence.digest());
    let refusal = Refusal::new(Code::ModelRefused, "it would not say");
    let settings = rationed(&stub, 5, BTreeMap::from([(digest, refusal)]));
    assert_eq!(code_of(ask(settings.clone())), Some(Code::ModelRefused));
    assert_eq!(stub.requests().len(), 0);
    // a hint of a person is news
    let hints = kubemend::case::Said {
        hints: vec!["it is the memory".to_owned()],
        ..kubemend::case::Said::default()
    };
    with_case(|case, evidence| {
        let case = Case {
            said: &hints,
            finding: case.finding,
            others: case.others,
            snapshot: case.snapshot,
            desired: case.desired,
            earlier: case.earlier,
            report: case.report,
            now: case.now,
        };
        assert!(Model::new(settings).propose(&case, evidence, &[]).is_ok());
    });
    assert_eq!(stub.requests().len(), 1);
}

#[test]
fn the_first_answer_of_a_chain_counts() {
    let refusal = kubemend::code::Refusal::new(Code::ApplicationFault, "the application fails");
    let says = Scripted(vec![Answer::Refuse(refusal)]);
    let chain = Chain(vec![Box::new(Scripted::default()), Box::new(says)]);
    with_case(|case, evidence| {
        let first = chain.propose(case, evidence, &[]);
        assert_eq!(code_of(first), Some(Code::ApplicationFault));
        let second = chain
            .propose(case, evidence, &["blocked".to_owned()])
            .unwrap();
        assert_eq!(second.answer, None);
    });
}
