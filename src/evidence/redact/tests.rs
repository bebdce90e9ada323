#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn clean(input: &str) -> String {
    text(input).into_string()
}

/// Builds a token at run time, so that no scanner takes this file for a leak.
fn token(prefix: &str, alphabet: &str, length: usize) -> String {
    let body: String = alphabet.chars().cycle().take(length).collect();
    format!("{prefix}{body}")
}

const ALNUM: &str = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0z";
const HEX: &str = "0a1b2c3d4e5f6789";
const UPPER: &str = "ABCDEFGHJKLMNPQR234567";

#[test]
fn every_token_shape_is_found() {
    let shapes = [
        token("AKIA", UPPER, 16),
        token("AIza", ALNUM, 35),
        token("ya29.", ALNUM, 40),
        token("GOCSPX-", ALNUM, 28),
        token("dop_v1_", HEX, 64),
        token("hvs.", ALNUM, 90),
        token("ghp_", ALNUM, 36),
        token("github_pat_", ALNUM, 60),
        token("glpat-", ALNUM, 20),
        token("npm_", ALNUM, 36),
        token("pypi-AgE", ALNUM, 100),
        token("dckr_pat_", ALNUM, 27),
        token("xoxb-", "0123456789", 24),
        token("sk_live_", ALNUM, 24),
        token("whsec_", ALNUM, 32),
        token("SG.", ALNUM, 22) + &token(".", ALNUM, 43),
        token("sk-", ALNUM, 48),
        token("sk-proj-", ALNUM, 60),
        token("sk-ant-", ALNUM, 60),
        token("hf_", ALNUM, 34),
        token("gsk_", ALNUM, 52),
        token("glsa_", ALNUM, 41),
        token("eyJ", ALNUM, 30) + &token(".eyJ", ALNUM, 40) + &token(".", ALNUM, 43),
        token("AGE-SECRET-KEY-1", UPPER, 58),
        token("dapi", HEX, 32),
        token("$2b$10$", ALNUM, 53),
    ];
    for secret in shapes {
        let line = format!("2026-01-02 start: using {secret} for the call");
        let shown = clean(&line);
        assert!(!shown.contains(&secret), "{line} -> {shown}");
        assert_eq!(shown.len(), line.len(), "{shown}");
        assert!(shown.starts_with("2026-01-02 start: using "), "{shown}");
    }
}

