//! Periods as people write them: `10m`, `12h`, `7d`, `1d 12h`. Pure.

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serializer};

/// What a period looks like.
pub(crate) const PATTERN: &str = "^[0-9]{1,8}[smhdw]( ?[0-9]{1,8}[smhdw]){0,4}$";

/// Reads a period; days have 24 hours.
pub(crate) fn parse(text: &str) -> Option<SignedDuration> {
    let mut total = SignedDuration::ZERO;
    let mut number = String::new();
    for c in text.chars().filter(|c| *c != ' ') {
        let unit = match c {
            '0'..='9' if number.len() < 8 => {
                number.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            'w' => 7 * 24 * 3600,
            _ => return None,
        };
        let count: i64 = number.parse().ok()?;
        total = total.checked_add(SignedDuration::from_secs(count * unit))?;
        number.clear();
    }
    (number.is_empty() && !text.is_empty()).then_some(total)
}

/// Writes a period with the largest unit that fits.
pub(crate) fn show(period: SignedDuration) -> String {
    let seconds = period.as_secs();
    for (unit, name) in [(24 * 3600, 'd'), (3600, 'h'), (60, 'm')] {
        if seconds != 0 && seconds % unit == 0 {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

/// For serde.
pub(crate) fn serialize<S: Serializer>(period: &SignedDuration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show(*period))
}

/// For serde.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SignedDuration, D::Error> {
    let text = String::deserialize(from)?;
    let wrong =
        || serde::de::Error::custom(format!("`{text}` is no period such as 10m, 12h or 7d"));
    parse(&text).ok_or_else(wrong)
}

/// For serde, of what may be absent.
pub(crate) mod optional {
    use super::{Deserialize as _, Deserializer, Serializer, SignedDuration, parse, show};

    /// For serde.
    pub(crate) fn serialize<S: Serializer>(
        period: &Option<SignedDuration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match period {
            Some(period) => to.serialize_str(&show(*period)),
            None => to.serialize_none(),
        }
    }

    /// For serde.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SignedDuration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let read = |t: String| {
            let wrong =
                || serde::de::Error::custom(format!("`{t}` is no period such as 10m, 12h or 7d"));
            parse(&t).ok_or_else(wrong)
        };
        text.map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn periods_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("10m", 600),
            ("7d", 604_800),
            ("1d 12h", 129_600),
            ("0s", 0),
            ("2w", 1_209_600),
        ] {
            assert_eq!(parse(text).unwrap().as_secs(), seconds, "{text}");
        }
        for wrong in [
            "",
            "10",
            "m",
            "-1d",
            "1.5h",
            "1y",
            "10 minutes",
            "999999999s",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0_i64..10_000_000) {
            let period = SignedDuration::from_secs(seconds);
            prop_assert_eq!(parse(&show(period)), Some(period));
        }

        #[test]
        fn pattern_and_reader_agree(text in "[0-9smhdw x-]{0,12}") {
            let fits = regex::Regex::new(PATTERN).unwrap().is_match(&text);
            prop_assert!(!fits || parse(&text).is_some(), "{}", text);
        }
    }
}
