//! The grammar of one line: `/kubemend VERB ARGUMENT KEY=VALUE KEY="a \" quoted value"`.

use jiff::SignedDuration;

use super::{Command, MAX_TEXT, MAX_VALUE, MAX_VALUES, Mistake, is_invisible};
use crate::meaning;
use crate::message;
use crate::schema::nearest;

/// What a line starts with.
pub(super) const PREFIX: &str = "/kubemend";

/// The most characters of a mistaken word that are shown again.
const MAX_SHOWN: usize = 60;

/// The longest period of `ignore` that is not for ever.
const MAX_DAYS: i64 = 3_650;

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Bare(String),
    Pair(String, String),
}

/// The command of a line that starts with [`PREFIX`].
pub(super) fn command(line: &str) -> Result<Command, Mistake> {
    let rest = line.get(PREFIX.len()..).unwrap_or_default();
    let mut words = words(rest)?.into_iter();
    let verb = match words.next() {
        None => return Ok(Command::Help),
        Some(Word::Bare(verb)) => verb.to_lowercase(),
        Some(Word::Pair(key, _)) => return Err(unknown_verb(&key)),
    };
    if !Command::VERBS.contains(&verb.as_str()) {
        return Err(unknown_verb(&verb));
    }
    of_verb(&verb, words.collect())
}

fn of_verb(verb: &str, words: Vec<Word>) -> Result<Command, Mistake> {
    match verb {
        "explain" => explain(words),
        "retry" => retry(words),
        "choose" => choose(words),
        "set" => set(words),
        "ignore" => ignore(words),
        _ => {
            none(verb, &words)?;
            Ok(match verb {
                "status" => Command::Status,
                "rebase" => Command::Rebase,
                "recreate" => Command::Recreate,
                "unignore" => Command::Unignore,
                "verify" => Command::Verify,
                "revert" => Command::Revert,
                "pause" => Command::Pause,
                "resume" => Command::Resume,
                _ => Command::Help,
            })
        }
    }
}

fn unknown_verb(found: &str) -> Mistake {
    let near = nearest(found, Command::VERBS).map(str::to_owned);
    Mistake::Unknown {
        found: shown(found),
        near,
    }
}

fn none(verb: &str, words: &[Word]) -> Result<(), Mistake> {
    words.first().map_or(Ok(()), |w| Err(unknown(verb, w, &[])))
}

fn unknown(verb: &str, word: &Word, known: &[&str]) -> Mistake {
    let found = match word {
        Word::Bare(text) | Word::Pair(text, _) => text,
    };
    Mistake::UnknownArg {
        command: verb.to_owned(),
        found: shown(found),
        near: nearest(found, known.iter().copied()).map(str::to_owned),
    }
}

/// At most one bare word.
fn one(verb: &str, words: Vec<Word>) -> Result<Option<String>, Mistake> {
    let mut words = words.into_iter();
    let first = match words.next() {
        None => return Ok(None),
        Some(Word::Bare(text)) => text,
        Some(pair) => return Err(unknown(verb, &pair, &[])),
    };
    match words.next() {
        Some(more) => Err(unknown(verb, &more, &[])),
        None => Ok(Some(first.trim_matches('`').to_owned())),
    }
}

fn explain(words: Vec<Word>) -> Result<Command, Mistake> {
    let Some(code) = one("explain", words)? else {
        return Ok(Command::Explain { code: None });
    };
    match meaning::of(&code) {
        Some(known) => Ok(Command::Explain {
            code: Some(known.name),
        }),
        None => Err(Mistake::UnknownArg {
            command: "explain".to_owned(),
            found: shown(&code),
            near: meaning::nearest(&code),
        }),
    }
}

fn retry(words: Vec<Word>) -> Result<Command, Mistake> {
    let mut hint = None;
    for word in words {
        match word {
            Word::Pair(key, value) if key.eq_ignore_ascii_case("hint") => {
                if hint.is_some() {
                    return Err(Mistake::Duplicate("hint".to_owned()));
                }
                hint = Some(bounded(&value, MAX_TEXT, "a hint")?);
            }
            other => return Err(unknown("retry", &other, &["hint"])),
        }
    }
    Ok(Command::Retry { hint })
}

fn choose(words: Vec<Word>) -> Result<Command, Mistake> {
    let Some(word) = one("choose", words)? else {
        return Err(Mistake::MissingArg {
            command: "choose".to_owned(),
            what: "the number of an option, like `choose 2`".to_owned(),
        });
    };
    let digits = word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit());
    match word.parse::<usize>() {
        Ok(option) if digits && option > 0 => Ok(Command::Choose { option }),
        _ => Err(bad(&word, "the number of an option (1 to 99)")),
    }
}

