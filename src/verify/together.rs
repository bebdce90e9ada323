//! One merged fix in several clusters: from what each of them saw to one verdict. Pure.

use serde::{Deserialize, Serialize};

use crate::forge::reporters::cluster;
use crate::verify::machine::{Memory, Verdict};

/// The longest text of one cluster that is remembered, in characters.
pub const MAX_SAYS: usize = 400;

/// What is said of a cluster that is not waited for any more.
const UNSEEN: &str = "not seen, nothing was heard of it since the merge";

/// How far a merged fix got in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// `cluster` and its name.
    pub scope: String,
    /// What is remembered between looks.
    pub memory: Memory,
    /// What people read of it.
    pub says: String,
}

impl Trial {
    /// With texts of sane lengths: all of them have to fit into one comment.
    pub fn new(scope: &str, memory: &Memory, says: &str) -> Self {
        let cut = |text: &str| text.chars().take(MAX_SAYS).collect::<String>();
        let mut memory = memory.clone();
        if let Some(why) = memory.verdict.as_mut().and_then(Verdict::why_mut) {
            *why = cut(why);
        }
        Self {
            scope: scope.to_owned(),
            memory,
            says: cut(says),
        }
    }
}

/// What a cluster remembers.
pub fn memory(trials: &[Trial], scope: &str) -> Memory {
    let mine = trials.iter().find(|t| t.scope == scope);
    mine.map(|t| t.memory.clone()).unwrap_or_default()
}

/// The same with what one cluster says now.
pub fn with(mut trials: Vec<Trial>, mine: Trial) -> Vec<Trial> {
    match trials.iter_mut().find(|t| t.scope == mine.scope) {
        Some(known) => *known = mine,
        None => trials.push(mine),
    }
    trials
}

/// Who gives a verdict about a merged fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jury {
    /// The clusters that reported what it mends.
    Listed(Vec<String>),
    /// It was proposed without a cluster: the one in which it is applied.
    Whoever,
}

impl Jury {
    /// Who that is, from the runs that reported it.
    pub fn of<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let clusters = scopes.into_iter().filter(|s| cluster(s).is_some());
        let clusters: Vec<String> = clusters.map(str::to_owned).collect();
        match clusters.is_empty() {
            true => Self::Whoever,
            false => Self::Listed(clusters),
        }
    }

    /// Whether a cluster is asked.
    pub fn asks(&self, scope: &str) -> bool {
        match self {
            Self::Listed(scopes) => scopes.iter().any(|s| s == scope),
            Self::Whoever => cluster(scope).is_some(),
        }
    }

    /// Whether one cluster, known before, is all there is to ask.
    pub fn is_only(&self, scope: &str) -> bool {
        matches!(self, Self::Listed(scopes) if scopes.as_slice() == [scope])
    }

    /// The clusters that are waited for: those that are asked, or that came forward.
    pub fn members<'a>(&'a self, trials: &'a [Trial]) -> Vec<&'a str> {
        match self {
            Self::Listed(scopes) => scopes.iter().map(String::as_str).collect(),
            Self::Whoever => trials.iter().map(|t| t.scope.as_str()).collect(),
        }
    }

    /// Whether a cluster that is asked gave no word at all.
    pub fn lacks_a_word(&self, trials: &[Trial]) -> bool {
        let heard = |scope: &&str| trials.iter().any(|t| t.scope == **scope);
        !self.members(trials).iter().all(heard)
    }

    /// The verdict of all together: bad as soon as one is, good only when all are. When it is late,
    /// nobody waits for one of which nothing was heard: then it cannot be told.
    pub fn verdict(&self, trials: &[Trial], late: bool) -> Option<Verdict> {
        let members = self.members(trials);
        if let [only] = members.as_slice() {
            return given(trials, only).cloned();
        }
        if *self == Self::Whoever {
            return several(&members);
        }
        let unseen = Verdict::Inconclusive(UNSEEN.to_owned());
        let silent = |scope: &str| trials.iter().all(|t| t.scope != scope);
        let of = |scope: &str| match late && silent(scope) {
            true => Some(&unseen),
            false => given(trials, scope),
        };
        let all: Vec<(&str, Option<&Verdict>)> = members.iter().map(|m| (*m, of(m))).collect();
        let named = |scope: &str, why: &str| format!("{scope}: {why}");
        let bad = all.iter().find_map(|(scope, verdict)| match verdict {
            Some(Verdict::Regressed(why)) => Some(Verdict::Regressed(named(scope, why))),
            Some(Verdict::ApplyFailed(why)) => Some(Verdict::ApplyFailed(named(scope, why))),
            _ => None,
        });
        if bad.is_some() || all.iter().any(|(_, verdict)| verdict.is_none()) {
            return bad;
        }
        let open = all.iter().find_map(|(scope, verdict)| match verdict {
            Some(Verdict::Inconclusive(why)) => Some(Verdict::Inconclusive(named(scope, why))),
            _ => None,
        });
        Some(open.unwrap_or(Verdict::Verified))
    }
}

