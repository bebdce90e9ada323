//! CODEOWNERS: who owns a file, as GitHub reads it. Pure.

use sha2::{Digest as _, Sha256};

/// Where GitHub looks, in its order; the first file counts alone.
pub const PLACES: [&str; 3] = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];

/// GitHub ignores a file that is larger.
const MAX_FILE: usize = 3 << 20;
/// The most rules, and the longest pattern, that are read.
const MAX_RULES: usize = 20_000;
const MAX_PATTERN: usize = 1_024;

/// A CODEOWNERS file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeOwners {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// Segments of the pattern.
    pattern: Vec<String>,
    /// Whether it also owns everything below what it matches.
    below: bool,
    owners: Vec<String>,
}

impl CodeOwners {
    /// Reads a file; lines that GitHub does not accept are left out, and so is a file over its limit.
    pub fn parse(bytes: &[u8]) -> Self {
        if bytes.len() > MAX_FILE {
            return Self::default();
        }
        let text = String::from_utf8_lossy(bytes);
        Self {
            rules: text.lines().filter_map(rule).take(MAX_RULES).collect(),
        }
    }

    /// The owners of a file, as written: `@user`, `@org/team`, or an address. The last rule that
    /// fits counts; it may name nobody.
    pub fn of(&self, path: &str) -> &[String] {
        let path: Vec<&str> = path.split('/').collect();
        let hit = self.rules.iter().rev().find(|r| r.fits(&path));
        hit.map_or(&[], |r| r.owners.as_slice())
    }

    /// Whether a person owns all of these files, by name. Members of teams are not known here.
    pub fn owns_all<'a>(&self, login: &str, files: impl IntoIterator<Item = &'a str>) -> bool {
        let mut files = files.into_iter().peekable();
        let is_me = |owner: &String| {
            owner
                .strip_prefix('@')
                .is_some_and(|o| o.eq_ignore_ascii_case(login))
        };
        files.peek().is_some() && files.all(|f| self.of(f).iter().any(is_me))
    }

    /// At most `most` people who own some of these files, always the same ones for the same
    /// finding. Teams and mail addresses cannot be assigned.
    pub fn people<'a>(
        &self,
        files: impl IntoIterator<Item = &'a str>,
        fingerprint: &str,
        most: usize,
    ) -> Vec<String> {
        let mut people: Vec<String> = Vec::new();
        for owner in files.into_iter().flat_map(|f| self.of(f)) {
            let login = owner.strip_prefix('@').filter(|l| is_login(l));
            if let Some(login) = login.filter(|l| !people.iter().any(|p| p == l)) {
                people.push(login.to_owned());
            }
        }
        people.sort_by_key(|p| Sha256::digest(format!("{fingerprint}{p}")).to_vec());
        people.truncate(most);
        people
    }
}

fn is_login(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=39).contains(&text.len()) && text.chars().all(plain)
}

fn rule(line: &str) -> Option<Rule> {
    let mut words = words(line).into_iter();
    let written = words.next()?;
    let unsupported = written.starts_with('!') || written.contains(['[', ']']);
    if unsupported || written.len() > MAX_PATTERN {
        return None;
    }
    let owners: Vec<String> = words.take(100).collect();
    let valid = |o: &String| o.contains('@') && o.len() > 1;
    owners.iter().all(valid).then(|| shape(&written, owners))
}

/// Words up to a comment; `\ ` and `\#` stand for themselves.
fn words(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = out.last_mut();
        match (c, last) {
            ('\\', Some(word)) => word.extend(chars.next()),
            ('#', Some(word)) if word.is_empty() => break,
            (c, Some(word)) if c.is_whitespace() => {
                if !word.is_empty() {
                    out.push(String::new());
                }
            }
            (c, Some(word)) => word.push(c),
            (_, None) => break,
        }
    }
    out.retain(|w| !w.is_empty());
    out
}

fn shape(written: &str, owners: Vec<String>) -> Rule {
    let folder = written.ends_with('/');
    let inner = written.trim_matches('/');
    let anchored = written.starts_with('/') || inner.contains('/');
    let mut pattern: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if !anchored {
        pattern.insert(0, "**".to_owned());
    }
    let open = pattern.last().is_some_and(|last| last == "*") && anchored && !folder;
    if folder {
        // a folder itself is no file: something must stand below it
        pattern.push("*".to_owned());
    }
    Rule {
        pattern,
        below: !open,
        owners,
    }
}

impl Rule {
    fn fits(&self, path: &[&str]) -> bool {
        let whole = matches(&self.pattern, path);
        whole || (self.below && (1..path.len()).any(|n| prefix(&self.pattern, path, n)))
    }
}

