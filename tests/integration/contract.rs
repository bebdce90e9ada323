//! The public JSON contract and the configuration's schema are generated and committed.

use std::path::Path;

/// Compares a generated text with its committed file; KUBEMEND_BLESS=1 writes it.
fn current(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schema")
        .join(file);
    if std::env::var_os("KUBEMEND_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, generated,
        "schema/{file} is out of date: run KUBEMEND_BLESS=1 cargo test contract"
    );
}

#[test]
fn the_schema_of_fix_is_current() {
    let schema = schemars::schema_for!(kubemend::output::Report);
    current(
        "fix.schema.json",
        &(serde_json::to_string_pretty(&schema).unwrap() + "\n"),
    );
}

#[test]
fn the_schema_of_scan_is_current() {
    let schema = schemars::schema_for!(kubemend::scan::report::Report);
    current(
        "scan.schema.json",
        &(serde_json::to_string_pretty(&schema).unwrap() + "\n"),
    );
}

#[test]
fn the_schema_of_the_configuration_is_current() {
    current(
        "kubemend.schema.json",
        &(kubemend::config::Config::schema() + "\n"),
    );
}