fn set(words: Vec<Word>) -> Result<Command, Mistake> {
    let mut values: Vec<(String, String)> = Vec::new();
    for word in words {
        let Word::Pair(key, value) = word else {
            return Err(unknown("set", &word, &[]));
        };
        if !is_key(&key) {
            return Err(bad(&key, "a key (letters, digits and `._-/`)"));
        }
        if values.iter().any(|(k, _)| *k == key) {
            return Err(Mistake::Duplicate(shown(&key)));
        }
        let value = bounded(&value, MAX_VALUE, "a value")?;
        values.push((key, value));
    }
    match values.len() {
        0 => Err(Mistake::MissingArg {
            command: "set".to_owned(),
            what: "a key and a value, like `set KEY=VALUE`".to_owned(),
        }),
        1..=MAX_VALUES => Ok(Command::Set { values }),
        _ => Err(bad("set", "at most 20 values")),
    }
}

fn is_key(key: &str) -> bool {
    (1..=128).contains(&key.len())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
}

fn ignore(words: Vec<Word>) -> Result<Command, Mistake> {
    let Some(word) = one("ignore", words)? else {
        return Ok(Command::Ignore { period: None });
    };
    if word.eq_ignore_ascii_case("forever") {
        return Ok(Command::Ignore { period: None });
    }
    let period = period(&word)
        .ok_or_else(|| bad(&word, "a period like `7d`, `12h` or `2w`, or `forever`"))?;
    Ok(Command::Ignore {
        period: Some(period),
    })
}

/// `12h`, `7d`, `2w`: whole hours, days or weeks, up to ten years.
fn period(word: &str) -> Option<SignedDuration> {
    let unit = word.chars().last()?;
    let number = word.strip_suffix(unit)?;
    if number.is_empty() || number.len() > 5 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = number.parse().ok()?;
    let hours = match unit.to_ascii_lowercase() {
        'h' => number,
        'd' => number * 24,
        'w' => number * 24 * 7,
        _ => return None,
    };
    (1..=MAX_DAYS * 24)
        .contains(&hours)
        .then(|| SignedDuration::from_hours(hours))
}

/// A period as it is written.
pub(super) fn period_text(period: SignedDuration) -> String {
    let hours = period.as_hours();
    match hours % 24 {
        0 => format!("{}d", hours / 24),
        _ => format!("{hours}h"),
    }
}

fn bounded(value: &str, most: usize, what: &str) -> Result<String, Mistake> {
    let value = visible(value).trim().to_owned();
    if value.is_empty() {
        return Err(bad("", &format!("{what}: it is empty")));
    }
    if value.chars().count() > most {
        return Err(bad(&value, &format!("{what}: more than {most} characters")));
    }
    Ok(value)
}

fn bad(value: &str, what: &str) -> Mistake {
    Mistake::BadValue {
        value: shown(value),
        what: what.to_owned(),
    }
}

/// A mistaken word as it may be shown again: short, and nothing that is not seen.
fn shown(text: &str) -> String {
    let text = visible(text).replace(['`', '\n'], "'");
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn visible(text: &str) -> String {
    message::clean(text)
        .chars()
        .filter(|c| !is_invisible(*c))
        .collect()
}

/// A value in quotes, read again as it was.
pub(super) fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c));
    if plain {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Words of a line. Outside quotes nothing may hide.
fn words(line: &str) -> Result<Vec<Word>, Mistake> {
    let mut chars = line.chars().peekable();
    let mut words = Vec::new();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut chars)?);
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn word(chars: &mut Chars<'_>) -> Result<Word, Mistake> {
    if let Some(quote) = chars.next_if(|c| is_quote(*c)) {
        return Ok(Word::Bare(quoted_value(chars, quote)?));
    }
    let head = bare(chars, |c| c == '=')?;
    if head.is_empty() || chars.next_if_eq(&'=').is_none() {
        let tail = bare(chars, |_| false)?;
        return Ok(Word::Bare(head + &tail));
    }
    match chars.next_if(|c| is_quote(*c)) {
        Some(quote) => Ok(Word::Pair(head, quoted_value(chars, quote)?)),
        None => Ok(Word::Pair(head, bare(chars, |_| false)?)),
    }
}

fn bare(chars: &mut Chars<'_>, stop: impl Fn(char) -> bool) -> Result<String, Mistake> {
    let mut out = String::new();
    while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !stop(*c)) {
        if is_invisible(c) {
            return Err(Mistake::Invisible);
        }
        out.push(c);
    }
    Ok(out)
}

/// Straight, or as a telephone writes them.
fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}')
}

fn quoted_value(chars: &mut Chars<'_>, quote: char) -> Result<String, Mistake> {
    let ends = |c: char| match quote {
        '"' => c == '"',
        _ => matches!(c, '\u{201c}' | '\u{201d}'),
    };
    let mut out = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next_if(|n| *n == '\\' || ends(*n)) {
                Some(escaped) => out.push(escaped),
                None => out.push('\\'),
            },
            c if ends(c) => return after_quote(chars, out),
            c => out.push(c),
        }
    }
    Err(Mistake::UnclosedQuote)
}

fn after_quote(chars: &mut Chars<'_>, value: String) -> Result<String, Mistake> {
    match chars.peek() {
        Some(c) if !c.is_whitespace() => Err(bad(&value, "followed by a space after its quote")),
        _ => Ok(value),
    }
}
