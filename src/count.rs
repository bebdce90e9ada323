//! A number and what it counts. Pure.

/// `1 field`, `2 fields`.
pub(crate) fn of(number: usize, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{end}")
}
