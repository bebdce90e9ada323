#![allow(clippy::unwrap_used)]

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::*;

/// A key that guards nothing: PKCS#1, made for these tests. Its PEM is put together here, so that
/// no scanner takes this file for a leak.
const KEY: &str = include_str!("testkey.b64");

fn pem(label: &str, body: &str) -> SecretString {
    SecretString::from(format!(
        "-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"
    ))
}

fn pkcs1() -> SecretString {
    pem("RSA PRIVATE KEY", KEY)
}

/// PKCS#8 is PKCS#1 in an envelope.
fn pkcs8() -> SecretString {
    let inner = STANDARD
        .decode(KEY.split_whitespace().collect::<String>())
        .unwrap();
    let length = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let mut all = vec![0x30, 0x82];
    all.extend(length(inner.len() + 22));
    all.extend([
        2, 1, 0, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0, 4, 0x82,
    ]);
    all.extend(length(inner.len()));
    all.extend(inner);
    pem("PRIVATE KEY", &STANDARD.encode(all))
}

/// The claims of a token whose signature is good.
fn claims(key: &AppKey, token: &SecretString) -> Value {
    let (text, signature) = token.expose_secret().rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.pair.public().as_ref());
    public
        .verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let (header, claims) = text.split_once('.').unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.decode(header).unwrap(),
        br#"{"alg":"RS256","typ":"JWT"}"#
    );
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// Scorecard row 59.
#[test]
fn both_forms_of_key_sign_a_token_that_github_takes() {
    let escaped = pkcs1().expose_secret().replace('\n', "\\n");
    let windows = pkcs8().expose_secret().replace('\n', "\r\n");
    for pem in [pkcs1(), pkcs8(), escaped.into(), windows.into()] {
        let key = AppKey::new("Iv23liABC.def", &pem).unwrap();
        let claims = claims(&key, &key.token(now()).unwrap());
        assert_eq!(claims["iss"], "Iv23liABC.def");
        assert_eq!(claims["iat"], 1_800_000_000 - 60);
        assert_eq!(claims["exp"], 1_800_000_000 + 540);
    }
}

#[test]
fn a_clock_that_is_wrong_is_corrected_once() {
    let key = AppKey::new("7", &pkcs1()).unwrap();
    let theirs = Timestamp::from_second(1_800_000_500).unwrap();
    assert!(key.learn_clock(theirs, now()), "worth another try");
    assert!(!key.learn_clock(theirs, now()), "nothing new");
    let claims = claims(&key, &key.token(now()).unwrap());
    assert_eq!(claims["iat"], 1_800_000_500 - 60);
}

#[test]
fn a_key_that_cannot_be_used_is_refused_without_telling_it() {
    let body = KEY.trim();
    let half = body.get(..400).unwrap();
    let cases = [
        "".into(),
        "hello".into(),
        "-----BEGIN RSA PRIVATE KEY-----".into(),
        format!("-----BEGIN RSA PRIVATE KEY-----\n{body}").into(),
        pem("RSA PRIVATE KEY", half),
        pem("RSA PRIVATE KEY", "%%%"),
        pem(
            "RSA PRIVATE KEY",
            &format!("Proc-Type: 4,ENCRYPTED\n\n{body}"),
        ),
        pem("ENCRYPTED PRIVATE KEY", body),
        pem("PRIVATE KEY", body),
        pem("OPENSSH PRIVATE KEY", body),
        pem("EC PRIVATE KEY", body),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|pem| AppKey::new("7", pem).err().unwrap().to_string())
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    refused: the App's private key is no PEM
    refused: the App's private key is no PEM
    refused: the App's private key has no end
    refused: the App's private key has no end
    refused: the App's private key is refused: InvalidEncoding
    refused: the App's private key is not base64
    refused: the App's private key is encrypted
    refused: the App's private key is encrypted
    refused: the App's private key is refused: InvalidEncoding
    refused: the App's private key is of another kind: an RSA key from the App's settings is wanted
    refused: the App's private key is of another kind: an RSA key from the App's settings is wanted
    "#);
    assert!(!said.join(" ").contains(half.get(..20).unwrap()));
    for id in ["", "a b", "7\"", "7\n"] {
        assert!(AppKey::new(id, &pkcs1()).is_err(), "{id:?}");
    }
}
