//! The webhook server on loopback: who is woken, who is turned away, and what a kill costs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kubemend::serve::{Settings, listener, web, worker};

use crate::serve_stub::{
    Behaviour, Client, Events, SECRET, Script, Server, head, next, payload, secrets, settings, sign,
};

/// A server whose first sweep is over.
fn started(ids: &[u64], settings: Settings) -> (Server, Arc<Script>, Events) {
    let (script, events) = Script::new(ids);
    let server = Server::start(settings, Arc::clone(&script) as _);
    for _ in ids {
        next(&events.ended);
    }
    while events.begun.try_recv().is_ok() {}
    // the run is over when the queue says so
    while !server
        .metrics
        .text()
        .contains("kubemend_passes_running 0\n")
    {
        std::thread::yield_now();
    }
    (server, script, events)
}

fn queue_is_empty(server: &Server) -> bool {
    let text = server.metrics.text();
    text.contains("kubemend_queue_length 0\n") && text.contains("kubemend_passes_running 0\n")
}

fn accepted(word: &str) -> (u16, String) {
    (202, word.to_owned())
}

/// Row 57: a delivery is answered at once, and its repository is looked at.
#[test]
fn a_genuine_delivery_wakes_its_repository() {
    let (server, _script, events) = started(&[1, 2], settings());
    let answer = server.deliver("issue_comment", "d-1", &payload(2, "created"));
    assert_eq!(answer, accepted("queued"));
    assert_eq!(next(&events.ended), 2);
    assert_eq!(next(&events.begun), 2);
}

#[test]
fn pings_and_unknown_events_wake_nobody() {
    let (server, _script, events) = started(&[1], settings());
    assert_eq!(
        server.deliver("ping", "d-1", b"{\"zen\": \"x\"}"),
        (200, "pong".to_owned())
    );
    assert_eq!(
        server.deliver("made_up", "d-2", &payload(1, "created")),
        accepted("ignored")
    );
    assert_eq!(
        server.deliver("issue_comment", "d-3", b"{}"),
        accepted("ignored")
    );
    assert!(queue_is_empty(&server) && events.begun.try_recv().is_err());
}

/// A replica that does not lead is ready, takes deliveries, and passes on that there is news.
#[test]
fn a_standby_answers_and_rings_and_makes_no_pass_until_it_leads() {
    let (script, events) = Script::new(&[1]);
    script.leads.send_replace(false);
    let server = Server::start(settings(), Arc::clone(&script) as _);
    assert_eq!(server.get("/readyz"), (200, "ready".to_owned()));
    let answer = server.deliver("issue_comment", "d-1", &payload(1, "created"));
    assert_eq!(answer, accepted("passed on"));
    assert_eq!(script.rings.load(Ordering::SeqCst), 1);
    assert!(server.get("/metrics").1.contains("kubemend_leader 0\n"));
    assert!(events.begun.try_recv().is_err());
    script.leads.send_replace(true);
    assert_eq!(next(&events.ended), 1, "the first sweep waited for it");
}

/// What runs when the lead is lost is dropped where it waits, and another leader's work is left alone.
#[test]
fn losing_the_lead_drops_the_running_pass() {
    let (server, script, events) = started(&[1], settings());
    script.shut();
    server.deliver("issue_comment", "d-1", &payload(1, "created"));
    assert_eq!(next(&events.begun), 1);
    script.leads.send_replace(false);
    assert_eq!(next(&events.ended), 1);
    let lost = "kubemend_passes_total{outcome=\"lost\"} 1\n";
    while !server.metrics.text().contains(lost) {
        std::thread::yield_now();
    }
    script.admit(1);
    server.deliver("issue_comment", "d-2", &payload(1, "created"));
    assert!(queue_is_empty(&server) && events.begun.try_recv().is_err());
    script.leads.send_replace(true);
    server.deliver("issue_comment", "d-3", &payload(1, "created"));
    assert_eq!(next(&events.ended), 1);
}

