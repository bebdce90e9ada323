//! How kubemend behaves on the forge: caps, quiet hours, drafts, labels, what is ignored. Pure.

use jiff::civil::{Date, Weekday};
use jiff::{SignedDuration, Timestamp, tz::Offset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::glob::glob;
use super::period;
use crate::finding::Finding;
use crate::verify::machine::Timing;

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
    #[serde(with = "period")]
    #[schemars(with = "String", regex(pattern = period::PATTERN), extend("examples" = ["10m", "12h", "7d"]))]
    pub min_failure_age: SignedDuration,
    /// How long after a close nothing new is opened for the same object.
    #[serde(with = "period")]
    #[schemars(with = "String", regex(pattern = period::PATTERN), extend("examples" = ["10m", "12h", "7d"]))]
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
    /// What is done after a merge, where the cluster is seen.
    pub verify: Verify,
}

/// How a merged fix is verified in the cluster. Every key is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// `false`: merged fixes are not looked at.
    pub enabled: bool,
    /// From the merge until it is applied; waiting for people does not count.
    #[serde(with = "period")]
    #[schemars(with = "String", regex(pattern = period::PATTERN), extend("examples" = ["10m", "12h", "7d"]))]
    pub apply: SignedDuration,
    /// From the apply until the workload is well.
    #[serde(with = "period")]
    #[schemars(with = "String", regex(pattern = period::PATTERN), extend("examples" = ["10m", "12h", "7d"]))]
    pub heal: SignedDuration,
    /// How long it must stay well.
    #[serde(with = "period")]
    #[schemars(with = "String", regex(pattern = period::PATTERN), extend("examples" = ["10m", "12h", "7d"]))]
    pub settle: SignedDuration,
    /// In how many looks in a row.
    #[schemars(range(min = 1, max = 100))]
    pub samples: u32,
    /// Whether a proven regression opens a pull request that takes the fix back.
    pub revert: bool,
}

impl Default for Verify {
    fn default() -> Self {
        let timing = Timing::default();
        Self {
            enabled: true,
            apply: timing.apply,
            heal: timing.heal,
            settle: timing.settle,
            samples: timing.samples,
            revert: true,
        }
    }
}

impl Verify {
    /// The clocks of the machine.
    pub fn timing(&self) -> Timing {
        Timing {
            apply: self.apply,
            heal: self.heal,
            settle: self.settle,
            rare: SignedDuration::ZERO,
            samples: self.samples,
        }
    }
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
    #[schemars(regex(pattern = TIME), extend("examples" = ["22:00"]))]
    pub from: String,
    /// `06:00`; at or before `from` means the next day.
    #[schemars(regex(pattern = TIME), extend("examples" = ["06:00"]))]
    pub to: String,
    /// The days on which it begins: `mon` … `sun`; every day when empty.
    #[serde(default)]
    #[schemars(with = "Vec<Day>")]
    pub days: Vec<String>,
    /// Offset from UTC: `+02:00`; UTC when absent.
    #[serde(default)]
    #[schemars(regex(pattern = OFFSET), extend("examples" = ["+02:00", "-05:30"]))]
    pub offset: Option<String>,
}

/// A time of the day.
const TIME: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
/// An offset from UTC.
const OFFSET: &str = "^[+-](0[0-9]|1[0-4]):[0-5][0-9]$";

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// What is done differently for some findings. Of several that match, the last one that says
/// something counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PathRule {
    /// Which findings.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Whether they are never proposed.
    pub ignore: Option<bool>,
    /// `true`: their pull requests are drafts. What policy makes a draft stays one.
    pub draft: Option<bool>,
    /// Why, for people.
    pub reason: Option<String>,
}

/// Which findings a rule is about: of each list that is given, one entry must fit. Entries may hold
/// `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Files in Git, from the repository's root; `*` crosses folders.
    pub paths: Vec<String>,
    /// Kinds.
    pub kinds: Vec<String>,
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Failure classes.
    pub classes: Vec<String>,
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

impl Draft {
    /// Whether a pull request starts as a draft; `unsure` says that policy wants a confirmation.
    pub fn of(self, unsure: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => unsure,
        }
    }
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

