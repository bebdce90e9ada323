//! The result of an evaluation as numbers, a table and JSON. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::definition::Outcome;
use super::grade::{Grade, Graded};

/// One case with all its runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// The name of its folder.
    pub id: String,
    /// Its failure class.
    pub class: String,
    /// The best ending.
    pub expect: Outcome,
    /// Other right endings.
    pub also_accepted: Vec<Outcome>,
    /// Whether the case is ambiguous by its own account.
    pub weak: bool,
    /// The runs, at least one.
    pub runs: Vec<Graded>,
}

impl CaseReport {
    fn accepts(&self, outcome: Outcome) -> bool {
        self.expect == outcome || self.also_accepted.contains(&outcome)
    }
}

/// A folder that could not be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The folder.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Whether it is a case that is broken, rather than no case.
    pub broken: bool,
}

/// A share with its 95 % interval (Wilson).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// How many.
    pub hits: usize,
    /// Of how many.
    pub of: usize,
    /// The share; 0 when there is nothing to count.
    pub rate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// The numbers of a group of cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// How many cases.
    pub cases: usize,
    /// How many runs ended in each grade.
    pub grades: BTreeMap<&'static str, usize>,
    /// Runs that ended right: fixed, or an accepted ending with its reason.
    pub good: Rate,
    /// Runs that were fixed, of cases in which a pull request is right.
    pub fixed: Rate,
    /// Runs whose kind of ending is right, whatever it says.
    pub outcome: Rate,
    /// Pull requests where none is right, of runs of such cases.
    pub false_pr: Rate,
    /// Pull requests that changed more than they may, of all pull requests.
    pub collateral: Rate,
    /// Cases all of whose runs ended right.
    pub every_run_good: Rate,
}

/// Times and tokens, for information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Median time of a run.
    pub median_ms: u64,
    /// 95th percentile of the time of a run.
    pub p95_ms: u64,
    /// Tokens of a model, all runs.
    pub tokens: u64,
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Who proposed.
    pub proposer: String,
    /// Runs of each case.
    pub runs: usize,
    /// All cases.
    pub total: Group,
    /// The cases that are ambiguous by their own account.
    pub weak: Group,
    /// By class.
    pub classes: BTreeMap<String, Group>,
    /// Times and tokens.
    pub cost: Cost,
    /// Case by case.
    pub cases: Vec<CaseReport>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

impl Report {
    /// Counts.
    pub fn new(proposer: &str, runs: usize, cases: Vec<CaseReport>, skipped: Vec<Skipped>) -> Self {
        let all: Vec<&CaseReport> = cases.iter().collect();
        let mut classes: BTreeMap<String, Vec<&CaseReport>> = BTreeMap::new();
        for case in &cases {
            classes.entry(case.class.clone()).or_default().push(case);
        }
        let weak: Vec<&CaseReport> = cases.iter().filter(|c| c.weak).collect();
        Self {
            proposer: proposer.to_owned(),
            runs,
            total: Group::of(&all),
            weak: Group::of(&weak),
            classes: classes
                .iter()
                .map(|(name, cases)| (name.clone(), Group::of(cases)))
                .collect(),
            cost: cost(&all),
            cases,
            skipped,
        }
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = self.endings();
        out += &self.table();
        out += &self.rates();
        for skipped in &self.skipped {
            let word = if skipped.broken {
                "broken case"
            } else {
                "skipped"
            };
            let _ = writeln!(out, "{word}: {}: {}", skipped.id, skipped.reason);
        }
        out
    }