/// Row 56: wrong, missing and cut signatures: 401 without a body, and no work.
#[test]
fn a_forged_delivery_is_turned_away() {
    let (server, _script, events) = started(&[1], settings());
    let body = payload(1, "created");
    let good = sign(SECRET, &body);
    let forged = [
        sign("another secret of the same length", &body),
        sign(SECRET, b"{}"),
        good.replace("sha256", "sha1"),
        good[..good.len() - 1].to_owned(),
        String::new(),
        format!("{good}\r\nx-hub-signature-256: {good}"),
    ];
    for signature in forged {
        let head = head("issue_comment", "d-1", &signature, body.len());
        let answer = Client::new(server.address).send(&head, &body).unwrap();
        assert_eq!(answer, (401, Vec::new()), "{signature}");
    }
    let head =
        head("issue_comment", "d-1", "x", body.len()).replace("x-hub-signature-256: x\r\n", "");
    assert_eq!(
        Client::new(server.address).send(&head, &body).unwrap(),
        (401, Vec::new())
    );
    assert!(queue_is_empty(&server) && events.begun.try_recv().is_err());
    let forged = "kubemend_deliveries_total{event=\"unverified\",outcome=\"forged\"} 7\n";
    assert!(server.metrics.text().contains(forged));
}

/// Row 56: while a secret is being changed, both count.
#[test]
fn two_secrets_count_during_a_rotation() {
    let both = Settings {
        secrets: Some(secrets(&format!("the next webhook secret,{SECRET}"))),
        ..settings()
    };
    let (server, _script, events) = started(&[1], both);
    for (n, secret) in [SECRET, "the next webhook secret"].iter().enumerate() {
        let body = payload(1, "created");
        let head = head(
            "issue_comment",
            &format!("d-{n}"),
            &sign(secret, &body),
            body.len(),
        );
        assert_eq!(
            Client::new(server.address).send(&head, &body).unwrap().0,
            202
        );
        assert_eq!(next(&events.ended), 1);
    }
}

/// T9: a bit of the body or of the signature is flipped: nobody is woken. What is not signed (the
/// name of the event, the id) can at worst be another event of the same repository.
#[test]
fn a_flipped_bit_wakes_nobody() {
    let (server, _script, events) = started(&[1], settings());
    let body = payload(1, "created");
    let signature = sign(SECRET, &body);
    let mut client = Client::new(server.address);
    for at in 0..body.len() {
        let mut body = body.clone();
        body[at] ^= 1 << (at % 8);
        let head = head("issue_comment", "d-1", &signature, body.len());
        assert_eq!(client.send(&head, &body).unwrap().0, 401, "byte {at}");
    }
    for at in "sha256=".len()..signature.len() {
        let mut flipped = signature.clone().into_bytes();
        flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
        let head = head(
            "issue_comment",
            "d-1",
            std::str::from_utf8(&flipped).unwrap(),
            body.len(),
        );
        assert_eq!(client.send(&head, &body).unwrap().0, 401, "digit {at}");
    }
    assert!(queue_is_empty(&server) && events.begun.try_recv().is_err());
}

/// Row 57: GitHub sends a delivery again under the same id.
#[test]
fn a_delivery_counts_once() {
    let (server, _script, events) = started(&[1], settings());
    let body = payload(1, "created");
    assert_eq!(
        server.deliver("issue_comment", "d-1", &body),
        accepted("queued")
    );
    assert_eq!(next(&events.ended), 1);
    assert_eq!(
        server.deliver("issue_comment", "d-1", &body),
        accepted("duplicate")
    );
    assert_eq!(server.deliver("issue_comment", "d-2", &body).0, 202);
    assert_eq!(next(&events.ended), 1);
}