fn prefix(pattern: &[String], path: &[&str], n: usize) -> bool {
    path.get(..n).is_some_and(|front| matches(pattern, front))
}

/// Segment by segment; `**` takes any number of them. Linear in pattern × path.
fn matches(pattern: &[String], path: &[&str]) -> bool {
    let equal = |p: &String, s: &&str| segment(p, s);
    wild(pattern, path, |p| p == "**", equal)
}

/// One segment; `*` takes any characters, `?` one.
fn segment(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    wild(&pattern, &text, |p| *p == '*', |p, c| *p == '?' || p == c)
}

/// The usual matching with one point to come back to: where the last wildcard stood.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    any: impl Fn(&P) -> bool,
    equal: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = text.get(t) {
        match pattern.get(p) {
            Some(w) if any(w) => {
                back = Some((p, t));
                p += 1;
            }
            Some(x) if equal(x, item) => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((wild, from)) => {
                    back = Some((wild, from + 1));
                    p = wild + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(any)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn owners(file: &str, path: &str) -> String {
        CodeOwners::parse(file.as_bytes()).of(path).join(" ")
    }

    /// Scorecard row 46 and the owners of row 42's matrix.
    #[test]
    fn patterns_own_what_github_says_they_own() {
        let cases = [
            ("* @all", "a/b/c.yaml", true),
            ("*.js @all", "a/b/c.js", true),
            ("*.js @all", "a/b/c.jsx", false),
            ("/build/logs/ @all", "build/logs/x/y.log", true),
            ("/build/logs/ @all", "a/build/logs/x.log", false),
            ("/build/logs/ @all", "build/logs", false),
            ("docs/* @all", "docs/start.md", true),
            ("docs/* @all", "docs/deep/start.md", false),
            ("docs/** @all", "docs/deep/start.md", true),
            ("apps/ @all", "x/apps/y/z.yaml", true),
            ("apps @all", "x/apps/y/z.yaml", true),
            ("apps @all", "x/apps.yaml", false),
            ("**/logs @all", "build/logs/a", true),
            ("**/logs @all", "logs/a", true),
            ("/apps/github @all", "apps/github/x", true),
            ("/apps/github @all", "apps/githubber/x", false),
            ("a/**/z.yaml @all", "a/z.yaml", true),
            ("a/**/z.yaml @all", "a/b/c/z.yaml", true),
            ("a?.yaml @all", "ab.yaml", true),
            ("with\\ space.yaml @all", "with space.yaml", true),
            ("!a.yaml @all", "a.yaml", false),
            ("[ab].yaml @all", "a.yaml", false),
            ("# * @all", "a.yaml", false),
            ("* @all # everything", "a.yaml", true),
            ("A.yaml @all", "a.yaml", false),
        ];
        for (file, path, owned) in cases {
            assert_eq!(owners(file, path) == "@all", owned, "{file} on {path}");
        }
    }

    #[test]
    fn the_last_rule_counts_and_may_name_nobody() {
        let file = "* @all\n/apps/ @team/apps me@example.org\n/apps/free/\nbroken owner\n";
        assert_eq!(owners(file, "x"), "@all");
        assert_eq!(owners(file, "apps/x"), "@team/apps me@example.org");
        assert_eq!(owners(file, "apps/free/x"), "");
    }

    #[test]
    fn an_owner_owns_all_files_by_name_without_case() {
        let file = CodeOwners::parse(b"/a @Ann\n/b @ann @bob\n/c @ann/team\n");
        assert!(file.owns_all("ann", ["a", "b"]));
        assert!(!file.owns_all("bob", ["a", "b"]));
        assert!(!file.owns_all("ann", ["c"]), "a team is not a person");
        assert!(!file.owns_all("ann", []), "no file, no owner");
    }

    #[test]
    fn only_people_are_chosen_and_always_the_same() {
        let file = b"* @all\n/apps/ @ann @bob @acme/team x@y.z # shop\n/apps/free\n";
        let of = |path: &str, most| CodeOwners::parse(file).people([path], "f", most);
        let mut both = of("apps/a.yaml", 9);
        both.sort();
        assert_eq!(both, ["ann", "bob"]);
        assert_eq!(of("apps/a.yaml", 1), of("apps/a.yaml", 1));
        assert_eq!(of("apps/a.yaml", 1).len(), 1);
        assert_eq!(of("x.yaml", 9), ["all"]);
        assert!(of("apps/free/x.yaml", 9).is_empty());
    }

    #[test]
    fn hostile_patterns_take_little_time() {
        let pattern = "*a".repeat(500);
        let file = format!("{pattern} @all\n{}x @all", "**/".repeat(300));
        let path = format!("{}b", "a".repeat(2_000));
        assert_eq!(owners(&file, &path), "");
    }
}
