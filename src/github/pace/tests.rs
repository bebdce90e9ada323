#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn limit(wait: Option<u64>, only: Option<Resource>) -> Limit {
    Limit {
        wait: wait.map(Duration::from_secs),
        only,
        message: "secondary rate limit".to_owned(),
    }
}

async fn seconds(governor: &Governor, load: Load) -> u64 {
    let before = Instant::now();
    drop(governor.enter(load, Resource::Rest).await.unwrap());
    before.elapsed().as_secs()
}

/// Scorecard row 58: a hundred callers at the same time are one writer after the other, a second apart.
#[tokio::test(start_paused = true)]
async fn a_hundred_callers_write_one_after_the_other() {
    let pace = Pace {
        per_minute: usize::MAX,
        ..Pace::default()
    };
    let governor = Arc::new(Governor::new(pace));
    let inside = Arc::new(AtomicUsize::new(0));
    let before = Instant::now();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (governor, inside) = (governor.clone(), inside.clone());
            tokio::spawn(async move {
                let pass = governor.enter(Load::Create, Resource::Rest).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "alone");
                tokio::time::sleep(Duration::from_millis(250)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(pass);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // a quarter of a second each, and a second between the end of one and the start of the next
    assert_eq!(before.elapsed().as_millis(), 100 * 250 + 99 * 1000);
}

#[tokio::test(start_paused = true)]
async fn readers_do_not_wait_for_writers_but_are_not_too_many() {
    let governor = Governor::new(Pace {
        concurrent: 3,
        ..Pace::default()
    });
    let writer = governor.enter(Load::Write, Resource::Rest).await.unwrap();
    let first = governor.enter(Load::Light, Resource::Rest).await.unwrap();
    let second = governor.enter(Load::Light, Resource::Rest).await.unwrap();
    let third = governor.enter(Load::Light, Resource::Rest);
    let waited = tokio::time::timeout(Duration::from_secs(5), third).await;
    assert!(waited.is_err(), "a fourth request at the same time");
    drop(first);
    assert_eq!(seconds(&governor, Load::Light).await, 0);
    drop((writer, second));
}

#[tokio::test(start_paused = true)]
async fn creations_stay_within_the_budgets_of_a_minute_and_of_an_hour() {
    let governor = Governor::new(Pace {
        between_writes: Duration::ZERO,
        ..Pace::default()
    });
    for _ in 0..80 {
        assert_eq!(seconds(&governor, Load::Create).await, 0);
    }
    assert_eq!(seconds(&governor, Load::Create).await, 60);
    // changes that create nothing are not counted
    for _ in 0..300 {
        assert_eq!(seconds(&governor, Load::Write).await, 0);
    }
    let mut made = 81;
    let error = loop {
        match governor.enter(Load::Create, Resource::Rest).await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(made, 500);
    let Error::Limited { message, .. } = error else {
        panic!("{error}");
    };
    assert!(message.contains("own budget"), "{message}");
    tokio::time::advance(HOUR).await;
    assert_eq!(seconds(&governor, Load::Create).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_is_waited_for_and_a_long_one_is_told() {
    let governor = Governor::new(Pace::default());
    governor.met(&limit(Some(30), None));
    assert_eq!(seconds(&governor, Load::Light).await, 30);
    assert_eq!(seconds(&governor, Load::Light).await, 0, "it is over");
    let before = Timestamp::now();
    governor.met(&limit(Some(600), None));
    let error = governor
        .enter(Load::Light, Resource::Rest)
        .await
        .err()
        .unwrap();
    let Error::Limited { until, message } = &error else {
        panic!("{error}");
    };
    assert!(*until > before && message == "secondary rate limit");
    assert!(error.is_outage());
    tokio::time::advance(Duration::from_secs(545)).await;
    assert_eq!(seconds(&governor, Load::Light).await, 55);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_resource_does_not_stop_the_other() {
    let governor = Governor::new(Pace::default());
    governor.met(&limit(Some(600), Some(Resource::GraphQl)));
    assert_eq!(seconds(&governor, Load::Write).await, 0);
    assert!(
        governor
            .enter(Load::Light, Resource::GraphQl)
            .await
            .is_err()
    );
    // a shorter limit that comes later does not end the longer one
    governor.met(&limit(Some(1), Some(Resource::GraphQl)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(
        governor
            .enter(Load::Light, Resource::GraphQl)
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn limits_without_a_time_grow_until_an_answer_passes() {
    let governor = Governor::new(Pace {
        patience: HOUR,
        ..Pace::default()
    });
    let mut waits = Vec::new();
    for _ in 0..6 {
        governor.met(&limit(None, None));
        waits.push(seconds(&governor, Load::Light).await);
    }
    assert_eq!(waits, [60, 120, 240, 480, 900, 900]);
    governor.passed();
    governor.met(&limit(None, None));
    assert_eq!(seconds(&governor, Load::Light).await, 60);
    governor.met(&limit(Some(u64::MAX), None));
    assert!(
        governor.enter(Load::Light, Resource::Rest).await.is_err(),
        "no overflow"
    );
}

#[test]
fn a_back_off_doubles_and_varies() {
    let first = Duration::from_millis(500);
    for attempt in 0..40 {
        let wait = backoff(first, attempt);
        let most = first * (1 << attempt.min(6));
        assert!(wait >= most / 2 && wait <= most, "{attempt}: {wait:?}");
    }
    let differing: std::collections::BTreeSet<Duration> =
        (0..50).map(|_| backoff(first, 3)).collect();
    assert!(differing.len() > 10);
    assert_eq!(backoff(Duration::ZERO, 2), Duration::ZERO);
}