/// Deliveries come late and in any order: the last pass has seen everything that they tell of.
#[test]
fn the_order_of_deliveries_does_not_matter() {
    let (server, script, events) = started(&[1], settings());
    let actions = [
        "closed",
        "labeled",
        "reopened",
        "synchronize",
        "edited",
        "unlabeled",
    ];
    for round in 0..30 {
        script.truth.fetch_add(1, Ordering::SeqCst);
        let action = actions[(round * 5 + 3) % actions.len()];
        let body = payload(1, action);
        let (status, _) = server.deliver("pull_request", &format!("d-{round}"), &body);
        assert_eq!(status, 202);
    }
    let observed = || script.observed.lock().unwrap().get(&1).copied();
    while observed() != Some(30) {
        next(&events.ended);
    }
}

/// Row 57: serial for one repository (the script panics otherwise), several at a time.
#[test]
fn repositories_do_not_wait_for_each_other() {
    let (server, script, events) = started(&[1, 2, 3], settings());
    script.shut();
    for id in [1, 2, 3] {
        server.deliver("issue_comment", &format!("d-{id}"), &payload(id, "created"));
        assert_eq!(next(&events.begun), id);
    }
    for round in 0..20 {
        let answer = server.deliver(
            "issue_comment",
            &format!("e-{round}"),
            &payload(1, "created"),
        );
        assert_eq!(answer, accepted("merged"));
    }
    script.admit(4);
    let mut ended: Vec<u64> = (0..4).map(|_| next(&events.ended)).collect();
    ended.sort_unstable();
    assert_eq!(
        ended,
        [1, 1, 2, 3],
        "twenty wakes during a run are one more run"
    );
    assert_eq!(script.most_at_a_time.load(Ordering::SeqCst), 3);
}

#[test]
fn a_full_queue_says_so_and_takes_the_delivery_later() {
    let small = Settings {
        work: worker::Limits {
            workers: 1,
            waiting: 3,
            ..worker::Limits::default()
        },
        ..settings()
    };
    let (server, script, events) = started(&[1, 2, 3, 4, 5], small);
    script.shut();
    server.deliver("issue_comment", "d-1", &payload(1, "created"));
    assert_eq!(next(&events.begun), 1);
    for id in [2, 3, 4] {
        let answer = server.deliver("issue_comment", &format!("d-{id}"), &payload(id, "created"));
        assert_eq!(answer, accepted("queued"));
    }
    let late = payload(5, "created");
    assert_eq!(
        server.deliver("issue_comment", "d-5", &late),
        (503, "full".to_owned())
    );
    script.admit(5);
    for id in 1..=4 {
        assert_eq!(next(&events.ended), id);
    }
    assert_eq!(
        server.deliver("issue_comment", "d-5", &late),
        accepted("queued")
    );
    assert_eq!(next(&events.ended), 5);
}

#[test]
fn a_pass_that_panics_or_hangs_ends_alone() {
    let impatient = Settings {
        work: worker::Limits {
            workers: 1,
            pass: Duration::from_secs(3),
            ..worker::Limits::default()
        },
        ..settings()
    };
    let (server, script, events) = started(&[1, 2, 3], impatient);
    script
        .behaviour
        .lock()
        .unwrap()
        .insert(1, Behaviour::Panics);
    script.behaviour.lock().unwrap().insert(2, Behaviour::Hangs);
    for (n, id) in [1, 2, 3, 1].into_iter().enumerate() {
        server.deliver("issue_comment", &format!("d-{n}"), &payload(id, "created"));
        assert_eq!(next(&events.ended), id);
    }
    while !queue_is_empty(&server) {
        std::thread::yield_now();
    }
    let text = server.metrics.text();
    assert!(
        text.contains("kubemend_passes_total{outcome=\"panicked\"} 2\n"),
        "{text}"
    );
    assert!(
        text.contains("kubemend_passes_total{outcome=\"late\"} 1\n"),
        "{text}"
    );
}

