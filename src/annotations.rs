//! GitHub workflow commands: `::error file=…,line=…::message`. Pure.
//!
//! Texts of a repository are hostile: whatever could end a command or begin another one is escaped.

use crate::evidence::redact;
use crate::finding::Severity;
use crate::scan::report::Report;

/// GitHub shows this many annotations of one level for a step.
pub const MOST_OF_A_LEVEL: usize = 10;
/// The longest message; the rest is in the report.
const MAX_MESSAGE: usize = 1_000;

/// The level of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `::error`
    Error,
    /// `::warning`
    Warning,
    /// `::notice`
    Notice,
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation<'t> {
    /// Its level.
    pub level: Level,
    /// File, line and last line; none for one about the whole run.
    pub place: Option<(&'t str, usize, usize)>,
    /// The title.
    pub title: &'t str,
    /// The text.
    pub message: &'t str,
}

impl Annotation<'_> {
    /// The workflow command, one line without its end.
    pub fn command(&self) -> String {
        let name = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
        };
        let mut properties = Vec::new();
        if let Some((file, line, end)) = self.place {
            properties.push(format!("file={}", property(file)));
            properties.push(format!("line={line}"));
            properties.push(format!("endLine={end}"));
        }
        properties.push(format!("title={}", property(self.title)));
        let message = redact::text(self.message);
        let message: String = message.chars().take(MAX_MESSAGE).collect();
        format!("::{name} {}::{}", properties.join(","), data(&message))
    }
}

/// The part behind the last `::`.
fn data(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out += "%25",
            '\r' => out += "%0D",
            '\n' => out += "%0A",
            // a runner or a viewer may take these for the end of a line
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A value between `,` and `::`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The commands of a report: the worst findings of each level, and how many more there are.
pub fn commands(report: &Report) -> String {
    let mut lines = Vec::new();
    let mut more = 0;
    for (level, severities) in [
        (Level::Error, &[Severity::Critical, Severity::High][..]),
        (Level::Warning, &[Severity::Medium]),
        (Level::Notice, &[Severity::Low]),
    ] {
        let of_level = report
            .findings
            .iter()
            .filter(|f| severities.contains(&f.severity));
        let all: Vec<String> = of_level
            .map(|f| {
                let title = format!("{} {}", f.rule, f.name);
                let fixed = f
                    .fix
                    .as_ref()
                    .map(|fix| format!("\nProven fix: {}", fix.title));
                let message = f.message.clone() + fixed.as_deref().unwrap_or_default();
                Annotation {
                    level,
                    place: Some((&f.location.file, f.location.line, f.location.end_line)),
                    title: &title,
                    message: &message,
                }
                .command()
            })
            .collect();
        more += all.len().saturating_sub(MOST_OF_A_LEVEL);
        lines.extend(all.into_iter().take(MOST_OF_A_LEVEL));
    }
    if more + report.cut > 0 {
        let message = format!(
            "{} more findings are not annotated; they are in the report of kubemend scan",
            more + report.cut
        );
        let annotation = Annotation {
            level: Level::Notice,
            place: None,
            title: "kubemend scan",
            message: &message,
        };
        lines.push(annotation.command());
    }
    lines.into_iter().map(|l| l + "\n").collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_ends_a_command_is_escaped() {
        let annotation = Annotation {
            level: Level::Error,
            place: Some(("a,b::c\n::set-env name=x::y.yaml", 3, 4)),
            title: "KM101: 100%",
            message: "one\r\n::stop-commands::x\u{2028}two",
        };
        assert_eq!(
            annotation.command(),
            "::error file=a%2Cb%3A%3Ac%0A%3A%3Aset-env name=x%3A%3Ay.yaml,line=3,endLine=4,title=KM101%3A 100%25::one%0D%0A::stop-commands::x two"
        );
    }

    proptest! {
        /// Row 64: hostile text in names and paths is one command, and the same text when it is
        /// read back.
        #[test]
        fn no_text_injects_a_command(
            file in "(::|\\n|\\r|%|,|=|[a-z]|[^\\x00]){0,20}",
            title in "(::|\\n|\\r|%|,|=|[a-z]){0,20}",
            message in "(::error|::set-output name=a::|\\n|\\r|%0A|%|[a-z ]|[^\\x00]){0,20}",
        ) {
            let annotation = Annotation {
                level: Level::Warning, place: Some((&file, 1, 1)), title: &title, message: &message,
            };
            let command = annotation.command();
            prop_assert_eq!(command.lines().count(), 1);
            prop_assert!(!command.chars().any(char::is_control));
            let rest = command.strip_prefix("::warning ").unwrap();
            let (properties, said) = rest.split_once("::").unwrap();
            let all: Vec<&str> = properties.split(',').collect();
            prop_assert_eq!(all.len(), 4);
            let back = |t: &str| t.replace("%2C", ",").replace("%3A", ":").replace("%0A", "\n")
                .replace("%0D", "\r").replace("%25", "%");
            let plain = |t: &str| -> String {
                t.chars().map(|c| match c {
                    '\n' | '\r' => c,
                    c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => ' ',
                    c => c,
                }).collect()
            };
            prop_assert_eq!(back(all[0].strip_prefix("file=").unwrap()), plain(&file));
            prop_assert_eq!(back(all[3].strip_prefix("title=").unwrap()), plain(&title));
            prop_assert_eq!(back(said), plain(&message));
        }
    }
}
