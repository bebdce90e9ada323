//! What the kubelet and the container runtime say, read.

use std::sync::LazyLock;

use regex::Regex;

use crate::finding::Class;

/// A thing that a container needs and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// Its name; empty where the message names the key alone.
    pub name: String,
    /// The missing key, where the object itself exists.
    pub key: Option<String>,
}

/// Which class of image failure a pull message is.
pub fn image_class(reason: &str, message: &str) -> Class {
    let text = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    if reason == "InvalidImageName"
        || has(&[
            "invalid reference format",
            "couldn't parse image",
            "failed to parse image",
            "invalidimagename",
        ])
    {
        Class::InvalidImageName
    } else if has(&[
        "no match for platform",
        "no matching manifest for",
        "no image found in manifest list for architecture",
        "no image found in image index for architecture",
        "does not match the specified platform",
    ]) {
        Class::ImagePlatform
    } else if has(&["does not exist", "repository not found", "name unknown"]) {
        Class::ImagePullNotFound
    } else if has(&[
        "unauthorized",
        "401",
        "403 forbidden",
        "forbidden",
        "authentication required",
        "no basic auth",
        "access denied",
        "denied:",
        "authorization failed",
        "insufficient_scope",
    ]) {
        Class::ImagePullAuth
    } else if has(&["not found", "notfound", "manifest unknown", "404"])
        && !has(&["no such host", "server misbehaving"])
    {
        Class::ImagePullNotFound
    } else {
        Class::ImagePullFailed
    }
}

/// The ConfigMap, Secret or key that a message says is missing.
pub fn missing(message: &str) -> Option<Missing> {
    let kind = |word: &str| match word.to_ascii_lowercase().as_str() {
        "configmap" | "config" => "ConfigMap",
        _ => "Secret",
    };
    if let Some(c) = KEY_IN.captures(message) {
        return Some(Missing {
            kind: kind(&c[2]),
            name: c[3].to_owned(),
            key: Some(c[1].to_owned()),
        });
    }
    if let Some(c) = NON_EXISTENT_KEY.captures(message) {
        return Some(Missing {
            kind: kind(&c[1]),
            name: String::new(),
            key: Some(c[2].to_owned()),
        });
    }
    NOT_FOUND.captures(message).map(|c| Missing {
        kind: kind(&c[1]),
        name: c[2].to_owned(),
        key: None,
    })
}

/// The volume that a mount message is about.
pub fn volume(message: &str) -> Option<String> {
    VOLUME.captures(message).map(|c| c[1].to_owned())
}

/// Whether a runtime message says that the command cannot be started, and the command if it does.
pub fn bad_exec(message: &str) -> Option<String> {
    EXEC.captures(message)
        .and_then(|c| {
            (1..=3)
                .find_map(|i| c.get(i))
                .map(|m| m.as_str().to_owned())
        })
        .or_else(|| CHDIR.captures(message).map(|c| c[1].to_owned()))
        .or_else(|| {
            let none = message.contains("no command specified");
            none.then(String::new)
        })
}

/// The path in the container at which a volume cannot be mounted, where a runtime message says so.
pub fn mount_target(message: &str) -> Option<String> {
    MOUNT_TARGET.captures(message).map(|c| c[1].to_owned())
}

/// Whether a text says that the binary is for another platform.
pub fn is_foreign_binary(text: &str) -> bool {
    text.contains("exec format error")
}

/// Whether the container did not even start within its memory limit.
pub fn is_memory_too_low(message: &str) -> bool {
    message.contains("memory limit too low") || message.contains("container init was OOM-killed")
}

/// `Liveness`, `Readiness` or `Startup`, and what the probe saw.
pub fn probe(message: &str) -> Option<(&'static str, &str)> {
    ["Liveness", "Readiness", "Startup"]
        .into_iter()
        .find_map(|kind| {
            let rest = message.strip_prefix(kind)?.strip_prefix(" probe ")?;
            let seen = ["failed", "errored", "warning"]
                .iter()
                .find_map(|verb| rest.strip_prefix(verb))?;
            let seen = seen.trim_start_matches(" and resulted in unknown state");
            Some((kind, seen.trim_start_matches(':').trim()))
        })
}

/// The probe that a `Killing` message blames.
pub fn killed_by(message: &str) -> Option<&'static str> {
    if message.contains("failed liveness probe") {
        Some("Liveness")
    } else if message.contains("failed startup probe") {
        Some("Startup")
    } else {
        None
    }
}

/// One line of at most `max` characters.
pub fn one_line(text: &str, max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max {
        return line;
    }
    let cut: String = line.chars().take(max.saturating_sub(3)).collect();
    format!("{cut}...")
}