    /// The runs that did not end well.
    fn endings(&self) -> String {
        let mut out = String::new();
        for case in &self.cases {
            for run in case.runs.iter().filter(|r| !r.grade.is_good()) {
                let outcome = run.outcome.map_or("-".to_owned(), |o| o.to_string());
                let code = run.code.as_deref().unwrap_or("-");
                let grade = run.grade.word();
                let _ = writeln!(
                    out,
                    "{grade:<7} {} ({outcome} {code}): {}",
                    case.id, run.title
                );
                for why in &run.why {
                    let _ = writeln!(out, "        {why}");
                }
            }
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out
    }

    fn table(&self) -> String {
        let mut out = format!("{:<18} {:>5}", "class", "cases");
        for grade in Grade::ALL {
            let _ = write!(out, " {:>6}", grade.word());
        }
        out += "   right endings\n";
        let weak = ("(of these weak)".to_owned(), &self.weak);
        let total = ("total".to_owned(), &self.total);
        let classes = self
            .classes
            .iter()
            .map(|(name, group)| (name.clone(), group));
        for (name, group) in classes.chain([total, weak]) {
            let _ = write!(out, "{name:<18} {:>5}", group.cases);
            for grade in Grade::ALL {
                let count = group.grades.get(grade.word()).copied().unwrap_or(0);
                let _ = write!(out, " {count:>6}");
            }
            let _ = writeln!(out, "   {}", group.good.text());
        }
        out.push('\n');
        out
    }

    fn rates(&self) -> String {
        let total = &self.total;
        let mut rows = vec![
            ("right endings", total.good),
            ("right kind of ending", total.outcome),
            ("fixed, where a pull request is right", total.fixed),
            ("pull request where none is right", total.false_pr),
            ("pull requests that change too much", total.collateral),
        ];
        if self.runs > 1 {
            rows.push(("right in every run", total.every_run_good));
        }
        let mut out = String::new();
        for (name, rate) in rows {
            let _ = writeln!(out, "{name:<38} {}", rate.text());
        }
        let cost = self.cost;
        let _ = writeln!(
            out,
            "proposer {}, {} run(s) a case, median {} ms, p95 {} ms, {} tokens",
            self.proposer, self.runs, cost.median_ms, cost.p95_ms, cost.tokens
        );
        out
    }
}

impl Group {
    fn of(cases: &[&CaseReport]) -> Self {
        let runs: Vec<(&CaseReport, &Graded)> = cases
            .iter()
            .flat_map(|case| case.runs.iter().map(move |run| (*case, run)))
            .collect();
        let mut grades: BTreeMap<&'static str, usize> = BTreeMap::new();
        for (_, run) in &runs {
            *grades.entry(run.grade.word()).or_default() += 1;
        }
        let count = |of: fn(&CaseReport, &Graded) -> bool,
                     hit: fn(&CaseReport, &Graded) -> bool| {
            let counted: Vec<_> = runs.iter().filter(|(c, r)| of(c, r)).collect();
            let hits = counted.iter().filter(|(c, r)| hit(c, r)).count();
            Rate::new(hits, counted.len())
        };
        let steady = cases
            .iter()
            .filter(|c| c.runs.iter().all(|r| r.grade.is_good()));
        Self {
            cases: cases.len(),
            good: count(|_, _| true, |_, r| r.grade.is_good()),
            fixed: count(
                |c, _| c.accepts(Outcome::Pr),
                |_, r| r.grade == Grade::Fixed,
            ),
            outcome: count(|_, _| true, |c, r| r.outcome.is_some_and(|o| c.accepts(o))),
            false_pr: count(
                |c, _| !c.accepts(Outcome::Pr),
                |_, r| r.outcome == Some(Outcome::Pr),
            ),
            collateral: count(
                |_, r| r.outcome == Some(Outcome::Pr),
                |_, r| !r.collateral.is_empty(),
            ),
            every_run_good: Rate::new(steady.count(), cases.len()),
            grades,
        }
    }
}

impl Rate {
    /// A share with its interval.
    pub fn new(hits: usize, of: usize) -> Self {
        if of == 0 {
            let (rate, low, high) = (0.0, 0.0, 1.0);
            return Self {
                hits,
                of,
                rate,
                low,
                high,
            };
        }
        let (n, z) = (of as f64, 1.959_964);
        let p = hits as f64 / n;
        let scale = 1.0 + z * z / n;
        let center = (p + z * z / (2.0 * n)) / scale;
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / scale;
        Self {
            hits,
            of,
            rate: p,
            low: (center - half).max(0.0),
            high: (center + half).min(1.0),
        }
    }

    fn text(&self) -> String {
        if self.of == 0 {
            return "0/0".to_owned();
        }
        let percent = |x: f64| x * 100.0;
        format!(
            "{}/{} = {:.1} % [{:.1}, {:.1}]",
            self.hits,
            self.of,
            percent(self.rate),
            percent(self.low),
            percent(self.high)
        )
    }
}

fn cost(cases: &[&CaseReport]) -> Cost {
    let runs = || {
        cases
            .iter()
            .flat_map(|c| &c.runs)
            .filter(|r| r.outcome.is_some())
    };
    let mut times: Vec<u64> = runs().map(|r| r.millis).collect();
    times.sort_unstable();
    let at = |percent: usize| {
        let last = times.len().saturating_sub(1);
        times
            .get((last * percent).div_ceil(100))
            .copied()
            .unwrap_or(0)
    };
    Cost {
        median_ms: at(50),
        p95_ms: at(95),
        tokens: runs().map(|r| r.tokens).sum(),
    }
}
