//! A field of planted faults: apps in namespaces of their own, an engine that applies them, one kubemend
//! that looks after all of them, and a person who merges what it opens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kubemend::code::Code;
use serde_json::{Value, json};

use super::granted;
use super::judge::{Deed, End, Health, Judged, judge};
use super::plan::Plant;
use crate::plane::Plane;
use crate::stage::{Delivery, Engine, Stage};
use crate::support::program::Program;

/// So long an app may take to become well, and a fault to be dealt with.
const PATIENCE: Duration = Duration::from_secs(180);
/// Pause between two looks.
const POLL: Duration = Duration::from_secs(2);
/// Codes of what is not settled yet.
const PASSING: &[&str] = &["PendingSync", ""];

/// Verdicts that stay.
const ENDED: &[&str] = &["Verified", "Regressed", "Inconclusive", "ApplyFailed"];

/// Plants all faults at once, and follows them to their ends.
pub fn run(
    plane: &Plane,
    engine: Engine,
    name: &str,
    plants: &[Plant],
) -> Result<Vec<Judged>, String> {
    grant_to_all(plane, plants)?;
    let apps: Vec<Delivery<'_>> = plants
        .iter()
        .map(|p| Delivery {
            namespace: &p.namespace,
            path: &p.app.path,
            files: p.files.by_path.clone(),
        })
        .collect();
    let stage = Stage::open(plane, engine, name, &apps)?;
    for plant in plants {
        for object in granted::objects(&plant.objects) {
            plane
                .kubectl
                .apply(Some(&plant.namespace), &object.to_string())?;
        }
    }
    let field = Field { stage, plants };
    let before = field.until_well()?;
    let mut judged: Vec<Judged> = Vec::new();
    let mut planted: Vec<(&Plant, &Health)> = Vec::new();
    for (plant, health) in plants.iter().zip(&before) {
        match health.ill.is_empty() {
            true => planted.push((plant, health)),
            false => judged.push(Judged::new(plant, End::NotWell(format!("{health:?}")))),
        }
    }
    for (plant, _) in &planted {
        field.stage.put(
            &format!("apps/{}/{}", plant.namespace, plant.file),
            &plant.broken,
        )?;
    }
    field.stage.push("change the apps")?;
    field.stage.wake()?;
    let mut program = field.stage.kubemend()?;
    let namespaces: BTreeSet<&str> = planted.iter().map(|(p, _)| p.namespace.as_str()).collect();
    field.until_ended(&namespaces, &mut program)?;
    let merged = field.merge_all(&mut program)?;
    let deeds = field.deeds(&merged)?;
    for (plant, before) in planted {
        let file = field
            .stage
            .file(&format!("apps/{}/{}", plant.namespace, plant.file))?;
        let after = Health::of(plane, &plant.namespace, &plant.objects)?;
        let deed = deeds
            .get(plant.namespace.as_str())
            .cloned()
            .unwrap_or_default();
        let end = judge(plant, &deed, &file, before, &after);
        judged.push(Judged::new(plant, end));
    }
    if std::env::var_os("DEBUG_PLANT").is_some() {
        judged.iter().for_each(|j| eprintln!("{}", j.shown()));
        eprintln!("{}", program.rest());
        eprintln!("{:#?}", field.records());
        for n in 1..60 {
            let Ok(p) = field.stage.ask("GET", &format!("/pulls/{n}"), None) else {
                continue;
            };
            eprintln!(
                "PULL {n} {} {} merged={}\n{}",
                p["state"],
                p["title"],
                p["merged"],
                p["body"].as_str().unwrap_or_default()
            );
            for c in field.stage.comments(n).unwrap_or_default() {
                eprintln!("  COMMENT {c}");
            }
            for f in field
                .stage
                .list(&format!("/pulls/{n}/files"))
                .unwrap_or_default()
            {
                eprintln!(
                    "FILE {} {}",
                    f["filename"],
                    f["patch"].as_str().unwrap_or_default()
                );
            }
        }
    }
    match field.stage.is_clean() {
        Ok(()) => Ok(judged),
        Err(e) => {
            let all: Vec<String> = judged.iter().map(Judged::shown).collect();
            Err(format!("{e}\n{}", all.join("\n")))
        }
    }
}

/// What the cluster has for all.
fn grant_to_all(plane: &Plane, plants: &[Plant]) -> Result<(), String> {
    let objects: Vec<_> = plants.iter().flat_map(|p| p.objects.clone()).collect();
    for object in granted::of_the_cluster(&objects) {
        plane.kubectl.apply(None, &object.to_string())?;
    }
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (key, value) in granted::node_labels(&objects) {
        let nodes = plane.kubectl.get("default", "nodes")?;
        let has = |n: &Value| n["metadata"]["labels"][&key] == value.as_str();
        if nodes["items"]
            .as_array()
            .is_some_and(|all| all.iter().any(has))
        {
            continue;
        }
        let place = places.entry(key.clone()).or_insert(0);
        *place += 1;
        let label = [
            "label",
            "--overwrite",
            "node",
            &format!("node-{place}"),
            &format!("{key}={value}"),
        ];
        plane.kubectl.run(&label)?;
    }
    Ok(())
}

struct Field<'p> {
    stage: Stage<'p>,
    plants: &'p [Plant],
}

