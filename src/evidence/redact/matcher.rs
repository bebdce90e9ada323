//! All rules in one matcher. Once it has seen texts, the memory that it works in takes megabytes: all threads
//! share it here, where `regex` keeps one for each of up to nine of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use regex_automata::meta::{BuildError, Cache, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures;
use regex_automata::util::iter::Searcher;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

/// The largest automaton.
const SIZE_LIMIT: usize = 16 << 20;

/// What a pattern that does not compile is.
type Built<T> = Result<T, Box<BuildError>>;

/// Rules, looked for at the same time.
pub(super) struct Matcher {
    /// Tells which of them match at all.
    set: Regex,
    rules: Vec<Regex>,
    idle: Mutex<Vec<Scratch>>,
}

/// What one search works in.
struct Scratch {
    set: Cache,
    rules: BTreeMap<usize, Cache>,
}

/// Where a rule matches.
pub(super) struct Hit {
    /// The number of the rule.
    pub(super) rule: usize,
    /// The match.
    pub(super) whole: Range<usize>,
    /// Its first group that took part, else all of it.
    pub(super) part: Range<usize>,
}

impl Matcher {
    pub(super) fn new(patterns: &[String]) -> Built<Self> {
        let rules = patterns.iter().map(|p| rule(p));
        Ok(Self {
            set: set(patterns)?,
            rules: rules.collect::<Built<_>>()?,
            idle: Mutex::default(),
        })
    }

    /// Where the rules match; of one rule no two places overlap.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Hit> {
        let scratch = self.idle().pop();
        let mut scratch = scratch.unwrap_or_else(|| Scratch {
            set: self.set.create_cache(),
            rules: BTreeMap::new(),
        });
        let mut matching = PatternSet::new(self.set.pattern_len());
        let input = Input::new(text);
        self.set
            .which_overlapping_matches_with(&mut scratch.set, &input, &mut matching);
        let mut hits = Vec::new();
        for index in matching.iter().map(|pattern| pattern.as_usize()) {
            if let Some(rule) = self.rules.get(index) {
                let cache = scratch.rules.entry(index);
                let cache = cache.or_insert_with(|| rule.create_cache());
                places(rule, cache, text, |whole, part| {
                    hits.push(Hit {
                        rule: index,
                        whole,
                        part,
                    });
                });
            }
        }
        self.idle().push(scratch);
        hits
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn places(
    rule: &Regex,
    cache: &mut Cache,
    text: &[u8],
    mut found: impl FnMut(Range<usize>, Range<usize>),
) {
    let mut captures = rule.create_captures();
    let mut searcher = Searcher::new(Input::new(text));
    while let Some(whole) = searcher.advance(|input| {
        rule.search_captures_with(cache, input, &mut captures);
        Ok(captures.get_match())
    }) {
        let part = first_group(&captures).unwrap_or(whole.range());
        found(whole.range(), part);
    }
}

fn first_group(captures: &Captures) -> Option<Range<usize>> {
    let groups = 1..captures.group_len();
    groups
        .filter_map(|i| captures.get_group(i))
        .next()
        .map(|span| span.range())
}

fn set(patterns: &[String]) -> Built<Regex> {
    let config = config()
        .match_kind(MatchKind::All)
        .which_captures(WhichCaptures::None);
    let mut builder = Regex::builder();
    builder.configure(config).syntax(syntax());
    builder.build_many(patterns).map_err(Box::new)
}

fn rule(pattern: &str) -> Built<Regex> {
    let mut builder = Regex::builder();
    builder.configure(config()).syntax(syntax());
    builder.build(pattern).map_err(Box::new)
}

fn config() -> Config {
    Config::new()
        .nfa_size_limit(Some(SIZE_LIMIT))
        .utf8_empty(false)
}

/// Bytes, without Unicode tables.
fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}