/// Nobody was asked, and several came forward: which of them counts is not known.
fn several(members: &[&str]) -> Option<Verdict> {
    (members.len() > 1).then(|| {
        Verdict::Inconclusive(format!(
            "it was proposed without a cluster, and more than one applies it: {}",
            members.join(", ")
        ))
    })
}

fn given<'t>(trials: &'t [Trial], scope: &str) -> Option<&'t Verdict> {
    let trial = trials.iter().find(|t| t.scope == scope)?;
    trial.memory.verdict.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(name: &str, verdict: Option<Verdict>) -> Trial {
        let memory = Memory {
            verdict,
            ..Memory::default()
        };
        Trial::new(&format!("cluster {name}"), &memory, "")
    }

    fn jury() -> Jury {
        Jury::of(["manifests", "cluster a", "cluster b"])
    }

    fn bad(why: &str) -> Option<Verdict> {
        Some(Verdict::Regressed(why.to_owned()))
    }

    fn open(why: &str) -> Option<Verdict> {
        Some(Verdict::Inconclusive(why.to_owned()))
    }

    const GOOD: Option<Verdict> = Some(Verdict::Verified);

    #[test]
    fn all_are_good_or_one_is_bad() {
        let both = |a, b| jury().verdict(&[trial("a", a), trial("b", b)], true);
        assert_eq!(both(GOOD, GOOD), GOOD);
        assert_eq!(both(GOOD, None), None);
        let silent = |late, a| jury().verdict(&[trial("a", a)], late);
        assert_eq!(silent(false, GOOD), None, "b is silent");
        let unseen = format!("cluster b: {UNSEEN}");
        assert_eq!(silent(true, GOOD), open(&unseen), "never verified");
        assert_eq!(silent(true, None), None, "a still looks");
        assert_eq!(silent(true, bad("x")), bad("cluster a: x"));
        assert_eq!(both(None, bad("x")), bad("cluster b: x"), "at once");
        assert_eq!(both(GOOD, bad("x")), bad("cluster b: x"));
        assert_eq!(both(open("y"), bad("x")), bad("cluster b: x"));
        assert_eq!(both(open("y"), None), None);
        assert_eq!(both(open("y"), GOOD), open("cluster a: y"));
    }

    #[test]
    fn only_those_who_are_asked_count() {
        let trials = [trial("a", GOOD), trial("b", GOOD), trial("c", bad("x"))];
        assert_eq!(jury().verdict(&trials, true), GOOD);
        assert!(jury().asks("cluster a") && !jury().asks("cluster c"));
        assert!(!jury().asks("manifests"));
        let one = Jury::of(["cluster a"]);
        assert!(one.is_only("cluster a") && !jury().is_only("cluster a"));
        assert_eq!(one.verdict(&trials, true), GOOD);
        assert_eq!(
            one.verdict(&[trial("a", bad("x"))], true),
            bad("x"),
            "no name"
        );
    }

    #[test]
    fn without_a_list_one_may_come_forward_and_not_two() {
        let whoever = Jury::of(["manifests"]);
        assert!(whoever.asks("cluster a") && !whoever.asks("manifests"));
        assert_eq!(whoever.verdict(&[], true), None);
        assert_eq!(whoever.verdict(&[trial("a", None)], true), None);
        assert_eq!(whoever.verdict(&[trial("a", GOOD)], true), GOOD);
        let two = whoever.verdict(&[trial("a", GOOD), trial("b", None)], true);
        assert!(
            matches!(&two, Some(Verdict::Inconclusive(why)) if why.ends_with("cluster a, cluster b")),
            "{two:?}"
        );
    }

    #[test]
    fn what_is_remembered_of_one_is_bounded() {
        let long = "é".repeat(9_999);
        let memory = Memory {
            verdict: bad(&long),
            ..Memory::default()
        };
        let trial = Trial::new("cluster a", &memory, &long);
        assert_eq!(trial.says.chars().count(), MAX_SAYS);
        let Some(Verdict::Regressed(why)) = trial.memory.verdict else {
            unreachable!()
        };
        assert_eq!(why.chars().count(), MAX_SAYS);
    }
}
