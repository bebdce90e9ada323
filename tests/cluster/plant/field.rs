//! A field of planted faults: apps in namespaces of their own, an engine that applies them, one kubemend
//! that looks after all of them, and a person who merges what it opens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kubemend::code::Code;
use kubemend::files::Files;
use kubemend::object::Object;
use serde_json::{Value, json};

use super::granted;
use super::judge::{Deed, End, Health, Judged, judge};
use super::plan::Plant;
use crate::plane::Plane;
use crate::stage::{Delivery, Engine, Pull, Stage};
use crate::support::program::Program;

/// So long an app may take to become well, and a fault to be dealt with.
const PATIENCE: Duration = Duration::from_secs(300);
/// An app in which nothing changed for so long will not become well.
const STILL: Duration = Duration::from_secs(40);
/// Pause between two looks, each of which asks the forge some dozens of times.
const POLL: Duration = Duration::from_secs(6);
/// So often a merge is tried again.
const MOST_TRIES: usize = 5;
/// Codes of what is not settled yet.
const PASSING: &[&str] = &["PendingSync", ""];

/// Nothing measures here what autoscalers want to know, so they fail in apps that are well, too.
const UNJUDGED: &str = "HorizontalPodAutoscaler";
/// Verdicts that stay.
const ENDED: &[&str] = &["Verified", "Regressed", "Inconclusive", "ApplyFailed"];

/// Plants all faults at once, and follows them to their ends.
pub fn run(
    plane: &Plane,
    engine: Engine,
    name: &str,
    plants: &[Plant],
) -> Result<Vec<Judged>, String> {
    let field = Field::open(plane, engine, name, plants.iter().map(Plant::bed).collect())?;
    field.play(plane, plants).map_err(|e| {
        let (ours, others) = (field.stage.asked(true), field.stage.asked(false));
        format!("{e}\nkubemend asked for {ours:#?}\nand the others for {others:#?}")
    })
}

/// Whether it can be told afterwards that a fault is mended: a Service may lead nowhere as it is.
fn is_well(plant: &Plant, health: &Health) -> bool {
    let serves = health.served.contains(&plant.object.name);
    health.ill.is_empty() && (plant.object.kind != "Service" || serves)
}

