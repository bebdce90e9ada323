//! The only module that prints: results on standard output, progress and errors on standard error.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the output module"
)]

use std::io::{IsTerminal, Write as _};

use anstyle::{AnsiColor, Style};

use crate::cli::Color;

/// Sets when colours are used; `auto` follows the terminal and NO_COLOR.
pub fn choose_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::AlwaysAnsi,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Prints data on standard output. A closed pipe ends quietly, any other failure with exit code 3.
pub fn out(text: &str) {
    let mut stdout = anstream::stdout();
    if let Err(e) = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        error(&format!("standard output: {e}"));
        std::process::exit(3);
    }
}

/// Prints an error on standard error.
pub fn error(text: &str) {
    anstream::eprintln!("{}", paint(AnsiColor::Red, true, "error: ") + text);
}

/// Prints a remark on standard error.
pub fn note(text: &str) {
    anstream::eprintln!("{}", paint(AnsiColor::Yellow, false, "note: ") + text);
}

/// One line of progress, only where a person watches.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Whether anything is shown.
    pub on: bool,
}

impl Progress {
    /// Progress for this run.
    pub fn new(quiet: bool) -> Self {
        Self {
            on: !quiet && std::io::stderr().is_terminal(),
        }
    }

    /// Says what happens now.
    pub fn say(self, text: &str) {
        if self.on {
            anstream::eprintln!("{}", paint(AnsiColor::BrightBlack, false, text));
        }
    }
}

/// Text in a colour; stripped where no colours are wanted.
pub fn paint(color: AnsiColor, bold: bool, text: &str) -> String {
    let style = Style::new().fg_color(Some(color.into()));
    let style = if bold { style.bold() } else { style };
    format!("{style}{text}{style:#}")
}

/// Bold text.
pub fn bold(text: &str) -> String {
    let style = Style::new().bold();
    format!("{style}{text}{style:#}")
}

/// A unified diff with colours.
pub fn diff(patch: &str) -> String {
    let line = |line: &str| match line.as_bytes().first() {
        Some(b'+') if !line.starts_with("+++") => paint(AnsiColor::Green, false, line),
        Some(b'-') if !line.starts_with("---") => paint(AnsiColor::Red, false, line),
        Some(b'@') => paint(AnsiColor::Cyan, false, line),
        _ => line.to_owned(),
    };
    patch.lines().map(|l| line(l) + "\n").collect()
}
