//! The whole loop, with nothing in it made up but kubelets and GitHub itself: a fault in Git, applied
//! by Flux or Argo CD; found by `kubemend serve --watch` with its own rights; a pull request; the merge; the
//! engine again; and the verdict. And the same with a fix that makes it worse, up to the merged revert.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::faults::{End, FAULTS, Fault};
use crate::plane::Plane;
use crate::registry::DIES_OF_TRAFFIC;
use crate::shop::{self, is_rolled_out};
use crate::stage::{self, Delivery, Engine, Pull, Stage};

type Run = fn(&Plane, Engine) -> Result<(), String>;

pub const TRIALS: &[(&str, Engine, Run)] = &[
    ("the_loop_closes_with_flux", Engine::Flux, the_loop_closes),
    ("the_loop_closes_with_argo", Engine::Argo, the_loop_closes),
    (
        "a_regression_is_taken_back",
        Engine::Flux,
        a_regression_is_taken_back,
    ),
    (
        "a_regression_is_taken_back_with_argo",
        Engine::Argo,
        a_regression_is_taken_back,
    ),
    (
        "the_leader_dies_in_a_revert",
        Engine::Flux,
        crate::outages::the_leader_dies_in_a_revert,
    ),
];

/// A shop for each namespace, and all of them run.
fn open<'p>(
    plane: &'p Plane,
    engine: Engine,
    name: &str,
    namespaces: &[String],
    heal: &str,
) -> Result<Stage<'p>, String> {
    let app = |namespace: &'_ String| {
        let text = manifest(namespace).into_bytes();
        BTreeMap::from([("web.yaml".to_owned(), text)])
    };
    let apps: Vec<Delivery<'_>> = namespaces
        .iter()
        .map(|namespace| Delivery {
            namespace,
            path: "",
            files: app(namespace),
        })
        .collect();
    let stage = Stage::open_with(plane, engine, name, &apps, heal)?;
    for namespace in namespaces {
        let kubectl = &plane.kubectl;
        kubectl.wait(namespace, "deployments", "the shop runs", is_rolled_out)?;
    }
    Ok(stage)
}

/// Changes what one shop says in Git, not pushed yet.
pub fn plant(stage: &Stage<'_>, namespace: &str, from: &str, to: &str) -> Result<(), String> {
    let file = format!("apps/{namespace}/web.yaml");
    let text = String::from_utf8(stage.file(&file)?).map_err(|e| e.to_string())?;
    let broken = text.replace(from, &named(to, namespace));
    if broken == text {
        return Err(format!("{namespace}: nothing was planted"));
    }
    stage.put(&file, broken.as_bytes())
}

/// The shop of one namespace; the objects name it, as one repository holds several.
pub fn manifest(namespace: &str) -> String {
    named(shop::MANIFEST, namespace)
}

fn named(text: &str, namespace: &str) -> String {
    let named = format!("metadata:\n  namespace: {namespace}\n  name:");
    text.replace("metadata:\n  name:", &named)
}

fn the_loop_closes(plane: &Plane, engine: Engine) -> Result<(), String> {
    let kind = format!("{engine:?}").to_lowercase();
    let namespace_of = |fault: &Fault| format!("{kind}-{}", fault.name.replace('_', "-"));
    let namespaces: Vec<String> = FAULTS.iter().map(namespace_of).collect();
    let stage = open(
        plane,
        engine,
        &format!("{kind}-loop"),
        &namespaces,
        stage::HEALS,
    )?;
    for fault in FAULTS {
        let namespace = namespace_of(fault);
        if !fault.also.is_empty() {
            plane.kubectl.apply(Some(&namespace), fault.also)?;
        }
        plant(&stage, &namespace, fault.from, fault.to)?;
    }
    stage.push("change the shops")?;
    stage.wake()?;
    let mut program = stage.kubemend()?;

    // every fault that has one fix gets its pull request, the others a question or nothing
    let wanted: Vec<(String, &str)> = FAULTS
        .iter()
        .filter_map(|f| match f.end {
            End::Fix(line) => Some((namespace_of(f), line)),
            _ => None,
        })
        .collect();
    stage.until("three pull requests", &mut program, || {
        let open = stage.list("/pulls?state=open&per_page=100")?;
        Ok((open.len() >= 3).then_some(()))
    })?;
    program = stage.killed(program)?;
    stage.until("pull requests", &mut program, || {
        let open = stage.list("/pulls?state=open&per_page=100")?;
        Ok((open.len() >= wanted.len()).then_some(()))
    })?;
    let question = stage.until("the question", &mut program, || {
        let all = stage.list("/issues?state=open&labels=kubemend/question")?;
        let is_quota = |q: &&Value| q["title"].to_string().contains("-a-quota-that");
        let quota = all.iter().find(is_quota);
        Ok(quota.and_then(|q| q["number"].as_u64()))
    })?;
    let choose = json!({"body": "/kubemend choose 1"});
    stage.ask(
        "POST",
        &format!("/issues/{question}/comments"),
        Some(choose),
    )?;
    let answered = stage.until("the answer", &mut program, || {
        let open = stage.list("/pulls?state=open&per_page=100")?;
        Ok((open.len() > wanted.len()).then_some(()))
    });
    let told = || stage.comments(question).unwrap_or_default().join("\n");
    answered.map_err(|e| format!("{}\n{e}", told()))?;
    let pulls = stage.open_pulls()?;
    for (namespace, line) in &wanted {
        let of = |p: &&Pull| p.files == [format!("apps/{namespace}/web.yaml")];
        match pulls.iter().filter(of).collect::<Vec<_>>()[..] {
            [pull] if pull.adds == [*line] => {}
            ref other => return Err(format!("{namespace}: {line}: {other:#?}")),
        }
    }

    let ways = ["squash", "merge", "rebase"].iter().cycle();
    for (pull, how) in pulls.iter().zip(ways) {
        stage.merge(pull.number, how)?;
    }
    for fault in FAULTS {
        fault.do_by_hand(plane, &namespace_of(fault))?;
    }
    stage.wake()?;
    for (n, pull) in pulls.iter().enumerate() {
        if n == 1 {
            program = stage.killed(program)?;
        }
        let what = format!("the verdict on #{} ({})", pull.number, pull.branch);
        stage.until(&what, &mut program, || {
            let told = stage.rollout(pull.number)?;
            match told.as_slice() {
                [] => Ok(None),
                [one] if one.contains("**Verified.**") => Ok(Some(())),
                [one] if one.contains("**Regression") || one.contains("**Inconclusive") => {
                    Err(format!("{what}: {one}\n{}", pull.body))
                }
                [_] => Ok(None),
                several => Err(format!("{what}: {several:#?}")),
            }
        })?;
    }
    for (namespace, _) in &wanted {
        let deployment = plane.kubectl.get(namespace, "deployments/web")?;
        if !is_rolled_out(&deployment) {
            return Err(format!("{namespace} was called well: {deployment:#}"));
        }
    }
    for fault in FAULTS {
        if let End::Stop(code) = fault.end {
            let named = format!("{}/web", namespace_of(fault));
            stage.until(fault.name, &mut program, || {
                let all = stage.list("/issues?state=open&per_page=100")?;
                let mut texts = all.iter().filter_map(|i| i["body"].as_str());
                Ok(texts
                    .any(|t| t.contains(&named) && t.contains(code))
                    .then_some(()))
            })?;
        }
    }
    let left = stage.open_pulls()?;
    if !left.is_empty() {
        return Err(format!("opened after the merge: {left:#?}"));
    }
    stage.is_clean()
}

