//! Kubernetes quantities (`250m`, `1.5Gi`, `2e3`), exact.
//!
//! The value is a whole number of nano units in an `i128`, as fine as the API server keeps it, so
//! comparing and adding never round. The form (binary, decimal, exponent) is remembered for
//! printing only: `1Gi` equals `1073741824`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde_json::Value;

/// One quantity. Equality and order look at the value alone, not at the way it is written.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nano: i128,
    form: Form,
}

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `Ki`, `Mi`, …
    Binary,
    /// `m`, `k`, `M`, …
    Decimal,
    /// `2e3`
    Exponent,
}

/// Longer texts are no quantity that anybody wrote.
const MAX_TEXT: usize = 64;
const ONE: i128 = 1_000_000_000;
/// The API server's own bound: 2^63 - 1 units.
const MAX_NANO: i128 = (i64::MAX as i128) * ONE;

const BINARY: &[(&str, i128)] = &[
    ("Ei", 1 << 60),
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
];

/// Suffix and its worth in nano units.
const DECIMAL: &[(&str, i128)] = &[
    ("E", 1_000_000_000_000_000_000 * ONE),
    ("P", 1_000_000_000_000_000 * ONE),
    ("T", 1_000_000_000_000 * ONE),
    ("G", 1_000_000_000 * ONE),
    ("M", 1_000_000 * ONE),
    ("k", 1_000 * ONE),
    ("", ONE),
    ("m", 1_000_000),
    ("u", 1_000),
    ("n", 1),
];

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self::units(0);

    /// That many whole units: CPUs, bytes, pods, devices.
    pub const fn units(count: i64) -> Self {
        Self {
            nano: count as i128 * ONE,
            form: Form::Decimal,
        }
    }

    /// That many thousandths: millicores.
    pub const fn milli(count: i64) -> Self {
        Self {
            nano: count as i128 * 1_000_000,
            form: Form::Decimal,
        }
    }

    /// That many mebibytes.
    pub const fn mebi(count: i64) -> Self {
        Self {
            nano: count as i128 * (1 << 20) * ONE,
            form: Form::Binary,
        }
    }

    /// Reads a quantity as the API server does; digits finer than nano round away from zero.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (digits, suffix) = rest.split_at_checked(end)?;
        let (mantissa, fraction_digits) = mantissa(digits)?;
        let (unit, form) = unit(suffix)?;
        let nano = scaled(mantissa, fraction_digits, unit)?;
        (nano <= MAX_NANO).then_some(Self {
            nano: if negative { -nano } else { nano },
            form,
        })
    }

    /// Reads a quantity from a manifest's value: a text, or a plain number (`cpu: 2`).
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// Whether it is 0.
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// Whether it is over 0.
    pub fn is_positive(self) -> bool {
        self.nano > 0
    }

    /// The value times a whole number, at most the largest quantity.
    #[must_use]
    pub fn times(self, factor: i64) -> Self {
        self.with(self.nano.saturating_mul(i128::from(factor)))
    }

    /// The value divided by a whole number, rounded down to nano; none for a divisor of 0 or less.
    pub fn div_floor(self, divisor: i64) -> Option<Self> {
        (divisor > 0).then(|| self.with(self.nano.div_euclid(i128::from(divisor))))
    }

    /// How many times `part` fits in; none for a part of 0 or less.
    pub fn fits(self, part: Self) -> Option<i64> {
        (part.nano > 0)
            .then(|| self.nano.div_euclid(part.nano))
            .and_then(|n| i64::try_from(n).ok())
    }

    /// The greatest multiple of `step` that is not over this value.
    #[must_use]
    pub fn floor_to(self, step: Self) -> Self {
        if step.nano <= 0 {
            return self;
        }
        self.with(self.nano.div_euclid(step.nano) * step.nano)
    }

    /// The least multiple of `step` that is not under this value.
    #[must_use]
    pub fn ceil_to(self, step: Self) -> Self {
        let down = self.floor_to(step);
        if down == self { self } else { down + step }
    }

    /// The value in the unit family of another text, canonical: 384 MiB like `256Mi` is `384Mi`,
    /// like `1G` it is `402653184`.
    pub fn display_like(self, original: &str) -> String {
        let form = Self::parse(original).map_or(self.form, |o| o.form);
        Self { form, ..self }.to_string()
    }

    fn with(self, nano: i128) -> Self {
        Self {
            nano: nano.clamp(-MAX_NANO, MAX_NANO),
            ..self
        }
    }
}

