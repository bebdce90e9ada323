//! A soak: faults in one shop after the other, each found, mended, merged, applied and verified, for as
//! long as is asked for; and what `kubemend serve --watch` takes meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::faults::{End, FAULTS, Fault};
use crate::filler;
use crate::plane::Plane;
use crate::shop::is_rolled_out;
use crate::stage::{Delivery, Engine, HEALS, Pull, Stage};
use crate::support::program::Program;
use crate::whole::{manifest, plant};

const SHOPS: usize = 6;
/// A fault each so often: an hour has five thousand requests to GitHub, and here none is for free.
const PACE: Duration = Duration::from_secs(75);
/// So much more than before it may take in the end: less is not told from noise.
const GROWTH: f64 = 1.05;

/// What a run of the command is asked for.
pub struct Wish {
    pub minutes: u64,
    /// Pods beside the shops.
    pub pods: usize,
}

impl Wish {
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut wish = Self {
            minutes: 30,
            pods: 0,
        };
        for pair in words.chunks(2) {
            let number = pair.get(1).and_then(|n| n.parse::<u32>().ok());
            match (pair[0].as_str(), number) {
                ("--minutes", Some(minutes)) => wish.minutes = minutes.into(),
                ("--pods", Some(pods)) => wish.pods = usize::try_from(pods).unwrap_or(0),
                _ => return Err("soak [--minutes N] [--pods N]".to_owned()),
            }
        }
        Ok(wish)
    }
}

/// Runs and prints the curve. `false`: it took more and more.
pub fn command(plane: &Plane, wish: &Wish) -> Result<bool, String> {
    let shops: Vec<String> = (0..SHOPS).map(|n| format!("soak-{n}")).collect();
    let apps: Vec<Delivery<'_>> = shops
        .iter()
        .map(|namespace| Delivery {
            namespace,
            path: "",
            files: BTreeMap::from([("web.yaml".to_owned(), manifest(namespace).into_bytes())]),
        })
        .collect();
    let mut stage = Stage::open_with(plane, Engine::Flux, "soak", &apps, HEALS)?;
    if wish.pods > 0 {
        filler::fill(plane, wish.pods)?;
        stage.beside.push(filler::NAMESPACE.to_owned());
    }
    for namespace in &shops {
        let kubectl = &plane.kubectl;
        kubectl.wait(namespace, "deployments", "the shop runs", is_rolled_out)?;
    }
    let mut program = stage.kubemend()?;
    let faults: Vec<&Fault> = FAULTS
        .iter()
        .filter(|f| matches!(f.end, End::Fix(_)) && f.by_hand.is_empty())
        .collect();
    let start = Instant::now();
    let mut curve: Vec<Sample> = Vec::new();
    println!("{}", Sample::HEAD);
    // as a day has rounds, faults and shops go on at different paces
    let rounds = faults.iter().cycle().zip(shops.iter().cycle());
    for (number, (fault, shop)) in rounds.enumerate() {
        if start.elapsed() > Duration::from_secs(60 * wish.minutes) {
            break;
        }
        play(&stage, &mut program, fault, shop)?;
        let asked = stage.asked(true).values().sum();
        let sample = Sample::of(&program, start, number + 1, asked)?;
        println!("{sample}");
        curve.push(sample);
        let due = PACE * u32::try_from(number + 1).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    stage.is_clean()?;
    for (operation, times) in stage.asked(true) {
        println!("{times:6} {operation}");
    }
    let [_, middle, last] = thirds(&curve);
    println!(
        "the second third held {middle:.1} MB, the last one {last:.1} MB (medians); {} pull requests, opened, merged and verified",
        curve.len()
    );
    Ok(last <= middle * GROWTH)
}

/// One fault, to its verdict.
fn play(stage: &Stage<'_>, program: &mut Program, fault: &Fault, shop: &str) -> Result<(), String> {
    plant(stage, shop, fault.from, fault.to)?;
    stage.push(&format!("change {shop}"))?;
    let files = [format!("apps/{shop}/web.yaml")];
    let of = |p: &Pull| p.files == files;
    let what = format!("the pull request for {} in {shop}", fault.name);
    let pull = stage.until(&what, program, || {
        Ok(stage.open_pulls()?.into_iter().find(of))
    })?;
    stage.merge(pull.number, "squash")?;
    stage.until("the verdict", program, || {
        let told = stage.rollout(pull.number)?.join("\n");
        if told.contains("**Regression") || told.contains("**Inconclusive") {
            return Err(format!("{}: {told}", fault.name));
        }
        Ok(told.contains("**Verified.**").then_some(()))
    })?;
    program.rest();
    program.log.clear();
    Ok(())
}

/// What the process takes at one moment.
struct Sample {
    minute: f64,
    rounds: usize,
    /// Requests to GitHub so far.
    asked: usize,
    rss: f64,
    /// Of it what the program holds: the rest is its own file, of which it touches more and more.
    held: f64,
    peak: f64,
    files: usize,
    threads: usize,
}

impl Sample {
    const HEAD: &str = "| minute | pull requests | requests | RSS, MB | held, MB | peak, MB | open files | threads |\n|---|---|---|---|---|---|---|---|";

    fn of(program: &Program, start: Instant, rounds: usize, asked: usize) -> Result<Self, String> {
        let folder = format!("/proc/{}", program.child.id());
        let read = |file: &str| {
            let path = format!("{folder}/{file}");
            std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
        };
        let status = read("status")?;
        let megabytes = |field: &str| -> Option<f64> {
            let line = status.lines().find(|l| l.starts_with(field))?;
            let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kib * 1_024.0 / 1e6)
        };
        let count = |kind: &str| std::fs::read_dir(format!("{folder}/{kind}")).map(Iterator::count);
        Ok(Self {
            minute: start.elapsed().as_secs_f64() / 60.0,
            rounds,
            asked,
            rss: megabytes("VmRSS:").ok_or("no VmRSS")?,
            held: megabytes("RssAnon:").ok_or("no RssAnon")?,
            peak: megabytes("VmHWM:").ok_or("no VmHWM")?,
            files: count("fd").map_err(|e| e.to_string())?,
            threads: count("task").map_err(|e| e.to_string())?,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {:.1} | {} | {} | {:.1} | {:.1} | {:.1} | {} | {} |",
            self.minute,
            self.rounds,
            self.asked,
            self.rss,
            self.held,
            self.peak,
            self.files,
            self.threads
        )
    }
}

/// The medians of the three parts of a curve.
fn thirds(curve: &[Sample]) -> [f64; 3] {
    let third = curve.len().div_ceil(3).max(1);
    let median = |part: usize| {
        let of = curve.iter().skip(part * third).take(third);
        let mut all: Vec<f64> = of.map(|s| s.held).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    [0, 1, 2].map(median)
}