/// What our branches begin with, unless a repository says otherwise.
pub const BRANCH_PREFIX: &str = "kubemend/";

impl Default for Rules {
    fn default() -> Self {
        Self {
            enabled: true,
            paused_namespaces: Vec::new(),
            ignore: Vec::new(),
            base_branch: None,
            branch_prefix: BRANCH_PREFIX.to_owned(),
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
            verify: Verify::default(),
        }
    }
}

impl Rules {
    /// Whether nothing new may be opened now.
    pub fn quiet(&self, now: Timestamp) -> bool {
        self.quiet_hours.iter().any(|q| q.holds(now))
    }

    /// The entry of `ignore` that says that this is never proposed.
    pub fn ignored(&self, finding: &Finding) -> Option<&Ignore> {
        self.ignore.iter().find(|i| i.covers(finding))
    }
}

impl Ignore {
    /// Whether every key that is given fits; without any key nothing fits.
    pub fn covers(&self, finding: &Finding) -> bool {
        let object = &finding.object;
        let class = finding.class.to_string();
        let pairs = [
            (&self.namespace, object.namespace.as_deref()),
            (&self.kind, Some(object.kind.as_str())),
            (&self.name, Some(object.name.as_str())),
            (&self.class, Some(class.as_str())),
        ];
        !self.is_empty()
            && pairs.iter().all(|(pattern, value)| {
                pattern
                    .as_ref()
                    .is_none_or(|p| value.is_some_and(|v| glob(p, v)))
            })
    }

    /// Whether no key is given.
    pub fn is_empty(&self) -> bool {
        [&self.namespace, &self.kind, &self.name, &self.class]
            .iter()
            .all(|key| key.is_none())
    }
}

impl Match {
    /// Whether a finding that is (or would be) mended in these files is meant; without any list
    /// nothing is.
    pub fn covers(&self, finding: &Finding, files: &[&str]) -> bool {
        let object = &finding.object;
        let class = finding.class.to_string();
        let namespace: Vec<&str> = object.namespace.as_deref().into_iter().collect();
        let pairs: [(&[String], &[&str]); 4] = [
            (&self.paths, files),
            (&self.kinds, &[object.kind.as_str()]),
            (&self.namespaces, &namespace),
            (&self.classes, &[class.as_str()]),
        ];
        !self.is_empty()
            && pairs.iter().all(|(patterns, values)| {
                let fits = |p: &String| values.iter().any(|v| glob(p, v));
                patterns.is_empty() || patterns.iter().any(fits)
            })
    }

    /// Whether no list is given.
    pub fn is_empty(&self) -> bool {
        [&self.paths, &self.kinds, &self.namespaces, &self.classes]
            .iter()
            .all(|list| list.is_empty())
    }
}

impl QuietHours {
    /// Whether a moment lies in it. What cannot be read holds never; parsing refuses it before.
    pub fn holds(&self, now: Timestamp) -> bool {
        let times = minutes(&self.from).zip(minutes(&self.to));
        let (Some((from, to)), Some(offset)) = (times, self.seconds_from_utc()) else {
            return false;
        };
        let local = offset.to_datetime(now);
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let today = self.begins_on(local.date());
        if from < to {
            return today && (from..to).contains(&minute);
        }
        let begun_yesterday = || local.date().yesterday().is_ok_and(|d| self.begins_on(d));
        (today && minute >= from) || (minute < to && begun_yesterday())
    }

    fn begins_on(&self, date: Date) -> bool {
        let name = name(date.weekday());
        self.days.is_empty() || self.days.iter().any(|d| d == name)
    }

    fn seconds_from_utc(&self) -> Option<Offset> {
        let Some(text) = self.offset.as_deref() else {
            return Some(Offset::UTC);
        };
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+')?),
        };
        Offset::from_seconds(sign * minutes(rest)? * 60).ok()
    }
}

/// Minutes of `22:00`.
fn minutes(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| i32::from(hours) * 60 + i32::from(minutes))
}

fn name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}

#[cfg(test)]
mod tests;