/// A Service gets its selector back, and the program behind it dies of the requests that come then: the facts
/// speak against the change. With the revert they end, and it is well again.
fn a_regression_is_taken_back(plane: &Plane, engine: Engine) -> Result<(), String> {
    let namespace = format!("{engine:?}-regression").to_lowercase();
    let stage = open(
        plane,
        engine,
        &namespace,
        std::slice::from_ref(&namespace),
        stage::FAILS,
    )?;
    let bad = "  selector:\n    app: wbe\n  ports";
    plant(
        &stage,
        &namespace,
        "  selector:\n    app: web\n  ports",
        bad,
    )?;
    dies_of_traffic(&stage, &namespace)?;
    stage.push("change the shop")?;
    stage.wake()?;
    let mut program = stage.kubemend()?;
    let fix = stage.until("the fix", &mut program, || Ok(stage.open_pulls()?.pop()))?;
    stage.merge(fix.number, "merge")?;
    stage.wake()?;
    program = stage.killed(program)?;

    let revert = stage.until("the revert", &mut program, || {
        Ok(stage
            .open_pulls()?
            .into_iter()
            .find(|p| p.branch.contains("revert/")))
    })?;
    let lines = ["app: wbe".to_owned()];
    if revert.adds != lines || !revert.body.contains("the cluster got worse") {
        return Err(format!("{revert:#?}"));
    }
    program = stage.killed(program)?;
    stage.until("the verdict", &mut program, || {
        let told = stage.rollout(fix.number)?.join("\n");
        let link = format!("#{} takes it back", revert.number);
        Ok((told.contains("**Regression.**") && told.contains(&link)).then_some(()))
    })?;
    stage.merge(revert.number, "rebase")?;
    stage.wake()?;
    program = stage.killed(program)?;
    stage.until("the verdict on the revert", &mut program, || {
        let told = stage.rollout(revert.number)?.join("\n");
        if told.contains("**Regression") || told.contains("**Inconclusive") {
            return Err(told);
        }
        Ok(told.contains("**Verified.**").then_some(()))
    })?;
    // what was taken back is not proposed again
    program.until("pass");
    program.until("pass");
    let open = stage.open_pulls()?;
    match open.is_empty() {
        true => stage.is_clean(),
        false => Err(format!("proposed again: {open:#?}")),
    }
}

/// The program crashes as long as it gets requests.
pub fn dies_of_traffic(stage: &Stage<'_>, namespace: &str) -> Result<(), String> {
    let annotations = "      annotations:\n";
    let more = format!("{annotations}        {DIES_OF_TRAFFIC}: \"true\"\n");
    plant(stage, namespace, annotations, &more)
}

/// What a kubelet would say of a program that begins to crash.
pub fn break_pods(plane: &Plane, namespace: &str) -> Result<(), String> {
    let all = plane.kubectl.get(namespace, "pods")?;
    let status = json!({"status": {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()},
        ],
        "containerStatuses": [{
            "name": "web", "image": "registry.example.com/shop/web:1.4.2", "imageID": "", "ready": false, "started": false,
            "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        }],
    }});
    for pod in all["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let patch = status.to_string();
        let args = [
            "patch",
            "pod",
            name,
            "-n",
            namespace,
            "--subresource=status",
            "-p",
            &patch,
        ];
        plane.kubectl.run(&args)?;
    }
    Ok(())
}
