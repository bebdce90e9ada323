//! What no new value may hold, whoever proposes it: credentials, shell fetches, tricks in text.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::code::Code;
use crate::lock::Attempt;

/// The longest text that a change may bring in.
const MAX_TEXT: usize = 16 << 10;

pub(super) fn check(attempt: &Attempt<'_>) -> Result<(), (Code, String)> {
    let Some(after) = attempt.after else {
        return Ok(());
    };
    let added = Added {
        before: attempt.before,
    };
    each_text(after, &mut |text| added.check(text, attempt))?;
    if let Some(words) = attempt.place.container()
        && words.first() == Some(&"env")
    {
        loader_variable(attempt)?;
    }
    Ok(())
}

type Checked = Result<(), (Code, String)>;

/// Texts that the old value holds already are not new.
struct Added<'a> {
    before: Option<&'a Value>,
}

impl Added<'_> {
    fn check(&self, text: &str, attempt: &Attempt<'_>) -> Result<(), (Code, String)> {
        if text.len() > MAX_TEXT {
            return Err((
                Code::OutOfBounds,
                format!(
                    "a new text of {} bytes is over the limit of {MAX_TEXT}",
                    text.len()
                ),
            ));
        }
        if text.chars().any(is_trick) {
            return Err((
                Code::ForbiddenByRule,
                "control, bidirectional or invisible characters (rule J19)".to_owned(),
            ));
        }
        let old = self.before.map(Value::to_string).unwrap_or_default();
        for (pattern, rule, what) in FORBIDDEN_TEXT.iter() {
            if pattern.is_match(text) && !pattern.is_match(&old) {
                return Err((
                    Code::ForbiddenByRule,
                    format!("the new value holds {what} (rule {rule})"),
                ));
            }
        }
        if let Some(["command" | "args", ..]) = attempt.place.container().as_deref()
            && SHELL.is_match(text)
            && !SHELL.is_match(&old)
        {
            return Err((
                Code::ForbiddenByRule,
                "the new command holds a shell or fetch pattern (rule C05)".to_owned(),
            ));
        }
        Ok(())
    }
}

fn is_trick(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn each_text(value: &Value, f: &mut dyn FnMut(&str) -> Checked) -> Checked {
    match value {
        Value::String(s) => f(s),
        Value::Array(items) => items.iter().try_for_each(|v| each_text(v, f)),
        Value::Object(map) => map
            .iter()
            .try_for_each(|(k, v)| f(k).and_then(|()| each_text(v, f))),
        _ => Ok(()),
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a literal pattern compiles")
}

static FORBIDDEN_TEXT: LazyLock<Vec<(Regex, &'static str, &'static str)>> = LazyLock::new(|| {
    vec![
        (
            regex(r"(?i)[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@"),
            "B07",
            "a URL with a password",
        ),
        (
            regex(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
            "B07",
            "a private key",
        ),
        (
            regex(
                r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}",
            ),
            "B07",
            "a credential",
        ),
        (
            regex(
                r"169\.254\.169\.254|fd00:ec2::254|metadata\.google\.internal|100\.100\.100\.200",
            ),
            "B15",
            "a metadata service's address",
        ),
        (regex(r"\{\{|\}\}"), "J11", "a template expression"),
        (
            regex(
                r"(?i)--insecure|skip-tls|--anonymous-auth|--allow-privileged|--disable-auth|tls\.enabled=false|auth\.enabled=false",
            ),
            "C14",
            "a security switch",
        ),
    ]
});

/// Whether a new line holds a shell or fetch pattern.
pub(super) fn adds_a_command(old: &str, new: &str) -> bool {
    let known: Vec<&str> = old.lines().collect();
    new.lines()
        .any(|line| !known.contains(&line) && SHELL.is_match(line))
}

static SHELL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(curl|wget)\b|^-[a-z]*c$|\b(ba|z|da)?sh -c\b|\beval\b|base64 -d|python[0-9.]* -c|perl -e|\bnc\b|/dev/tcp|chmod \+x|\b(apt|apt-get|apk|yum|pip|npm) install|\bkubectl\b|\bnsenter\b|\bmount\b|sleep infinity|tail -f /dev/null|\|\| true|set \+e",
    )
});

/// C10: variables that change what a program loads, trusts or talks to.
fn loader_variable(attempt: &Attempt<'_>) -> Result<(), (Code, String)> {
    let name = attempt
        .after
        .and_then(|v| v.get("name"))
        .and_then(Value::as_str)
        .map(str::to_owned)
        .or_else(|| {
            attempt.edit.path.0.iter().rev().find_map(|seg| match seg {
                crate::path::Seg::Named { value, .. } => Some(value.clone()),
                _ => None,
            })
        });
    const NAMES: &[&str] = &[
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "PATH",
        "BASH_ENV",
        "ENV",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "NODE_OPTIONS",
        "NODE_PATH",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "CLASSPATH",
        "RUBYOPT",
        "RUBYLIB",
        "PERL5OPT",
        "PERL5LIB",
        "DOTNET_STARTUP_HOOKS",
        "PHP_INI_SCAN_DIR",
        "GIT_SSH_COMMAND",
        "GCONV_PATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "PYTHONHTTPSVERIFY",
        "GIT_SSL_NO_VERIFY",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
    ];
    match name {
        Some(n) if NAMES.contains(&n.to_uppercase().as_str()) => Err((
            Code::ForbiddenByRule,
            format!("the variable {n} changes what the program loads or trusts (rule C10)"),
        )),
        _ => Ok(()),
    }
}