/// Row 57: killed in the middle of an event, the next start looks at everything again.
#[test]
fn a_kill_loses_nothing() {
    let (server, script, events) = started(&[1, 2], settings());
    script.shut();
    script.truth.store(9, Ordering::SeqCst);
    server.deliver("issue_comment", "d-1", &payload(1, "created"));
    server.deliver("issue_comment", "d-2", &payload(2, "created"));
    next(&events.begun);
    server.kill();
    assert_ne!(
        script.observed.lock().unwrap().get(&1),
        Some(&9),
        "nothing was done"
    );
    // dropped in the middle, one or both
    while !script.running.lock().unwrap().is_empty() {
        next(&events.ended);
    }
    script.admit(100);
    let again = Server::start(settings(), Arc::clone(&script) as _);
    let done = || script.observed.lock().unwrap().values().all(|v| *v == 9);
    while !done() {
        next(&events.ended);
    }
    drop(again);
}

/// Row 66: what runs may end; nothing new is taken.
#[test]
fn a_stop_waits_for_the_running_pass() {
    let (mut server, script, events) = started(&[1, 2], settings());
    script.shut();
    script.truth.store(5, Ordering::SeqCst);
    server.deliver("issue_comment", "d-1", &payload(1, "created"));
    next(&events.begun);
    server.ask_to_stop();
    while TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    script.admit(100);
    assert!(server.wait(), "it ended by itself");
    assert_eq!(script.observed.lock().unwrap().get(&1), Some(&5));
}

/// Row 66: but not for ever.
#[test]
fn a_stop_does_not_wait_for_ever() {
    let hasty = Settings {
        work: worker::Limits {
            drain: Duration::from_millis(100),
            ..worker::Limits::default()
        },
        ..settings()
    };
    let (mut server, script, events) = started(&[1], hasty);
    script.behaviour.lock().unwrap().insert(1, Behaviour::Hangs);
    server.deliver("issue_comment", "d-1", &payload(1, "created"));
    next(&events.begun);
    server.ask_to_stop();
    assert!(!server.wait());
    assert_eq!(next(&events.ended), 1, "the pass was dropped");
}

/// Nothing depends on deliveries: without a secret there is no webhook, and the sweep wakes all.
#[test]
fn without_a_secret_only_the_sweep_wakes() {
    let (script, events) = Script::new(&[1, 2]);
    let polling = Settings {
        secrets: None,
        sweep: Duration::from_millis(20),
        ..settings()
    };
    let server = Server::start(polling, script as _);
    let mut ended: Vec<u64> = (0..6).map(|_| next(&events.ended)).collect();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended, [1, 2]);
    assert_eq!(server.deliver("push", "d-1", &payload(1, "")).0, 404);
    assert_eq!(server.get("/healthz"), (200, "ok".to_owned()));
}

/// Which repositories there are cannot be read: those that are known are looked at nevertheless,
/// and the server still stops when it is told to.
#[test]
fn an_outage_of_the_list_stops_nothing() {
    let (script, events) = Script::new(&[1, 2]);
    let polling = Settings {
        sweep: Duration::from_millis(20),
        ..settings()
    };
    let mut server = Server::start(polling, Arc::clone(&script) as _);
    next(&events.ended);
    script.outage.store(true, Ordering::SeqCst);
    let failed = "kubemend_sweeps_total{outcome=\"failed\"}";
    while !server.metrics.text().contains(failed) {
        next(&events.ended);
    }
    for _ in 0..4 {
        next(&events.ended);
    }
    let known = server.deliver("issue_comment", "d-1", &payload(2, "created"));
    assert_eq!(known.0, 202, "{known:?}");
    server.ask_to_stop();
    assert!(server.wait(), "it ended by itself");
}

#[test]
fn health_and_metrics_are_told() {
    let (server, _script, _events) = started(&[1], settings());
    assert_eq!(server.get("/healthz"), (200, "ok".to_owned()));
    assert_eq!(server.get("/readyz"), (200, "ready".to_owned()));
    assert_eq!(server.get("/webhook/github").0, 405);
    assert_eq!(server.get("/").0, 404);
    let (status, text) = server.get("/metrics");
    assert_eq!(status, 200);
    assert!(
        text.contains("kubemend_passes_total{outcome=\"done\"} 1\n") && text.ends_with("# EOF\n")
    );
}