/// The last `max` lines of a log that are not empty.
pub fn tail(log: &str, max: usize) -> String {
    let lines: Vec<&str> = log.lines().filter(|l| !l.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(max);
    let cut = |l: &&str| l.chars().take(400).collect::<String>();
    let tail: Vec<String> = lines.iter().skip(from).map(cut).collect();
    tail.join("\n")
}

/// The lines of a log that tell of an error, newest last, at most `max`; stack frames are left out.
pub fn error_lines(log: &str, max: usize) -> Vec<String> {
    let mut hits: Vec<String> = Vec::new();
    for line in log.lines().map(str::trim) {
        if line.chars().count() < 4_000 && ERROR.is_match(line) && !CALM.is_match(line) {
            let line = one_line(line, 300);
            if hits.last() != Some(&line) {
                hits.push(line);
            }
        }
    }
    let from = hits.len().saturating_sub(max);
    hits.split_off(from)
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a literal pattern compiles")
}

static KEY_IN: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"couldn't find key "?([^\s"]+)"? in (ConfigMap|Secret) "?(?:[^\s/"]+/)?([^\s"/]+?)"?(?:[\s,;]|$)"#,
    )
});
static NON_EXISTENT_KEY: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"references non-existent (config|secret) key: "?([^\s"]+?)"?(?:[\s,;]|$)"#)
});
static NOT_FOUND: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"(?i)\b(configmap|secret)s? "?(?:[^\s/"]+/)?([a-z0-9][a-z0-9.-]*)"? not found"#)
});
static VOLUME: LazyLock<Regex> = LazyLock::new(|| regex(r#"for volume "([^"]+)""#));
static EXEC: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"exec: "([^"]*)"|exec ([^\s":]+): (?:no such file|permission denied)|exec: ?([^\s":]+): (?:not found|no such file|permission denied)"#,
    )
});
static MOUNT_TARGET: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"error mounting "[^"]*" to rootfs at "([^"]+)""#));
static CHDIR: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"(?:chdir to cwd|mkdir) \(?"?([^")\s]+)"?"#));
static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(error|err|errors|fatal|panic|exception|traceback|failed|failure|cannot|can't|could not|unable to|denied|refused|undefined|missing|not set|not found|no such|invalid|killed|segfault|segmentation fault|no space left|unhealthy|timed? ?out)\b|[A-Za-z]+(Error|Exception)\b",
    )
});
/// Lines that hold such a word and say that all is well.
static CALM: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(0|no|zero|without) (errors?|failures?|failed)\b|\berrors?[=:] ?0\b|\bfail(ed|ures?)[=:] ?0\b|\[(notice|info|debug)\]|\blevel=(info|debug)\b",
    )
});

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pull_messages_are_told_apart() {
        let cases = [
            (
                "ErrImagePull",
                "rpc error: code = NotFound desc = failed to resolve reference \"docker.io/library/redis:99\": docker.io/library/redis:99: not found",
                Class::ImagePullNotFound,
            ),
            (
                "ErrImagePull",
                "manifest for redis:99 not found: manifest unknown",
                Class::ImagePullNotFound,
            ),
            (
                "ImagePullBackOff",
                "pull access denied, repository does not exist or may require authorization",
                Class::ImagePullNotFound,
            ),
            (
                "ErrImagePull",
                "unexpected status code 401 Unauthorized",
                Class::ImagePullAuth,
            ),
            (
                "ErrImagePull",
                "unexpected status from HEAD request: 403 Forbidden",
                Class::ImagePullAuth,
            ),
            (
                "ErrImagePull",
                "no match for platform in manifest: not found",
                Class::ImagePlatform,
            ),
            ("InvalidImageName", "", Class::InvalidImageName),
            (
                "ErrImagePull",
                "dial tcp: lookup registry.internal: no such host",
                Class::ImagePullFailed,
            ),
            (
                "ErrImagePull",
                "toomanyrequests: You have reached your pull rate limit",
                Class::ImagePullFailed,
            ),
        ];
        for (reason, message, class) in cases {
            assert_eq!(image_class(reason, message), class, "{message}");
        }
    }

    #[test]
    fn missing_objects_and_keys_are_read() {
        let read = |m: &str| missing(m).map(|m| (m.kind, m.name, m.key));
        let some = |k, n: &str, key: Option<&str>| Some((k, n.to_owned(), key.map(str::to_owned)));
        assert_eq!(
            read("configmap \"settings\" not found"),
            some("ConfigMap", "settings", None)
        );
        assert_eq!(
            read("Error: secret \"token\" not found"),
            some("Secret", "token", None)
        );
        assert_eq!(
            read("couldn't find key url in ConfigMap shop/settings"),
            some("ConfigMap", "settings", Some("url"))
        );
        assert_eq!(
            read(
                "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: tls.key"
            ),
            some("Secret", "", Some("tls.key"))
        );
        assert_eq!(read("persistentvolumeclaim \"data\" not found"), None);
    }

    #[test]
    fn commands_that_cannot_start_are_named() {
        assert_eq!(
            bad_exec("exec: \"servr\": executable file not found in $PATH: unknown").as_deref(),
            Some("servr")
        );
        assert_eq!(
            bad_exec("exec: \"/app/run\": permission denied: unknown").as_deref(),
            Some("/app/run")
        );
        assert_eq!(bad_exec("error mounting \"/x\" to rootfs"), None);
    }

    #[test]
    fn probe_messages_are_read() {
        assert_eq!(
            probe("Readiness probe failed: HTTP probe failed with statuscode: 503"),
            Some(("Readiness", "HTTP probe failed with statuscode: 503"))
        );
        assert_eq!(probe("Liveness probe failed: "), Some(("Liveness", "")));
        assert_eq!(probe("Started container web"), None);
    }

    #[test]
    fn calm_lines_are_no_errors() {
        let log = "done, 0 errors\nstep 7 failed with error: bad input\n[notice] no error log\n";
        assert_eq!(error_lines(log, 5), ["step 7 failed with error: bad input"]);
    }
}
