//! The judge of `eval` agrees with the reference judge that lies beside the cases.
//!
//! For each case: the faulty repository, the known answer, and seeded random mutations of both are
//! judged by both judges, verdict by verdict. Skipped by name without the cases or PyYAML.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use kubemend::eval::judge::{judge, reading};
use kubemend::eval::{self, Known};
use kubemend::files::Files;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Map, Value, json};

/// Random changes of each case, half of them of the known answer.
const MUTATIONS: usize = 24;

fn main() {
    let arguments = Arguments::from_args();
    let trials = trials().unwrap_or_else(|reason| {
        let name = format!("the judge agrees with the reference ({reason})");
        vec![Trial::test(name, || Ok(())).with_ignored_flag(true)]
    });
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials() -> Result<Vec<Trial>, &'static str> {
    let shared = std::env::var_os("KUBEMEND_SHARED").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let cases = shared.unwrap_or_else(beside).join("cases");
    if !cases.join("judge.py").is_file() {
        return Err("cases not present");
    }
    let reference =
        Reference::start(&cases.join("judge.py")).ok_or("python3 with PyYAML not present")?;
    let reference = Arc::new(Mutex::new(reference));
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.yaml").is_file())
        .collect();
    folders.sort();
    let trial = |folder: PathBuf| {
        let reference = Arc::clone(&reference);
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Trial::test(format!("agrees::{name}"), move || {
            agrees(&folder, &reference)
        })
    };
    Ok(folders.into_iter().map(trial).collect())
}

fn agrees(folder: &Path, reference: &Mutex<Reference>) -> Result<(), Failed> {
    let (definition, known) = eval::load(folder)?;
    let mut random = Random::seeded(&folder.file_name().unwrap().to_string_lossy());
    let mut candidates = vec![known.before.clone(), known.gold.clone()];
    for i in 0..MUTATIONS {
        let base = if i % 2 == 1 && !known.gold.by_path.is_empty() {
            &known.gold
        } else {
            &known.before
        };
        candidates.push(mutated(base, &mut random));
    }
    let mut judged = 0;
    for candidate in &candidates {
        let wanted = reference.lock().unwrap().judge(folder, &known, candidate);
        let Some((fixed, collateral)) = wanted else {
            continue; // the reference ends with an exception on this input
        };
        let verdict = judge(&definition.rules, &known.before, candidate, &known.gold);
        let mut mine = verdict.collateral.clone();
        mine.sort();
        if (verdict.fixed, &mine) != (fixed, &collateral) {
            let (before, after) = (reading::texts(&known.before), reading::texts(candidate));
            let changed: Vec<_> = after
                .iter()
                .filter(|(k, v)| before.get(*k) != Some(v))
                .collect();
            return Err(format!(
                "mine: {} {mine:?}\nreference: {fixed} {collateral:?}\nin {changed:#?}",
                verdict.fixed
            )
            .into());
        }
        judged += 1;
    }
    let least = candidates.len() * 2 / 3;
    if judged < least {
        return Err(format!(
            "only {judged} of {} candidates could be judged",
            candidates.len()
        )
        .into());
    }
    Ok(())
}

/// The reference judge as a process that answers one line for each line.
struct Reference {
    _child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

const DRIVER: &str = r"
import importlib.util, json, sys, yaml
spec = importlib.util.spec_from_file_location('reference', sys.argv[1])
judge = importlib.util.module_from_spec(spec); spec.loader.exec_module(judge)
print('ready', flush=True)
for line in sys.stdin:
    q = json.loads(line)
    try:
        case = yaml.safe_load(open(q['case'] + '/case.yaml'))
        fixed, collateral = judge.judge(case, q['before'], q['after'], q['gold'])
        print(json.dumps([fixed, sorted(collateral)]), flush=True)
    except Exception as e:
        print('null', flush=True)
";

impl Reference {
    fn start(judge: &Path) -> Option<Self> {
        let mut child = Command::new("python3")
            .args(["-c", DRIVER])
            .arg(judge)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let ask = child.stdin.take()?;
        let mut answer = BufReader::new(child.stdout.take()?);
        let mut line = String::new();
        answer.read_line(&mut line).ok()?;
        (line == "ready\n").then_some(Self {
            _child: child,
            ask,
            answer,
        })
    }