/// The digits without the point, and how many of them stood behind it.
fn mantissa(digits: &str) -> Option<(i128, u32)> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    // Finer than this is far below nano for every unit but the largest, which then overflow anyway.
    let kept: String = fraction.chars().take(30).collect();
    let joined = format!("{whole}{kept}");
    let joined = joined.trim_start_matches('0');
    let value = if joined.is_empty() {
        0
    } else {
        joined.parse().ok()?
    };
    Some((value, u32::try_from(kept.len()).ok()?))
}

/// What one unit of a suffix is worth: (nano units as a fraction, form).
fn unit(suffix: &str) -> Option<((i128, i128), Form)> {
    if let Some((_, bytes)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Some(((bytes * ONE, 1), Form::Binary));
    }
    if let Some((_, nano)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some(((*nano, 1), Form::Decimal));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    let worth = if exponent < 0 {
        (ONE, power)
    } else {
        (ONE.checked_mul(power)?, 1)
    };
    Some((worth, Form::Exponent))
}

/// `mantissa / 10^digits * unit`, rounded up to a whole nano.
fn scaled(mantissa: i128, digits: u32, unit: (i128, i128)) -> Option<i128> {
    if mantissa == 0 {
        return Some(0);
    }
    let divisor = 10_i128.checked_pow(digits)?.checked_mul(unit.1)?;
    // Shorten first: a long fraction of a large unit must not overflow on the way.
    let common = gcd(unit.0, divisor);
    let product = mantissa.checked_mul(unit.0 / common)?;
    let divisor = divisor / common;
    let up = i128::from(product % divisor != 0);
    Some(product / divisor + up)
}

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// The API server's canonical text: the largest unit of the form that leaves a whole number.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.nano % ONE == 0;
        match self.form {
            Form::Binary if whole && self.nano.abs() >= 1024 * ONE => {
                let units = self.nano / ONE;
                let hit = BINARY.iter().find(|(_, worth)| units % worth == 0);
                let (suffix, worth) = hit.copied().unwrap_or(("", 1));
                write!(f, "{}{suffix}", units / worth)
            }
            Form::Exponent => exponent(self.nano, f),
            Form::Binary | Form::Decimal => decimal(self.nano, f),
        }
    }
}

fn decimal(nano: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if nano == 0 {
        return f.write_str("0");
    }
    let hit = DECIMAL.iter().find(|(_, worth)| nano % worth == 0);
    let (suffix, worth) = hit.copied().unwrap_or(("n", 1));
    write!(f, "{}{suffix}", nano / worth)
}

fn exponent(nano: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if nano == 0 {
        return f.write_str("0");
    }
    let (mut mantissa, mut power) = (nano, -9);
    while mantissa % 1000 == 0 {
        mantissa /= 1000;
        power += 3;
    }
    match power {
        0 => write!(f, "{mantissa}"),
        _ => write!(f, "{mantissa}e{power}"),
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nano.hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

/// Keeps the form of the left side, unless that is 0.
impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let form = if self.nano == 0 { other } else { self };
        form.with(self.nano.saturating_add(other.nano))
    }
}

impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.with(self.nano.saturating_sub(other.nano))
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn q(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or_else(|| panic!("{text} is a quantity"))
    }

    #[test]
    fn the_same_value_in_other_words_is_equal() {
        for (a, b) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1Gi", "1073741824"),
            ("1.5Gi", "1536Mi"),
            ("2e3", "2k"),
            ("2E3", "2k"),
            ("2e-3", "2m"),
            ("1E", "1000P"),
            ("+3", "3"),
            ("0.0000000001", "1n"),
            ("-1", "-1000m"),
            ("7Ei", "8070450532247928832"),
        ] {
            assert_eq!(q(a), q(b), "{a} and {b}");
        }
    }

    #[test]
    fn order_is_by_value() {
        assert!(q("1G") < q("1Gi"));
        assert!(q("999m") < q("1"));
        assert!(q("-1") < Quantity::ZERO);
        assert!(q("100Mi") > q("1k"));
    }

    #[test]
    fn the_canonical_text_is_the_api_servers() {
        for (text, canonical) in [
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.1", "100m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1000k", "1M"),
            ("268435456", "268435456"),
            ("2e3", "2e3"),
            ("2000e0", "2e3"),
            ("0Mi", "0"),
            ("0.5Mi", "512Ki"),
        ] {
            assert_eq!(q(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_quantity() {
        for text in [
            "", "-", ".", "Mi", "1 Gi", "1mi", "1Kb", "1.2.3", "0x10", "1e", "1e99", "9999999E",
            "1KiB", "١", "1_000", "NaN", "--1", "1e+-3",
        ] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
        assert_eq!(Quantity::parse(&"9".repeat(65)), None);
    }

    #[test]
    fn a_new_value_keeps_the_family_of_the_old_one() {
        assert_eq!(Quantity::mebi(384).display_like("256Mi"), "384Mi");
        assert_eq!(Quantity::mebi(512).display_like("256M"), "536870912");
        assert_eq!(Quantity::milli(1500).display_like("1"), "1500m");
        assert_eq!(Quantity::units(2).display_like("500m"), "2");
        assert_eq!(Quantity::mebi(64).display_like("not a quantity"), "64Mi");
    }

    #[test]
    fn values_may_be_plain_numbers() {
        assert_eq!(Quantity::of(&serde_json::json!(2)), Some(q("2")));
        assert_eq!(Quantity::of(&serde_json::json!(0.25)), Some(q("250m")));
        assert_eq!(Quantity::of(&serde_json::json!("1Gi")), Some(q("1Gi")));
        assert_eq!(Quantity::of(&serde_json::json!(true)), None);
        assert_eq!(Quantity::of(&serde_json::json!(["1"])), None);
    }

    #[test]
    fn division_and_rounding_go_the_safe_way() {
        assert_eq!(q("1").div_floor(3).unwrap().floor_to(q("1m")), q("333m"));
        assert_eq!(q("1").div_floor(0), None);
        assert_eq!(q("4").fits(q("1500m")), Some(2));
        assert_eq!(q("4").fits(q("0")), None);
        assert_eq!(q("100Mi").ceil_to(q("64Mi")), q("128Mi"));
        assert_eq!(q("128Mi").ceil_to(q("64Mi")), q("128Mi"));
        assert_eq!(q("100Mi").floor_to(Quantity::ZERO), q("100Mi"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn the_canonical_text_reads_back_as_the_same_value(
            mantissa in 0_i64..1_000_000_000,
            digits in 0_usize..5,
            suffix in prop::sample::select(vec![
                "", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3", "E2",
            ]),
        ) {
            let text = mantissa.to_string();
            let at = text.len().saturating_sub(digits);
            let value = q(&format!("{}.{}{suffix}", &text[..at], &text[at..]));
            let back = q(&value.to_string());
            prop_assert_eq!(value, back);
            prop_assert_eq!(value.to_string(), back.to_string());
        }

        #[test]
        fn adding_and_dividing_keep_their_laws(a in -1_000_000_i64..1_000_000, b in 1_i64..1000) {
            let (x, y) = (Quantity::milli(a), Quantity::milli(b));
            prop_assert_eq!(x + y - y, x);
            prop_assert!(x.div_floor(b).unwrap().times(b) <= x);
            prop_assert!(x.floor_to(y) <= x && x <= x.ceil_to(y));
            prop_assert!(x < x + y);
            prop_assert_eq!(x.times(b), (0..b).map(|_| x).sum());
        }
    }
}
