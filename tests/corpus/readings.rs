//! What the Go decoder and kustomize were recorded to read.

use kubemend::manifest::readings::{Reading, read};
use kubemend::manifest::split;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::shared;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name, column, reading| {
        shared::trial(name, "design/yaml-differential.jsonl", move |path| {
            let cases = shared::lines(&path);
            let failures: Vec<String> = cases
                .iter()
                .filter_map(|c| failure(c, column, reading))
                .collect();
            println!(
                "{column}: {} of {} as recorded",
                cases.len() - failures.len(),
                cases.len()
            );
            shared::none("cases are read otherwise", &failures)
        })
    };
    vec![
        trial("go_reading_is_as_recorded", "go_sigs_yaml", Reading::Go),
        trial(
            "kustomize_reading_is_as_recorded",
            "kubectl_kustomize",
            Reading::Kustomize,
        ),
    ]
}

fn failure(case: &Value, column: &str, reading: Reading) -> Option<String> {
    let text = case["yaml"].as_str()?;
    let recorded = case[column].as_str()?;
    let first = split(text)[0].of(text);
    let found = read(first, reading);
    let fine = match (&found, recorded.starts_with("ERR ")) {
        (Err(_), refused) => refused,
        (Ok(_), true) => false,
        (Ok(value), false) => equal(value, &serde_json::from_str(recorded).ok()?),
    };
    (!fine).then(|| format!("{}: {text:?} is {recorded}, found {found:?}", case["case"]))
}

/// Equal, numbers by their value.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(a, b)| equal(a, b))
        }
        _ => a == b,
    }
}