/// What kubemend recorded of one finding.
#[derive(Debug, Clone)]
struct Record {
    object: String,
    namespace: String,
    outcome: String,
    code: String,
    question: Option<u64>,
    pull: Option<u64>,
    verdict: String,
}

impl Record {
    fn of(record: &Value) -> Option<Self> {
        let (spec, status) = (&record["spec"], &record["status"]);
        let object = spec["object"].as_str()?.split_whitespace().last()?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Some(Self {
            object: text(&spec["class"])
                + " "
                + &text(&spec["object"])
                + ": "
                + &text(&status["message"]),
            namespace: object.split_once('/')?.0.to_owned(),
            outcome: text(&status["outcome"]),
            code: text(&status["code"]),
            question: status["question"].as_u64(),
            pull: status["pullRequest"]["number"].as_u64(),
            verdict: text(&status["verdict"]["state"]),
        })
    }

    fn is_ended(&self) -> bool {
        match self.outcome.as_str() {
            "Proposed" | "Merged" => self.pull.is_some(),
            "Asked" => self.question.is_some(),
            "Refused" => !PASSING.contains(&self.code.as_str()),
            _ => false,
        }
    }
}

impl Field<'_> {
    fn plane(&self) -> &Plane {
        self.stage.plane
    }

    /// Waits until every app is well, or does not become it.
    fn until_well(&self) -> Result<Vec<Health>, String> {
        let start = Instant::now();
        loop {
            let look = |p: &Plant| Health::of(self.plane(), &p.namespace, &p.objects);
            let all: Vec<Health> = self.plants.iter().map(look).collect::<Result<_, _>>()?;
            let is_well = all.iter().all(|h| h.ill.is_empty());
            if is_well || start.elapsed() > PATIENCE {
                return Ok(all);
            }
            std::thread::sleep(POLL);
        }
    }

    fn records(&self) -> Result<Vec<Record>, String> {
        let all = self
            .plane()
            .kubectl
            .get(&self.stage.home, "remediations.kubemend.dev")?;
        let items = all["items"].as_array().into_iter().flatten();
        Ok(items.filter_map(Record::of).collect())
    }

    /// Waits until something was said to every fault, and twice more for what changes after that.
    fn until_ended(
        &self,
        namespaces: &BTreeSet<&str>,
        program: &mut Program,
    ) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let records = self.records()?;
            let ended: BTreeSet<&str> = records
                .iter()
                .filter(|r| r.is_ended())
                .map(|r| r.namespace.as_str())
                .collect();
            if namespaces.is_subset(&ended) {
                break;
            }
            std::thread::sleep(POLL);
        }
        program.rest();
        program.until("pass");
        program.until("pass");
        Ok(())
    }

    /// Merges all pull requests, and waits for the verdicts.
    fn merge_all(&self, program: &mut Program) -> Result<Vec<Merged>, String> {
        let ways = ["squash", "merge", "rebase"].iter().cycle();
        let mut merged = Vec::new();
        for (pull, how) in self.stage.open_pulls()?.into_iter().zip(ways) {
            self.stage.merge(pull.number, how)?;
            merged.push(Merged {
                number: pull.number,
                files: pull.files,
            });
        }
        self.stage.wake()?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let records = self.records()?;
            let verdicts: BTreeMap<u64, String> = records
                .into_iter()
                .filter_map(|r| Some((r.pull?, r.verdict)))
                .collect();
            let is_over = |m: &Merged| {
                let verdict = verdicts.get(&m.number).map(String::as_str);
                ENDED.contains(&verdict.unwrap_or_default())
            };
            if merged.iter().all(is_over) {
                break;
            }
            std::thread::sleep(POLL);
        }
        program.rest();
        program.until("pass");
        Ok(merged)
    }

    /// What was done in each namespace.
    fn deeds(&self, merged: &[Merged]) -> Result<BTreeMap<String, Deed>, String> {
        let mut deeds: BTreeMap<String, Deed> = BTreeMap::new();
        let namespace = |file: &str| file.split('/').nth(1).unwrap_or_default().to_owned();
        for pull in merged {
            let said = self.stage.rollout(pull.number)?.join("\n");
            for file in &pull.files {
                let deed = deeds.entry(namespace(file)).or_default();
                deed.files.insert(file.clone());
                if !deed.merged.iter().any(|(n, _)| *n == pull.number) {
                    deed.merged.push((pull.number, said.clone()));
                }
            }
        }
        for pull in self.stage.open_pulls()? {
            for file in &pull.files {
                deeds
                    .entry(namespace(file))
                    .or_default()
                    .open
                    .push(pull.number);
            }
        }
        for record in self.records()? {
            let deed = deeds.entry(record.namespace.clone()).or_default();
            match record.outcome.as_str() {
                "Asked" => {
                    let number = record.question.unwrap_or_default();
                    let issue = self.stage.ask("GET", &format!("/issues/{number}"), None)?;
                    let body = issue["body"].as_str().unwrap_or_default();
                    let names = |c: &&Code| body.contains(&format!("{c}`: "));
                    let code = Code::ALL.iter().find(names);
                    deed.asked
                        .insert(code.map_or_else(|| json!(body).to_string(), ToString::to_string));
                }
                "Refused" => {
                    deed.refused.insert(record.code);
                }
                _ => {}
            }
        }
        Ok(deeds)
    }
}

struct Merged {
    number: u64,
    files: Vec<String>,
}
