//! A GitHub App's key, and the short-lived tokens (RS256) that it signs; and who does TLS. The only
//! user of ring here.

use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{Error, Result};

/// Issued a minute ago: GitHub refuses tokens from the future, and clocks differ.
const BACKDATED: i64 = 60;
/// Expires within the ten minutes that GitHub allows, counted from now.
const LIFETIME: i64 = 540;
/// A difference of clocks that is worth a second try.
const NOTABLE_SKEW: i64 = 30;

/// An App's identity.
pub(super) struct AppKey {
    id: String,
    pair: RsaKeyPair,
    /// Seconds that GitHub's clock is ahead of ours.
    skew: AtomicI64,
}

impl AppKey {
    /// From the App's id (or client id) and its private key in PEM, PKCS#1 or PKCS#8.
    pub(super) fn new(id: &str, pem: &SecretString) -> Result<Self> {
        let unusable = |why: &str| Error::Invalid(format!("the App's private key {why}"));
        if id.is_empty()
            || !id
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            return Err(Error::Invalid("the App's id is empty or odd".to_owned()));
        }
        let (format, der) = decoded(pem.expose_secret()).map_err(unusable)?;
        let pair = match format {
            Format::Pkcs1 => RsaKeyPair::from_der(&der),
            Format::Pkcs8 => RsaKeyPair::from_pkcs8(&der),
        };
        let pair = pair.map_err(|e| unusable(&format!("is refused: {e}")))?;
        Ok(Self {
            id: id.to_owned(),
            pair,
            skew: AtomicI64::new(0),
        })
    }

    /// A token that proves that we are the App.
    pub(super) fn token(&self, now: Timestamp) -> Result<SecretString> {
        let now = now
            .as_second()
            .saturating_add(self.skew.load(Ordering::Relaxed));
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let claims = json!({"iat": now - BACKDATED, "exp": now + LIFETIME, "iss": self.id});
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Error::Invalid("the App's private key does not sign".to_owned()))?;
        let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
        Ok(SecretString::from(token))
    }

    /// Learns GitHub's clock; whether it differs enough from what was assumed to try again.
    pub(super) fn learn_clock(&self, theirs: Timestamp, ours: Timestamp) -> bool {
        let skew = theirs.as_second().saturating_sub(ours.as_second());
        let before = self.skew.swap(skew, Ordering::Relaxed);
        skew.abs_diff(before) > NOTABLE_SKEW.unsigned_abs()
    }
}

/// TLS with ring, once a process; another provider that is there already is as good.
pub(super) fn install_tls() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

enum Format {
    Pkcs1,
    Pkcs8,
}

/// The bytes of a PEM. Never tells what stands in it.
fn decoded(pem: &str) -> std::result::Result<(Format, Vec<u8>), &'static str> {
    // variables often hold the two characters `\n` instead of a line end
    let pem = pem.replace("\\n", "\n");
    let (_, rest) = pem.split_once("-----BEGIN ").ok_or("is no PEM")?;
    let (label, rest) = rest.split_once("-----").ok_or("is no PEM")?;
    let end = format!("-----END {label}-----");
    let (body, _) = rest.split_once(&end).ok_or("has no end")?;
    let format = match label {
        "RSA PRIVATE KEY" if body.contains("Proc-Type") => return Err("is encrypted"),
        "RSA PRIVATE KEY" => Format::Pkcs1,
        "PRIVATE KEY" => Format::Pkcs8,
        "ENCRYPTED PRIVATE KEY" => return Err("is encrypted"),
        _ => return Err("is of another kind: an RSA key from the App's settings is wanted"),
    };
    let packed: String = body.split_whitespace().collect();
    let der = STANDARD.decode(packed).map_err(|_| "is not base64")?;
    Ok((format, der))
}

#[cfg(test)]
mod tests;