#[test]
fn secrets_are_found_beside_what_names_them() {
    let cases = [
        ("postgres://app:tr0ub4dor@db:5432/shop", "tr0ub4dor"),
        ("redis://:p%40ssw0rd@cache:6379", "p%40ssw0rd"),
        ("Authorization: Bearer abc.def.ghi123", "abc.def.ghi123"),
        ("authorization=Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("X-Api-Key: 7f3kq0", "7f3kq0"),
        ("Server=db;User Id=sa;Password=Str0ngOne;", "Str0ngOne"),
        ("DB_PASSWORD=hunter2 ./run", "hunter2"),
        ("export API_KEY='zz91 kk'", "zz91 kk"),
        (r#"{"client_secret":"Zq8vT1"}"#, "Zq8vT1"),
        (r#"{\"token\":\"Zq8vT1aa\"}"#, "Zq8vT1aa"),
        ("password: correct-horse", "correct-horse"),
        ("  - --db-password=Xy12ab", "Xy12ab"),
        ("run --api-token Xy12ab now", "Xy12ab"),
        ("- --password\n- Xy12ab\n", "Xy12ab"),
        ("- name: SMTP_PASSWORD\n  value: opensesame\n", "opensesame"),
        (
            r#"{"name":"JWT_SECRET","value":"open sesame"}"#,
            "open sesame",
        ),
        (
            "https://x.blob.core/c?sv=2&sig=abcdefghijklmnopqrstuvwxyz0123456789%3D",
            "abcdefghijklmnopqrstuvwxyz0123456789",
        ),
        (
            r#"{"auths":{"r.io":{"auth":"dXNlcjpwYXNz"}}}"#,
            "dXNlcjpwYXNz",
        ),
        ("CREATE USER a IDENTIFIED BY 'letmein'", "letmein"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----",
            "MIIabc",
        ),
        (
            "token mismatch, got aB3dE5gH7jK9mN1pQ2rS4tU6",
            "aB3dE5gH7jK9mN1pQ2rS4tU6",
        ),
    ];
    for (line, secret) in cases {
        let shown = clean(line);
        assert!(!shown.contains(secret), "{line} -> {shown}");
        assert_eq!(shown.len(), line.len(), "{shown}");
        assert_eq!(clean(&shown), shown, "a second pass changes nothing");
    }
}

#[test]
fn normal_text_stays_readable() {
    let lines = [
        "image: registry.local:5000/shop/cart@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "uid: 5f0c1d7e-8a52-4b1c-9d0e-6c2f3b4a5d6e",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b (HEAD -> main)",
        "cart-7d9f8b6c5d-x2x9z   0/1   CrashLoopBackOff   12 (3m ago)",
        "MountVolume.SetUp failed for volume \"creds\" : secret \"db-credentials\" not found",
        "Error: couldn't find key password in Secret shop/db-credentials",
        "secretName: cart-tls",
        "        secretKeyRef:\n          key: password\n          name: db-credentials",
        "automountServiceAccountToken: false",
        "- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db",
        "nginx.ingress.kubernetes.io/auth-secret: basic-auth",
        "Unable to attach or mount volumes: unmounted volumes=[kube-api-access-token], timed out",
        "error parsing token: unexpected end of input",
        "panic: password authentication failed for user \"app\"",
        "GET /api/v1/namespaces/shop/secrets?limit=500 403 Forbidden",
        "http://cart.shop.svc:8080/health?from=a@b",
        "https://github.com/acme/shop.git",
        "PASSWORD=$(DB_PASSWORD) TOKEN=${TOKEN}",
        "password_file: /run/secrets/db",
        "- secretKey: S3_ACCESS_KEY_ID\n  remoteRef:\n    key: shop",
        "curl -H \"Authorization: Bearer ${TOKEN}\" http://api",
        "cookie:\n  regex: \"^(.*?;)?(type=insider)(;.*)?$\"",
        "redis://:<password>@cache:6379",
        "token: /var/run/secrets/kubernetes.io/serviceaccount/token",
        "max_token: 4096",
        "E0102 reflector.go:138] failed to list *v1.Secret: forbidden",
        "checksum/config: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "cpu: 100m\nmemory: 256Mi\nreplicas: 3",
        "desk-learning-model-serving-deployment sk-learn-model-serving-deployment-v2",
        "requests.memory: 12Gi, used: 11Gi, limited: 12Gi",
    ];
    for line in lines {
        assert_eq!(clean(line), line);
    }
}

#[test]
fn a_known_secret_is_found_in_every_other_form() {
    let secret = "Tr0ub4dor&Horse-Staple";
    let redactor = Redactor::default().learn(
        [],
        [&json!({"env": [{"name": "APP_PASSWORD", "value": secret}]})],
    );
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    let forms = [
        secret,
        &secret[4..],
        &secret[..secret.len() - 7],
        &secret[3..secret.len() - 4],
        &hex,
        "VHIwdWI0ZG9yJkhvcnNlLVN0YXBs",
        "OlRyMHViNGRvciZIb3JzZS1TdGFwbG",
        "Tr0ub4dor%26Horse-Staple",
    ];
    for form in forms {
        let line = format!("login with <{form}> failed");
        let shown = redactor.text(&line);
        assert!(holds_placeholder(&shown), "{line} -> {shown}");
        let longest = secret
            .as_bytes()
            .windows(9)
            .any(|w| shown.as_bytes().windows(9).any(|s| s == w));
        assert!(!longest, "{line} -> {shown}");
        assert_eq!(shown.len(), line.len());
    }
}

#[test]
fn a_secret_in_git_is_known_as_written_and_decoded() {
    let object = json!({"kind": "Secret", "data": {"pw": "czNjcmV0LXZhbHVlLTk5"},
        "stringData": {"other": "0ther-Val-77"}});
    let redactor = Redactor::default().learn([], [&object]);
    let shown = redactor.text("s3cret-value-99 and 0ther-Val-77 and czNjcmV0LXZhbHVlLTk5");
    assert!(!shown.contains("s3cret") && !shown.contains("0ther") && !shown.contains("czNj"));
}

#[test]
fn words_of_the_language_are_not_learned() {
    let object = json!({"env": [{"name": "PASSWORD", "value": "postgres"}]});
    let redactor = Redactor::default().learn([], [&object]);
    let line = "connecting to postgres at 10.0.0.7";
    assert_eq!(redactor.text(line).as_str(), line);
}

#[test]
fn the_same_secret_has_the_same_name_and_another_key_another_one() {
    let line = format!("a {0} b {0}", token("ghp_", ALNUM, 36));
    let shown = clean(&line);
    let parts: Vec<&str> = shown.split(' ').collect();
    assert_eq!(parts.get(1), parts.get(3));
    let other = Redactor::with_key(b"another key").text(&line);
    assert_ne!(other.as_str(), shown);
}

#[test]
fn objects_keep_their_shape() {
    let object = json!({"spec": {"env": [
        {"name": "API_TOKEN", "value": "abc123xyz"},
        {"name": "LOG_LEVEL", "value": "debug"},
    ], "password": "letmein", "secretName": "cart-tls"}});
    let shown = Redactor::default().object(&object);
    assert_eq!(shown["spec"]["env"][1], object["spec"]["env"][1]);
    assert_eq!(shown["spec"]["secretName"], "cart-tls");
    let printed = shown.to_string();
    assert!(!printed.contains("abc123xyz") && !printed.contains("letmein"));
}

#[test]
fn a_credential_prints_as_nothing() {
    let secret = Secret::new("  sk-abc \n");
    assert_eq!(secret.expose(), "sk-abc");
    let printed = format!("{secret:?}|{secret}|{:?}", Some(&secret));
    assert!(!printed.contains("sk-abc"), "{printed}");
}

/// Hostile input costs no more than the same amount of other text: matched bytes are counted by
/// the engine in linear time, so the test asks only that these end, at full size.
#[test]
fn hostile_input_ends() {
    let patterns = [
        "password=",
        "password:",
        "token token ",
        "-----BEGIN PRIVATE KEY-----",
        "eyJa.eyJ",
        "://a:",
        "://a:b",
        "name: token ",
        "\"name\":\"token\",",
        "--password ",
        "a=",
        "=====",
        "Authorization: ",
        "bearer ",
        "cookie:",
        "\\\"",
        "xoxb-",
        "AKIA",
        "sk-",
        "$2b$10$",
        "\u{202e}\u{200b}",
        "é=ü",
        "\0",
        "\n",
        " ",
        "[REDACTED:",
        "***",
    ];
    for pattern in patterns {
        let hostile = pattern.repeat((256 << 10) / pattern.len());
        let _ = clean(&hostile);
    }
    let huge = "a".repeat(3 << 20);
    assert_eq!(
        clean(&huge).len(),
        1 << 20,
        "the rest is dropped, not passed on"
    );
}

proptest::proptest! {
    #[test]
    fn nothing_panics_and_lengths_stay(input in ".{0,300}") {
        let shown = clean(&input);
        proptest::prop_assert!(shown.len() >= input.len());
    }
}
