//! T9: forged deliveries by the ten thousand, with bodies from nothing to the largest.
//!
//! The table: `cargo test --test integration serve_flood -- --nocapture`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use crate::serve_stub::{Client, SECRET, Script, Server, head, payload, settings, sign};

/// Sizes of bodies, and how many of the 100,000 deliveries have each.
const SIZES: [(usize, usize); 7] = [
    (0, 20_000),
    (200, 40_000),
    (4 << 10, 30_000),
    (64 << 10, 9_500),
    (1 << 20, 460),
    (8 << 20, 30),
    (25 << 20, 10),
];
/// How many are sent at a time.
const CLIENTS: usize = 32;
/// How a delivery is forged. The body of the first two has to be read and hashed to see it.
const WAYS: [&str; 5] = ["wrong secret", "other body", "missing", "cut", "sha1"];
const READ: usize = 2;
/// From here on a body can meet a budget that others have used up.
const LARGE: usize = 64 << 10;

/// So much memory more than before may be in use afterwards: what 32 connections, the budget for
/// bodies and the allocator's slack come to. Without the budget, 32 bodies of 25 MiB are 800 MiB.
const MOST_MORE: usize = 256 << 20;

#[test]
fn a_hundred_thousand_forged_deliveries_queue_nothing() {
    let (script, events) = Script::new(&[]);
    let server = Server::start(settings(), Arc::clone(&script) as _);
    let body: Vec<u8> = (0..25_usize << 20).map(|n| (n % 251) as u8).collect();
    let plan: Vec<usize> = SIZES
        .iter()
        .flat_map(|(size, number)| vec![*size; *number])
        .collect();
    let before = rss();
    let (at, peak) = (AtomicUsize::new(0), AtomicUsize::new(before));
    let (told, answers) = channel();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (told, plan, body, at, peak, server) =
                (told.clone(), &plan, &body, &at, &peak, &server);
            scope.spawn(move || {
                let mut client = Client::new(server.address);
                loop {
                    let n = at.fetch_add(1, Ordering::SeqCst);
                    // large and small ones mixed
                    let Some(size) = plan.get(n * 7_919 % plan.len()).filter(|_| n < plan.len())
                    else {
                        break;
                    };
                    let way = n % WAYS.len();
                    let status = forge(&mut client, server, way, &body[..*size]);
                    told.send((*size, way, status)).unwrap();
                    if n.is_multiple_of(64) {
                        peak.fetch_max(rss(), Ordering::SeqCst);
                    }
                }
            });
        }
        drop(told);
    });
    let mut table: BTreeMap<(usize, &str, u16), usize> = BTreeMap::new();
    let mut unread = Vec::new();
    for (size, way, status) in answers {
        *table.entry((size, WAYS[way], status)).or_default() += 1;
        if way < READ && status != 401 {
            unread.push((size, way));
        }
    }
    let (after, peak) = (rss(), peak.load(Ordering::SeqCst));
    println!(
        "{:>10} {:>14} {:>6} {:>7}",
        "bytes", "forged by", "answer", "number"
    );
    for ((size, way, status), number) in &table {
        println!("{size:>10} {way:>14} {status:>6} {number:>7}");
    }
    let mib = |bytes: usize| bytes >> 20;
    println!(
        "{} deliveries; memory before {} MiB, at most {} MiB, after {} MiB",
        plan.len(),
        mib(before),
        mib(peak),
        mib(after)
    );
    let sent: usize = table.values().sum();
    assert_eq!(sent, plan.len());
    // 503 where the bodies of that moment are over the budget; 0 where the server hung up on a body
    // that cannot be genuine, before it had read it
    assert!(
        table
            .keys()
            .all(|(_, _, status)| [401, 503, 0].contains(status)),
        "{table:?}"
    );
    assert!(
        table
            .keys()
            .all(|(size, _, status)| *status == 401 || *size >= LARGE),
        "{table:?}"
    );
    // a flood uses the budget up, but keeps no body out for good: one by one, those that met no room
    // are read to their end, the largest too, and only then known as forged
    let mut client = Client::new(server.address);
    println!("{} sent once more, one by one", unread.len());
    for (size, way) in &unread {
        let status = forge(&mut client, &server, *way, &body[..*size]);
        assert_eq!(status, 401, "{size} bytes, {}", WAYS[*way]);
    }
    for (size, number) in SIZES.iter().filter(|(size, _)| *size >= LARGE) {
        for (way, name) in WAYS.iter().enumerate().take(READ) {
            let at_once = table.get(&(*size, *name, 401)).copied().unwrap_or(0);
            let later = unread.iter().filter(|u| **u == (*size, way)).count();
            assert_eq!(at_once + later, number / WAYS.len(), "{size} bytes, {name}");
        }
    }
    assert!(peak <= before + MOST_MORE, "{} MiB", mib(peak));
    assert!(events.begun.try_recv().is_err(), "no work");
    assert!(server.metrics.text().contains("kubemend_queue_length 0\n"));
    // and it still works
    let genuine = server.deliver("issue_comment", "d-1", &payload(1, "created"));
    assert_eq!(genuine.0, 202);
}

/// Sends one, and returns the answer's status; 0 when the server hung up.
fn forge(client: &mut Client, server: &Server, way: usize, body: &[u8]) -> u16 {
    let signature = match WAYS[way] {
        "wrong secret" => sign("another webhook secret", b"precomputed"),
        "other body" => sign(SECRET, b"another body"),
        "cut" => sign(SECRET, b"another body")[..70].to_owned(),
        "sha1" => "sha1=0123456789abcdef0123456789abcdef01234567".to_owned(),
        _ => String::new(),
    };
    let mut head = head("issue_comment", "d-1", &signature, body.len());
    if WAYS[way] == "missing" {
        head = head.replace("x-hub-signature-256: \r\n", "");
    }
    // as every client does when a connection that was used before turns out to be closed
    let answer = client.send(&head, body).or_else(|_| {
        *client = Client::new(server.address);
        client.send(&head, body)
    });
    let Ok((status, said)) = answer else {
        *client = Client::new(server.address);
        return 0;
    };
    assert!(status != 401 || said.is_empty());
    status
}

/// Memory in use by this process, in bytes.
fn rss() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
