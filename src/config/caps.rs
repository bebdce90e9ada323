//! What the operator does not let a repository loosen. Pure.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{Draft, Rules};
use super::{Config, SharedBase, period};

/// Bounds that count whatever a repository, a flag or a variable says. Each is absent by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// At most for `max_open_prs`.
    pub max_open_prs: Option<u32>,
    /// At most for `max_open_per_namespace`.
    pub max_open_per_namespace: Option<u32>,
    /// At most for `max_prs_per_hour`.
    pub max_prs_per_hour: Option<u32>,
    /// At most for `hard_cap`.
    pub hard_cap: Option<u32>,
    /// At least for `min_failure_age`.
    #[serde(with = "period::optional")]
    #[schemars(with = "Option<String>", extend("examples" = ["10m", "1h"]))]
    pub min_failure_age: Option<SignedDuration>,
    /// At least for `cooldown_after_close`.
    #[serde(with = "period::optional")]
    #[schemars(with = "Option<String>", extend("examples" = ["7d"]))]
    pub cooldown_after_close: Option<SignedDuration>,
    /// `false`: no repository may switch `raise_memory` on.
    pub raise_memory: Option<bool>,
    /// The loosest value that a repository may choose, of `base`, `overlay`, `refuse`.
    pub shared_base: Option<SharedBase>,
    /// `always`: every pull request is a draft. `auto`: no repository may choose `never`.
    pub draft: Option<Draft>,
    /// `true`: no repository may switch its dashboard off.
    pub dashboard: Option<bool>,
    /// `false`: no repository may let readers ask.
    pub readers_may_ask: Option<bool>,
    /// The only machine accounts that a repository may allow to give commands.
    pub allowed_bots: Option<Vec<u64>>,
}

/// Brings a configuration inside its own caps. Says what was changed, one sentence each.
pub(super) fn tighten(config: &mut Config) -> Vec<String> {
    let caps = config.caps.clone();
    let mut notes = Vec::new();
    let rules = &mut config.pull_requests;
    numbers(&caps, rules, &mut notes);
    periods(&caps, rules, &mut notes);
    let mut put = |key: &str, is: bool, what: &str| {
        if is {
            notes.push(format!("the operator's cap counts for `{key}`: {what}"));
        }
        is
    };
    if put(
        "raise_memory",
        caps.raise_memory == Some(false) && config.raise_memory,
        "false",
    ) {
        config.raise_memory = false;
    }
    let least = caps.shared_base.unwrap_or(SharedBase::Base);
    if put(
        "shared_base",
        config.shared_base < least,
        "a stricter value",
    ) {
        config.shared_base = least;
    }
    if put(
        "draft",
        loosens(rules.draft, caps.draft),
        "a stricter value",
    ) {
        rules.draft = caps.draft.unwrap_or_default();
    }
    if put(
        "dashboard",
        caps.dashboard == Some(true) && !rules.dashboard,
        "true",
    ) {
        rules.dashboard = true;
    }
    if put(
        "readers_may_ask",
        caps.readers_may_ask == Some(false) && rules.readers_may_ask,
        "false",
    ) {
        rules.readers_may_ask = false;
    }
    if let Some(allowed) = &caps.allowed_bots {
        let before = rules.allowed_bots.len();
        rules.allowed_bots.retain(|id| allowed.contains(id));
        put(
            "allowed_bots",
            rules.allowed_bots.len() < before,
            "others are left out",
        );
    }
    notes
}

fn numbers(caps: &Caps, rules: &mut Rules, notes: &mut Vec<String>) {
    let all = [
        ("max_open_prs", &mut rules.max_open_prs, caps.max_open_prs),
        (
            "max_open_per_namespace",
            &mut rules.max_open_per_namespace,
            caps.max_open_per_namespace,
        ),
        (
            "max_prs_per_hour",
            &mut rules.max_prs_per_hour,
            caps.max_prs_per_hour,
        ),
        ("hard_cap", &mut rules.hard_cap, caps.hard_cap),
    ];
    for (key, value, cap) in all {
        if let Some(cap) = cap.filter(|cap| *value > *cap) {
            notes.push(format!(
                "`{key}: {value}` is over the operator's cap; {cap} counts"
            ));
            *value = cap;
        }
    }
}

fn periods(caps: &Caps, rules: &mut Rules, notes: &mut Vec<String>) {
    let all = [
        (
            "min_failure_age",
            &mut rules.min_failure_age,
            caps.min_failure_age,
        ),
        (
            "cooldown_after_close",
            &mut rules.cooldown_after_close,
            caps.cooldown_after_close,
        ),
    ];
    for (key, value, cap) in all {
        if let Some(cap) = cap.filter(|cap| *value < *cap) {
            let (is, counts) = (period::show(*value), period::show(cap));
            notes.push(format!(
                "`{key}: {is}` is under the operator's bound; {counts} counts"
            ));
            *value = cap;
        }
    }
}

fn loosens(draft: Draft, cap: Option<Draft>) -> bool {
    let strictness = |d: Draft| match d {
        Draft::Never => 0,
        Draft::Auto => 1,
        Draft::Always => 2,
    };
    cap.is_some_and(|cap| strictness(draft) < strictness(cap))
}
