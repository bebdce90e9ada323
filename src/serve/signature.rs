//! Whether a delivery was signed by the forge: HMAC-SHA256 over the raw bytes. Pure.
//!
//! The body is hashed while it arrives, for each active secret at once, so that a secret can be
//! changed without losing a delivery: the new one is added, GitHub is told, the old one is removed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The length of SHA-256 in bytes.
const LENGTH: usize = 32;

/// The secrets that count at this time.
#[derive(Clone)]
pub struct Secrets(Vec<SecretString>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Secrets that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// None.
    #[error("there is no webhook secret, so nothing could be trusted")]
    None,
    /// Hashing each body for each of them would cost too much.
    #[error("more than {} webhook secrets", Secrets::MOST)]
    TooMany,
    /// Can be guessed.
    #[error("a webhook secret has fewer than {} characters", Secrets::SHORTEST)]
    TooShort,
}

impl Secrets {
    /// How many secrets can be active at once.
    pub const MOST: usize = 4;
    /// How long a secret is at least.
    pub const SHORTEST: usize = 16;

    /// From a list that is separated by commas or line ends.
    pub fn parse(text: &SecretString) -> Result<Self, Unusable> {
        let words = text.expose_secret().split([',', '\n']).map(str::trim);
        let words: Vec<&str> = words.filter(|w| !w.is_empty()).collect();
        if words.is_empty() {
            return Err(Unusable::None);
        }
        if words.len() > Self::MOST {
            return Err(Unusable::TooMany);
        }
        if words.iter().any(|w| w.len() < Self::SHORTEST) {
            return Err(Unusable::TooShort);
        }
        Ok(Self(words.into_iter().map(SecretString::from).collect()))
    }

    /// Starts to check a body against the value of `X-Hub-Signature-256`. `None` when no body can
    /// fit that value: then the body need not be read.
    pub fn check(&self, header: &str) -> Option<Checker> {
        let claimed = parse(header)?;
        let keyed = self.0.iter().filter_map(|secret| {
            // HMAC takes keys of every length
            Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()
        });
        Some(Checker {
            claimed,
            states: keyed.collect(),
        })
    }
}

/// A body that is being hashed.
pub struct Checker {
    claimed: [u8; LENGTH],
    states: Vec<Hmac<Sha256>>,
}

impl Checker {
    /// The next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        for state in &mut self.states {
            state.update(bytes);
        }
    }

    /// Whether one of the secrets signed it. Every secret is compared, each in constant time.
    pub fn fits(self) -> bool {
        let claimed = self.claimed;
        let fits = self
            .states
            .into_iter()
            .map(|s| s.verify_slice(&claimed).is_ok());
        fits.fold(false, |any, one| any | one)
    }
}

