//! How kubemend behaves on the forge: caps, quiet hours, drafts, labels, what is ignored. Pure.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the pull-request life cycle. Every key is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// `false`: nothing is written in this repository.
    pub enabled: bool,
    /// Namespaces for which nothing is written.
    pub paused_namespaces: Vec<String>,
    /// What is never proposed.
    pub ignore: Vec<Ignore>,
    /// The branch that pull requests go to; the default branch when absent.
    pub base_branch: Option<String>,
    /// What branch names start with.
    pub branch_prefix: String,
    /// Prefixes of earlier times, under which pull requests are still found.
    pub prefix_old: Vec<String>,
    /// Open pull requests at most.
    pub max_open_prs: u32,
    /// Open pull requests for one namespace at most.
    pub max_open_per_namespace: u32,
    /// New pull requests in an hour at most.
    pub max_prs_per_hour: u32,
    /// Critical findings may exceed the caps, up to this many open pull requests.
    pub hard_cap: u32,
    /// After so many pull requests in a row that people closed, only the dashboard tells; 0 switches it off.
    pub inactivity_pause: u32,
    /// How long something must fail before a pull request is opened.
    #[serde(serialize_with = "jiff::fmt::serde::duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub min_failure_age: SignedDuration,
    /// How long after a close nothing new is opened for the same object.
    #[serde(serialize_with = "jiff::fmt::serde::duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub cooldown_after_close: SignedDuration,
    /// How many days a close by a human counts; for ever (until the values in Git change) when absent.
    pub suppress_days: Option<u32>,
    /// When nothing new is opened.
    pub quiet_hours: Vec<QuietHours>,
    /// When pull requests are drafts.
    pub draft: Draft,
    /// More labels for pull requests.
    pub labels: Vec<String>,
    /// How many owners of CODEOWNERS are assigned; 0 leaves it to GitHub.
    pub assign_code_owners: u32,
    /// Whether commits carry a `Signed-off-by` trailer.
    pub signoff: bool,
    /// Whether commit subjects are conventional (`fix(k8s): …`).
    pub conventional_commits: Conventional,
    /// One issue that lists everything, with checkboxes.
    pub dashboard: bool,
    /// Questions as issues; otherwise they are only listed.
    pub questions: bool,
    /// Days that the branch of a closed pull request is kept.
    pub keep_branch_days: u32,
    /// Healthy observations in a row before a pull request counts as resolved.
    pub resolved_after: u32,
    /// `help`, `status` and `explain` are answered to people who may only read.
    pub readers_may_ask: bool,
    /// Machine accounts (numeric ids) that may give commands.
    pub allowed_bots: Vec<u64>,
}

/// What is never proposed: all given keys must fit. Names may hold `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ignore {
    /// Namespace.
    pub namespace: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Failure class.
    pub class: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
}

/// A period of the day in which nothing new is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// `22:00`.
    pub from: String,
    /// `06:00`; before `from` means the next day.
    pub to: String,
    /// `mon` … `sun`; every day when empty.
    #[serde(default)]
    pub days: Vec<String>,
    /// Offset from UTC: `+02:00`; UTC when absent.
    #[serde(default)]
    pub offset: Option<String>,
}

/// When pull requests are drafts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Draft {
    /// Where policy wants a human's confirmation.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never; a label tells instead.
    Never,
}

/// Conventional commit subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Conventional {
    /// As the last commits of the repository do.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            enabled: true,
            paused_namespaces: Vec::new(),
            ignore: Vec::new(),
            base_branch: None,
            branch_prefix: "kubemend/".to_owned(),
            prefix_old: Vec::new(),
            max_open_prs: 5,
            max_open_per_namespace: 2,
            max_prs_per_hour: 2,
            hard_cap: 10,
            inactivity_pause: 3,
            min_failure_age: SignedDuration::from_mins(10),
            cooldown_after_close: SignedDuration::from_hours(7 * 24),
            suppress_days: None,
            quiet_hours: Vec::new(),
            draft: Draft::Auto,
            labels: Vec::new(),
            assign_code_owners: 0,
            signoff: false,
            conventional_commits: Conventional::Auto,
            dashboard: true,
            questions: true,
            keep_branch_days: 7,
            resolved_after: 3,
            readers_may_ask: false,
            allowed_bots: Vec::new(),
        }
    }
}

impl Rules {
    /// Whether nothing new may be opened now.
    pub fn quiet(&self, _now: Timestamp) -> bool {
        false
    }
}