fn apply(plane: &Plane, namespace: Option<&str>, objects: &[Value]) -> Result<(), String> {
    if objects.is_empty() {
        return Ok(());
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    plane.kubectl.apply(namespace, &list.to_string())
}

/// What the cluster has for all.
fn grant_to_all(plane: &Plane, beds: &[Bed]) -> Result<(), String> {
    let objects: Vec<_> = beds.iter().flat_map(|b| b.objects.clone()).collect();
    apply(plane, None, &granted::of_the_cluster(&objects))?;
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
    beds: Vec<Bed>,
}

/// An app in a namespace, as it is well.
#[derive(Debug, Clone)]
pub struct Bed {
    pub namespace: String,
    /// The folder that is applied.
    pub path: String,
    pub files: Files,
    /// What its files define.
    pub objects: Vec<Object>,
}

/// What kubemend recorded of one finding.
#[derive(Debug, Clone)]
struct Record {
    /// Class, object and message, for people.
    about: String,
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
        let (kind, object) = spec["object"].as_str()?.split_once(' ')?;
        if kind == UNJUDGED {
            return None;
        }
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = object.split_once('/')?;
        // an Application stands for the namespace that it is named after
        let namespace = if kind == "Application" {
            name
        } else {
            namespace
        };
        Some(Self {
            about: format!(
                "{} of {} {}",
                text(&spec["class"]),
                text(&spec["object"]),
                text(&status["message"])
            ),
            namespace: namespace.to_owned(),
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

impl<'p> Field<'p> {
    /// Everything is pushed, and granted what it takes for granted.
    fn open(plane: &'p Plane, engine: Engine, name: &str, beds: Vec<Bed>) -> Result<Self, String> {
        grant_to_all(plane, &beds)?;
        let apps: Vec<Delivery<'_>> = beds
            .iter()
            .map(|b| Delivery {
                namespace: &b.namespace,
                path: &b.path,
                files: b.files.by_path.clone(),
            })
            .collect();
        let stage = Stage::open(plane, engine, name, &apps)?;
        for bed in &beds {
            let granted = granted::objects(&bed.objects);
            apply(plane, Some(&bed.namespace), &granted)?;
        }
        Ok(Self { stage, beds })
    }

    /// Plants, waits, merges, judges.
    fn play(&self, plane: &Plane, plants: &[Plant]) -> Result<Vec<Judged>, String> {
        let before = self.until_well()?;
        let pairs = || plants.iter().zip(&before);
        let planted = || pairs().filter(|(plant, health)| is_well(plant, health));
        for (plant, _) in planted() {
            self.stage.put(&plant.place(), &plant.broken)?;
        }
        self.stage.push("change the apps")?;
        self.stage.wake()?;
        let mut program = self.stage.kubemend()?;
        let namespaces: BTreeSet<&str> = planted().map(|(p, _)| p.namespace.as_str()).collect();
        self.until_ended(&namespaces, &mut program)?;
        let merged = self.merge_all(&mut program)?;
        let mut deeds = self.deeds(&merged)?;
        let mut judged: Vec<Judged> = Vec::new();
        for (plant, before) in pairs() {
            let deed = deeds.remove(&plant.namespace).unwrap_or_default();
            let end = match is_well(plant, before) {
                true => {
                    let after = Health::of(plane, &plant.namespace, &plant.objects)?;
                    judge(
                        plant,
                        &deed,
                        &self.stage.file(&plant.place())?,
                        before,
                        &after,
                    )
                }
                false => End::NotWell(format!("{before:?}; {deed:?}")),
            };
            let end = match end {
                End::Nothing(health) => End::Nothing(format!("{health}; {}", self.seen(plant)?)),
                end => end,
            };
            judged.push(Judged::new(plant, end));
        }
        if let Some((place, deed)) = deeds.into_iter().find(|(_, d)| d.touches()) {
            return Err(format!("{place} was changed, where nothing is: {deed:?}"));
        }
        match self.stage.is_clean() {
            Ok(()) => Ok(judged),
            Err(e) => {
                let all: Vec<String> = judged.iter().map(Judged::shown).collect();
                Err(format!("{e}\n{}", all.join("\n")))
            }
        }
    }

    fn plane(&self) -> &Plane {
        self.stage.plane
    }

    /// Waits until every app is well, or nothing moves any more.
    fn until_well(&self) -> Result<Vec<Health>, String> {
        let (start, mut moved) = (Instant::now(), Instant::now());
        let mut last: Vec<Health> = Vec::new();
        loop {
            let look = |b: &Bed| Health::of(self.plane(), &b.namespace, &b.objects);
            let all: Vec<Health> = self.beds.iter().map(look).collect::<Result<_, _>>()?;
            if all != last {
                moved = Instant::now();
            }
            let is_well = all.iter().all(|h| h.ill.is_empty());
            if is_well || moved.elapsed() > STILL || start.elapsed() > PATIENCE {
                return Ok(all);
            }
            last = all;
            std::thread::sleep(POLL);
        }
    }

    /// What a person would look at where nothing was said.
    fn seen(&self, plant: &Plant) -> Result<String, String> {
        let namespace = &plant.namespace;
        let pods = self
            .plane()
            .kubectl
            .run(&["get", "pods", "-n", namespace])?;
        let engine = self.stage.engine_says(namespace)?;
        Ok(format!("the engine: {engine}; {pods}"))
    }

    fn records(&self) -> Result<Vec<Record>, String> {
        let all = self
            .plane()
            .kubectl
            .get(&self.stage.home, "remediations.kubemend.dev")?;
        let items = all["items"].as_array().into_iter().flatten();
        Ok(items.filter_map(Record::of).collect())
    }

    /// Waits until something was said to every fault, and for one more pass, which may say more.
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
        Ok(())
    }

    /// Merges all pull requests, and waits for the verdicts.
    fn merge_all(&self, program: &mut Program) -> Result<Vec<Merged>, String> {
        let ways = ["squash", "merge", "rebase"].iter().cycle();
        let mut merged = Vec::new();
        for (pull, how) in self.stage.open_pulls()?.into_iter().zip(ways) {
            self.merge(pull.number, how)?;
            merged.push(Merged::of(pull));
        }
        self.stage.wake()?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for pull in &mut merged {
                self.follow_orders(pull)?;
            }
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

    /// Merges one, and again where kubemend wrote at the same moment, as a person would.
    fn merge(&self, number: u64, how: &str) -> Result<(), String> {
        let mut tries = 0;
        loop {
            match self.stage.merge(number, how) {
                Err(e) if tries == MOST_TRIES => {
                    return Err(format!("#{number}: {e}\n{:?}", self.stage.is_clean()));
                }
                Err(_) => std::thread::sleep(POLL),
                Ok(()) => return Ok(()),
            }
            tries += 1;
        }
    }

    /// Does once what a pull request tells people to do after it is applied.
    fn follow_orders(&self, pull: &mut Merged) -> Result<(), String> {
        let is_applied = |namespace: &str| self.stage.is_applied(namespace);
        match &pull.deletes {
            Some((namespace, pods)) if is_applied(namespace)? => {
                for pod in pods {
                    let delete = ["delete", "pod", "-n", namespace, pod, "--wait=false"];
                    self.plane().kubectl.run(&delete)?;
                }
                pull.deletes = None;
                Ok(())
            }
            _ => Ok(()),
        }
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
            deed.about.push(record.about);
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
    /// The namespace and the pods that a person is told to delete after the merge.
    deletes: Option<(String, Vec<String>)>,
}

impl Merged {
    fn of(pull: Pull) -> Self {
        let order = |line: &str| {
            let (_, rest) = line.split_once("delete the pod")?;
            let (pods, rest) = rest.split_once(" of namespace ")?;
            let pods = pods.split([' ', ',']).filter(|w| w.contains('-'));
            let namespace = rest.split(' ').next()?.to_owned();
            Some((namespace, pods.map(str::to_owned).collect()))
        };
        Self {
            number: pull.number,
            files: pull.files,
            deletes: pull.body.lines().find_map(order),
        }
    }
}