#[test]
fn a_repository_with_a_new_name_or_a_new_one_is_looked_up() {
    let (server, _script, events) = started(&[1, 2], settings());
    let renamed = String::from_utf8(payload(1, "renamed")).unwrap();
    let renamed = renamed.replace("acme/shop-1", "acme/store");
    assert_eq!(
        server.deliver("repository", "d-1", renamed.as_bytes()),
        accepted("queued")
    );
    let mut ended = [next(&events.ended), next(&events.ended)];
    ended.sort_unstable();
    assert_eq!(ended, [1, 2], "all are looked at");
    let (new, foreign) = (payload(3, "created"), payload(4, "created"));
    let foreign = String::from_utf8(foreign)
        .unwrap()
        .replace("acme/", "other/");
    assert_eq!(
        server.deliver("issue_comment", "d-3", foreign.as_bytes()),
        accepted("ignored")
    );
    assert_eq!(server.deliver("issue_comment", "d-2", &new).0, 202);
}

fn tight() -> Settings {
    Settings {
        bodies: web::Limits {
            body: 10_000,
            bodies: 20_000,
            patience: Duration::from_millis(300),
        },
        connections: listener::Limits {
            connections: 2,
            head: Duration::from_millis(300),
            ..listener::Limits::default()
        },
        ..settings()
    }
}

/// T9: bodies and heads that are too long, and what is no JSON.
#[test]
fn what_is_too_long_or_unreadable_is_refused() {
    let (server, _script, events) = started(&[1], tight());
    let send = |head: &str, body: &[u8]| Client::new(server.address).send(head, body).unwrap();
    let signature = sign(SECRET, b"x");
    assert_eq!(send(&head("push", "d-1", &signature, 10_001), b"").0, 413);
    let chunked = head("push", "d-1", &signature, 0)
        .replace("content-length: 0", "transfer-encoding: chunked");
    let body = format!("2711\r\n{}\r\n0\r\n\r\n", "x".repeat(10_001));
    assert_eq!(send(&chunked, body.as_bytes()).0, 413);
    let many: String = (0..80).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert_eq!(
        send(
            &format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
            b""
        )
        .0,
        431
    );
    let long = "y".repeat(400 << 10);
    assert_eq!(
        send(
            &format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
            b""
        )
        .0,
        431
    );
    let one = head("push", "d-1", &signature, 1);
    assert_eq!(send(&one, b"x"), (400, b"unreadable".to_vec()));
    assert_eq!(
        send(&one.replace("d-1", "d 1"), b"x"),
        (400, b"nameless".to_vec())
    );
    let form = one.replace("application/json", "application/x-www-form-urlencoded");
    assert_eq!(send(&form, b"x"), (415, b"wrong type".to_vec()));
    assert!(queue_is_empty(&server) && events.begun.try_recv().is_err());
}

/// T9: slow clients lose their connection, and the next one gets it.
#[test]
fn slow_clients_do_not_keep_others_out() {
    let (server, _script, _events) = started(&[1], tight());
    let slow = |begin: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        stream
    };
    // two of each, so that the server has no connection left
    let heads: Vec<TcpStream> = vec![slow("POST /webhook/github HT"), slow("")];
    assert_eq!(
        server.get("/healthz").0,
        200,
        "waits until one of them was closed"
    );
    for mut stream in heads {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    let begin = head("push", "d-1", &sign(SECRET, b"x"), 500) + "{";
    let bodies: Vec<TcpStream> = vec![slow(&begin), slow(&begin)];
    for mut stream in bodies {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    let text = server.metrics.text();
    assert!(text.contains("outcome=\"slow\"} 2\n"), "{text}");
}
