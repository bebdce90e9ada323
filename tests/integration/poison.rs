//! One poisoned object never stops the rest: detectors, plays and evidence survive any shape.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kubemend::case::{Case, Report};
use kubemend::detect::{View, detect};
use kubemend::evidence;
use kubemend::locate::{Policy, Repository};
use kubemend::object::Object;
use kubemend::propose::playbook;
use kubemend::repo::Checkout;
use kubemend::snapshot::Snapshot;
use serde_json::{Value, json};

/// A small deterministic generator: the same seed gives the same objects on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }
}

fn poison(dice: &mut Dice) -> Value {
    let all = [
        Value::Null,
        json!(""),
        json!("x".repeat(5_000)),
        json!(-1),
        json!(i64::MAX),
        json!(1.5e300),
        json!([]),
        json!({}),
        json!([[[[]]]]),
        json!([null, 1, "a", {"name": null}]),
        json!({"name": {"name": []}}),
        json!(true),
        json!("\u{0}\u{202e}\u{1f600}"),
        json!("0/0 nodes are available: : ,, ."),
        json!("9".repeat(400)),
        json!("1e9999"),
        json!("@@@:::///"),
        json!("{{ .Values }}"),
    ];
    all[dice.roll(all.len())].clone()
}

/// Replaces one random value somewhere in the object.
fn mutate(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(map) if !map.is_empty() && dice.roll(12) > 0 => {
            let index = dice.roll(map.len());
            if let Some((_, inner)) = map.iter_mut().nth(index) {
                mutate(inner, dice);
            }
        }
        Value::Array(items) if !items.is_empty() && dice.roll(12) > 0 => {
            let index = dice.roll(items.len());
            mutate(&mut items[index], dice);
        }
        other => *other = poison(dice),
    }
}

#[test]
fn two_thousand_poisoned_objects_stop_nothing() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo");
    // the raw items, Events included
    let text = std::fs::read_to_string(demo.join("snapshot.yaml")).unwrap();
    let list = kubemend::manifest::read_stream(&text).unwrap().remove(0);
    let clean = list["items"].as_array().unwrap();
    let checkout = Checkout::open(&demo.join("repo")).unwrap();
    let repository = Repository::open(&checkout.files, None, Some("shop"), Policy::default());
    let report = Report {
        kind: "user-report".into(),
        namespace: Some("shop".into()),
        text: "web, cart and api are broken".into(),
    };
    let mut dice = Dice(20_261_124);
    for round in 0..200 {
        let mut objects = clean.clone();
        for _ in 0..10 {
            let index = dice.roll(objects.len());
            mutate(&mut objects[index], &mut dice);
        }
        let objects = objects.into_iter().filter_map(Object::new).collect();
        let snapshot = Snapshot::new(objects, BTreeMap::new());
        let report = (round % 2 == 0).then_some(&report);
        let now = jiff::Timestamp::from_second(1_777_886_000).unwrap();
        let view = View {
            snapshot: &snapshot,
            desired: &repository.desired,
            report,
            now,
            grace: Duration::from_secs(60),
        };
        let findings = detect(&view);
        assert!(
            findings.len() < 200,
            "round {round}: {} findings",
            findings.len()
        );
        for finding in &findings {
            let case = Case {
                said: &kubemend::case::NOTHING_SAID,
                finding,
                others: &findings,
                snapshot: &snapshot,
                desired: &repository.desired,
                earlier: &[],
                report,
                now,
            };
            let _ = playbook::answer(&case);
            let _ = evidence::gather(&case);
        }
    }
}
