//! Plant and heal: faults in real repositories, one each, and what kubemend makes of them.
//!
//! A plan ([`plan`]) says what is planted where, from a seed. A field ([`field`]) applies the apps, plants
//! the faults, lets kubemend work, merges what it opens, and lets the judge look ([`judge`]).

use std::path::{Path, PathBuf};

use kubemend::render::Renderer;

use crate::plane::Plane;
use crate::registry::Registry;
use crate::stage::Engine;

mod app;
mod dice;
mod field;
mod granted;
mod judge;
mod kinds;
mod plan;
mod table;

use app::{App, LeftOut, apps};
use judge::Judged;

/// So many faults are in the cluster at the same time: one hub has so many requests to give.
const BATCH: usize = 18;

type Run = fn(&Plane) -> Result<(), String>;

pub const TRIALS: &[(&str, Run)] = &[("planted_faults_heal", planted_faults_heal)];

/// What a run of the command is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    pub seed: u64,
    pub plants: usize,
    pub engine: Engine,
    /// Only apps whose names contain this.
    pub only: String,
    /// Only kinds of faults whose names contain this.
    pub kind: String,
}

impl Wish {
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut wish = Self {
            seed: 1,
            plants: 100,
            engine: Engine::Flux,
            only: String::new(),
            kind: String::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or_else(|| format!("{word} wants a value"));
            let number = |text: &String| text.parse().map_err(|_| format!("{text} is no number"));
            match word.as_str() {
                "--seed" => wish.seed = number(next()?)?,
                "--plants" => wish.plants = usize::try_from(number(next()?)?).unwrap_or(100),
                "--only" => next()?.clone_into(&mut wish.only),
                "--kind" => next()?.clone_into(&mut wish.kind),
                "argo" => wish.engine = Engine::Argo,
                "flux" => wish.engine = Engine::Flux,
                other => {
                    return Err(format!(
                        "{other}: flux, argo, --seed N, --plants N, --only APP, --kind NAME"
                    ));
                }
            }
        }
        Ok(wish)
    }
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/plant/samples")
}

fn corpus() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("KUBEMEND_SHARED").map_or_else(beside, PathBuf::from);
    shared.join("corpus/gitops")
}

/// The apps of all repositories, in a fixed order.
fn all_apps(renderer: &Renderer, with_corpus: bool) -> (Vec<App>, Vec<LeftOut>) {
    let mut trees = vec![("samples".to_owned(), samples())];
    if with_corpus {
        let entries = std::fs::read_dir(corpus()).into_iter().flatten();
        let folders = entries.filter_map(Result::ok).map(|e| e.path());
        let mut folders: Vec<PathBuf> = folders.filter(|p| p.is_dir()).collect();
        folders.sort();
        let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
        trees.extend(folders.into_iter().filter_map(|p| Some((name(&p)?, p))));
    }
    let mut found = (Vec::new(), Vec::new());
    for (tree, folder) in trees {
        let (apps, left_out) = apps(&tree, &folder, renderer);
        found.0.extend(apps);
        found.1.extend(left_out);
    }
    found
}

/// What the simulated kubelets can run: what these apps run when they are well.
fn registry_of(apps: &[App], renderer: &Renderer) -> Registry {
    let mut registry = Registry::default();
    for bed in apps
        .iter()
        .filter_map(|a| a.bed("somewhere", renderer).ok())
    {
        bed.objects.iter().for_each(|o| registry.learn(o));
    }
    registry
}

/// A dozen faults and some more in the project's own samples.
fn planted_faults_heal(plane: &Plane) -> Result<(), String> {
    let renderer = Renderer::from_program(&plane.kubectl.program).map_err(|e| e.to_string())?;
    let (apps, left_out) = all_apps(&renderer, false);
    if !left_out.is_empty() {
        return Err(format!("a sample is not used: {left_out:?}"));
    }
    let registry = registry_of(&apps, &renderer);
    let order = plan::Order {
        seed: 1,
        count: kinds::KINDS.len(),
        kinds: kinds::KINDS.iter().collect(),
    };
    let names = |i: usize| format!("planted-{i}");
    let plants = plan::plan(&apps, &renderer, &registry, order, &names);
    if plants.len() < kinds::KINDS.len() {
        return Err(format!(
            "only {} of {} kinds fit the samples",
            plants.len(),
            kinds::KINDS.len()
        ));
    }
    plane.registry.write().unwrap().add(&registry);
    let judged = field::run(plane, Engine::Flux, "planted", &plants)?;
    let bad: Vec<String> = judged
        .iter()
        .filter(|j| !j.end.is_right())
        .map(Judged::shown)
        .collect();
    match bad.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\n{}", bad.join("\n"), table::of(&judged))),
    }
}

/// The command: plants, judges, and prints the table.
pub fn command(plane: &Plane, wish: &Wish) -> Result<bool, String> {
    let renderer = Renderer::from_program(&plane.kubectl.program).map_err(|e| e.to_string())?;
    let (mut apps, left_out) = all_apps(&renderer, true);
    if !corpus().is_dir() {
        println!("missing, see KUBEMEND_SHARED: {}", corpus().display());
    }
    apps.retain(|a| a.name.contains(&wish.only));
    let registry = registry_of(&apps, &renderer);
    plane.registry.write().unwrap().add(&registry);
    println!("not used:");
    left_out
        .iter()
        .for_each(|l| println!("- {}: {}", l.name, l.why));
    println!("used:");
    apps.iter().for_each(|a| println!("- {}", a.name));

    let kinds = kinds::KINDS.iter().filter(|k| k.name.contains(&wish.kind));
    let order = plan::Order {
        seed: wish.seed,
        count: wish.plants,
        kinds: kinds.collect(),
    };
    let names = |i: usize| format!("plant-{}-{i}", wish.seed);
    let plants = plan::plan(&apps, &renderer, &registry, order, &names);
    println!("{} faults:", plants.len());
    if plants.is_empty() {
        return Err("no fault of these kinds fits these apps".to_owned());
    }
    let (mut judged, mut is_whole) = (Vec::new(), true);
    for (number, batch) in plants.chunks(BATCH).enumerate() {
        let name = format!("plant-{}-batch-{number}", wish.seed);
        match field::run(plane, wish.engine, &name, batch) {
            Ok(done) => {
                done.iter().for_each(|j| println!("- {}", j.shown()));
                judged.extend(done);
                println!("\n{}", table::of(&judged));
            }
            Err(e) => {
                println!(
                    "{name} ended early, {} faults are not judged: {e}",
                    batch.len()
                );
                is_whole = false;
            }
        }
    }
    // an app that is not well by itself is listed, and says nothing of what would be made of a fault
    let was_planted = |j: &&Judged| !matches!(j.end, judge::End::NotWell(_));
    let mut planted = judged.iter().filter(was_planted);
    Ok(is_whole && planted.all(|j| j.end.is_right()))
}