    fn judge(
        &mut self,
        folder: &Path,
        known: &Known,
        after: &Files,
    ) -> Option<(bool, Vec<String>)> {
        let question = json!({
            "case": folder, "before": reading::texts(&known.before),
            "after": reading::texts(after), "gold": reading::texts(&known.gold),
        });
        writeln!(self.ask, "{question}").unwrap();
        let mut line = String::new();
        self.answer.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// A small generator: the same seed, the same mutations.
struct Random(u64);

impl Random {
    fn seeded(text: &str) -> Self {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(text.bytes().fold(0xcbf2_9ce4_8422_2325, mix) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// One to three changes of values or of text.
fn mutated(base: &Files, random: &mut Random) -> Files {
    let mut files = base.clone();
    for _ in 0..=random.below(3) {
        let names: Vec<String> = files.by_path.keys().cloned().collect();
        let Some(name) = random.pick(&names) else {
            return files;
        };
        let text = reading::texts(&files)[name].clone();
        let values = reading::read_all(&text).unwrap_or_default();
        let plain = name.ends_with("ml") && !text.contains("{{") && !values.is_empty();
        let changed = if plain && random.below(3) > 0 {
            written(&mutated_documents(values, random))
        } else {
            mutated_text(&text, random)
        };
        files.by_path.insert(name.clone(), changed.into_bytes());
    }
    files
}

/// JSON is YAML. What JSON has not (a date) loses the mark that the reading gave it.
fn written(documents: &[Value]) -> String {
    let texts = documents.iter().map(|d| format!("---\n{d}\n"));
    let text: String = texts.collect();
    text.replace("!!special ", "").replace("!!binary ", "")
}

fn mutated_documents(mut documents: Vec<Value>, random: &mut Random) -> Vec<Value> {
    match random.below(10) {
        0 => documents.push(extra_object(random)),
        1 if documents.len() > 1 => {
            documents.remove(random.below(documents.len()));
        }
        2 => documents.reverse(),
        _ => {
            let at = random.below(documents.len());
            mutate_somewhere(&mut documents[at], random);
        }
    }
    documents
}

fn extra_object(random: &mut Random) -> Value {
    let kinds = [
        "ConfigMap",
        "RoleBinding",
        "ServiceAccount",
        "PersistentVolumeClaim",
    ];
    let kind = random.pick(&kinds).unwrap();
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "extra"}})
}

/// Walks down at random and changes something there.
fn mutate_somewhere(value: &mut Value, random: &mut Random) {
    let stop = random.below(6) == 0;
    match value {
        Value::Object(map) if !map.is_empty() && !stop => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = random.pick(&keys).unwrap();
            mutate_somewhere(&mut map[key.as_str()], random);
        }
        Value::Array(items) if !items.is_empty() && !stop => {
            let at = random.below(items.len());
            mutate_somewhere(&mut items[at], random);
        }
        Value::Object(map) => mutate_map(map, random),
        Value::Array(items) => mutate_list(items, random),
        scalar => *scalar = other_scalar(scalar, random),
    }
}

fn mutate_map(map: &mut Map<String, Value>, random: &mut Random) {
    let keys: Vec<String> = map.keys().cloned().collect();
    match random.pick(&keys) {
        Some(key) if random.below(2) == 0 => {
            map.shift_remove(key);
        }
        Some(key) if random.below(3) == 0 => {
            map.insert(key.clone(), Value::Null);
        }
        _ => {
            let values = [
                json!(1),
                json!("x/y"),
                json!({}),
                json!([]),
                json!({"a": {"b/c": null}}),
            ];
            map.insert(
                "added/key".to_owned(),
                random.pick(&values).unwrap().clone(),
            );
        }
    }
}

fn mutate_list(items: &mut Vec<Value>, random: &mut Random) {
    match random.below(4) {
        0 if !items.is_empty() => {
            items.remove(random.below(items.len()));
        }
        1 => items.reverse(),
        2 => items.extend(items.first().cloned()),
        _ => items.push(json!({"name": "extra", "value": "x"})),
    }
}

fn other_scalar(value: &Value, random: &mut Random) -> Value {
    let mut others = vec![
        Value::Null,
        json!(true),
        json!(0),
        json!("10m"),
        json!("1Gi"),
        json!("x"),
    ];
    match value {
        Value::Number(n) => others.extend([
            json!(n.as_f64().unwrap() + 1.0),
            json!(n.as_f64().unwrap() * 2.0),
            json!(n.to_string()),
        ]),
        Value::Bool(b) => others.extend([json!(!b), json!(i32::from(*b))]),
        Value::String(s) => others.extend([json!(format!("{s}x")), json!("ubuntu"), json!("")]),
        _ => {}
    }
    random.pick(&others).unwrap().clone()
}

/// Changes that only the reading of YAML sees.
fn mutated_text(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return "new: 1\n".to_owned();
    }
    let at = random.below(lines.len());
    let scalars: BTreeMap<usize, &str> = [
        "yes",
        "off",
        "010",
        "1_000",
        "1:30",
        "0x1F",
        "~",
        "1e3",
        "1.0",
        ".5",
        "2026-01-02",
        "!!str 5",
        "\"yes\"",
        "'80'",
        "&a b",
        "|\n  x",
        "{a: 1}",
        "[]",
        "TRUE",
        "n",
        "null",
    ]
    .into_iter()
    .enumerate()
    .collect();
    match random.below(5) {
        0 => {
            lines.remove(at);
        }
        1 => lines.insert(at, lines[at].clone()),
        2 => lines.insert(at, "# a remark".to_owned()),
        _ => {
            let scalar = scalars[&random.below(scalars.len())];
            let line = lines[at].clone();
            if let Some((key, value)) = line.split_once(": ")
                && !value.contains(['"', '|', '>'])
            {
                lines[at] = format!("{key}: {scalar}");
            }
        }
    }
    lines.join("\n") + "\n"
}