/// `sha256=` and 64 hexadecimal digits, nothing else.
fn parse(header: &str) -> Option<[u8; LENGTH]> {
    let digits = header.strip_prefix("sha256=")?.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
        digits.chunks(2).map(|p| (p[0] << 4) | p[1]).collect()
    }

    fn fits(secrets: &[&str], header: &str, body: &[u8]) -> bool {
        let secrets = Secrets(secrets.iter().map(|s| SecretString::from(*s)).collect());
        let Some(mut checker) = secrets.check(header) else {
            return false;
        };
        for part in body.chunks(7) {
            checker.update(part);
        }
        checker.fits()
    }

    fn sign(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        let bytes = mac.finalize().into_bytes();
        let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        format!("sha256={digits}")
    }

    /// Row 56: the vectors of RFC 4231 whose key is text in UTF-8 (1, 2, 4), and GitHub's own example.
    #[test]
    fn known_answers() {
        let table: [(String, Vec<u8>, &str); 4] = [
            (
                "\u{b}".repeat(20),
                b"Hi There".to_vec(),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                "Jefe".to_owned(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                String::from_utf8(hex("0102030405060708090a0b0c0d0e0f10111213141516171819"))
                    .unwrap(),
                vec![0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                "It's a Secret to Everybody".to_owned(),
                b"Hello, World!".to_vec(),
                "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
        ];
        for (key, body, digest) in table {
            assert!(
                fits(&[&key], &format!("sha256={digest}"), &body),
                "{digest}"
            );
            assert!(fits(
                &[&key],
                &format!("sha256={}", digest.to_uppercase()),
                &body
            ));
        }
    }

    /// Row 56: vectors 3, 6 and 7 have keys that are no text; they go through the same function.
    #[test]
    fn known_answers_of_other_keys() {
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec();
        let both = b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.".to_vec();
        let table = [
            (
                vec![0xaa; 20],
                vec![0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                vec![0xaa; 131],
                long,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                vec![0xaa; 131],
                both,
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, body, digest) in table {
            let mut checker = Checker {
                claimed: parse(&format!("sha256={digest}")).unwrap(),
                states: vec![Hmac::new_from_slice(&key).unwrap()],
            };
            checker.update(&body);
            assert!(checker.fits(), "{digest}");
        }
    }

    /// Row 56: rotation: both secrets count while both are active, and one alone afterwards.
    #[test]
    fn each_active_secret_counts() {
        let (old, new, body) = ("the old secret, long", "the new secret, long", b"{}");
        for secret in [old, new] {
            assert!(fits(&[old, new], &sign(secret, body), body));
        }
        assert!(!fits(&[new], &sign(old, body), body));
    }

    #[test]
    fn wrong_missing_and_truncated_signatures_do_not_fit() {
        let body = b"{\"action\":\"created\"}";
        let good = sign("a secret of some length", body);
        let digits = good.strip_prefix("sha256=").unwrap();
        let bad = [
            String::new(),
            "sha256=".to_owned(),
            digits.to_owned(),
            format!("sha1={digits}"),
            format!("SHA256={digits}"),
            format!("sha256= {digits}"),
            good[..good.len() - 1].to_owned(),
            good[..good.len() - 2].to_owned(),
            format!("{good}0"),
            format!("{good},{good}"),
            good.replace(&digits[..1], "g"),
            format!("sha256={}", "é".repeat(32)),
            sign("another secret, as long", body),
            sign("a secret of some length", b"{}"),
        ];
        for header in bad {
            assert!(
                !fits(&["a secret of some length"], &header, body),
                "{header}"
            );
        }
        assert!(fits(&["a secret of some length"], &good, body));
    }

    #[test]
    fn secrets_that_protect_nothing_are_refused() {
        let parse = |text: &str| Secrets::parse(&SecretString::from(text)).map(|s| s.0.len());
        assert_eq!(parse(" \n,"), Err(Unusable::None));
        assert_eq!(parse("short"), Err(Unusable::TooShort));
        assert_eq!(parse("0123456789abcdef,short"), Err(Unusable::TooShort));
        assert_eq!(
            parse(&"0123456789abcdef,".repeat(5)),
            Err(Unusable::TooMany)
        );
        assert_eq!(parse("0123456789abcdef, fedcba9876543210\n"), Ok(2));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "(sha256=)?.{0,80}", body in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!fits(&["a secret of some length"], &header, &body));
        }

        /// T9: one flipped bit of the body or of the signature, and it does not fit.
        #[test]
        fn one_flipped_bit_is_noticed(mut body in proptest::collection::vec(any::<u8>(), 1..200), at in any::<usize>(), bit in 0..8_u32) {
            let secret = "a secret of some length";
            let header = sign(secret, &body);
            let at = at % (body.len() + 32);
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1 << bit;
                prop_assert!(!fits(&[secret], &header, &body));
            } else {
                let mut claimed = parse(&header).unwrap();
                claimed[at - body.len()] ^= 1 << bit;
                let digits: String = claimed.iter().map(|b| format!("{b:02x}")).collect();
                let header = format!("sha256={digits}");
                prop_assert!(!fits(&[secret], &header, &body));
            }
        }
    }
}
