//! Whole passes, as the App: JWT, installation token, branch, pull request, command, answer, merge.

use std::collections::BTreeMap;
use std::path::Path;

use kubemend::case::Answers;
use kubemend::config::Rules;
use kubemend::cycle::{self, Analysis, Report, Work};
use kubemend::finding::{Class, Severity};
use kubemend::forge::decide::{Fix, Wanted, WantedEnding};
use kubemend::forge::identity;
use kubemend::forge::marker::{self, Key};
use kubemend::github::{Credentials, Endpoint, GitHub, Transport};
use kubemend::object::ObjectRef;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::Assets;
use crate::life::Done;
use crate::shim::{ALICE, Hub};
use crate::support::github::{APP_ID, APP_KEY};

const FILE: &str = "apps/cart.yaml";
const PULLS: &str = "/repos/{owner}/{repo}/pulls";

fn client(hub: &Hub) -> Result<GitHub, String> {
    let credentials = Credentials::App {
        id: APP_ID.to_string(),
        key: SecretString::from(APP_KEY),
        installation: None,
    };
    let transport = Transport::new(Endpoint::new(&hub.shared.url), credentials);
    let transport = transport.map_err(|e| e.to_string())?;
    GitHub::new(transport, "acme/gitops").map_err(|e| e.to_string())
}

/// Head of main, and the file there, as Git has them.
fn main_now(hub: &Hub) -> Option<(String, String)> {
    let git = hub.shared.truth.git().ok()?;
    let commit = git
        .find_reference("refs/heads/main")
        .ok()?
        .peel_to_commit()
        .ok()?;
    let entry = commit.tree().ok()?.get_path(Path::new(FILE)).ok()?;
    let blob = git.find_blob(entry.id()).ok()?;
    Some((
        commit.id().to_string(),
        String::from_utf8_lossy(blob.content()).into_owned(),
    ))
}

/// One finding: 256Mi is not enough.
fn analyse(hub: &Hub) -> Analysis {
    let ending = match main_now(hub) {
        None => WantedEnding::Unknown,
        Some((_, text)) if !text.contains("256Mi") => WantedEnding::Settled,
        Some((base, text)) => fix(base, &text),
    };
    let wanted = Wanted {
        key: identity::digest(&["shop", "cart"]),
        fingerprint: fingerprint(),
        severity: Severity::High,
        namespace: Some("shop".to_owned()),
        object: Some(ObjectRef::new(
            "apps/v1",
            "Deployment",
            Some("shop"),
            "cart",
        )),
        class: Some(Class::OOMKilled),
        summary: "cart needs memory".to_owned(),
        failing_since: None,
        ending,
        unheard: None,
    };
    Analysis {
        wanted: vec![wanted],
        scope: "manifests".to_owned(),
        complete: true,
        ..Analysis::default()
    }
}

fn fingerprint() -> String {
    identity::digest(&["main", FILE, "shop", "cart"])
}

fn fix(base: String, text: &str) -> WantedEnding {
    let value = |v: &str| (FILE, "memory".to_owned(), v.to_owned());
    let fingerprint = fingerprint();
    WantedEnding::Fix(Box::new(Fix {
        branch: format!(
            "kubemend/shop/deployment-cart-{}",
            identity::short(&fingerprint)
        ),
        target: identity::target_key("r", "main", [(FILE, "memory".to_owned())]),
        change: identity::change_key([value("256Mi")]),
        result: identity::result_key([value("512Mi")]),
        title: "Raise the memory of cart".to_owned(),
        body: "cart was killed 5 times.\n".to_owned(),
        commit: format!(
            "fix(k8s): raise the memory of cart\n\nKubemend-Fingerprint: {fingerprint}\n"
        ),
        files: BTreeMap::from([(FILE.to_owned(), text.replace("256Mi", "512Mi").into_bytes())]),
        base,
        draft: false,
        asked_for: false,
        checks: kubemend::forge::decide::Checks::default(),
        proposer: "playbook memory".to_owned(),
        expects: Vec::new(),
        baseline: None,
    }))
}

/// One pass of a fresh process.
async fn pass(hub: &Hub, key: Option<&Key>, dry_run: bool) -> Result<Report, String> {
    let github = client(hub)?;
    let rules = Rules {
        dashboard: true,
        ..Rules::default()
    };
    let reads = main_now(hub).map(|(head, _)| head).unwrap_or_default();
    let analyse = |_: &Answers| analyse(hub);
    let work = Work {
        github: &github,
        rules: &rules,
        scope: "manifests",
        key,
        now: jiff::Timestamp::now(),
        dry_run,
        workflow_token: false,
        reads: &reads,
        analyse: &analyse,
        verify: None,
        prove: None,
    };
    let report = cycle::run(&work).await;
    match &report.frozen {
        Some(error) => Err(format!("the pass ended: {error}\n{report:#?}")),
        None => Ok(report),
    }
}

/// A file on main, as a person writes it.
async fn seed(hub: &Hub) -> Done {
    use base64::Engine as _;
    let content = base64::engine::general_purpose::STANDARD.encode("name: cart\nmemory: 256Mi\n");
    let body = json!({"message": "Add cart", "content": content, "branch": "main"});
    hub.must(
        ALICE,
        "PUT",
        &format!("/repos/acme/gitops/contents/{FILE}"),
        Some(body),
    )
    .await?;
    Ok(())
}

fn bodies(comments: &Value) -> Vec<&str> {
    let all = comments.as_array().into_iter().flatten();
    all.filter_map(|c| c["body"].as_str()).collect()
}

/// Opened once, answered once, merged, and quiet after that.
pub async fn story(assets: &Assets) -> Done {
    let hub = Hub::start(assets).await?;
    seed(&hub).await?;
    let key = marker::key_from(&SecretString::from("s3cret"));
    let before = hub.writes();
    let dry = pass(&hub, key.as_ref(), true).await?;
    same!((dry.actions.len() == 1, hub.writes()), (true, before), dry);
    let first = pass(&hub, key.as_ref(), false).await?;
    let [touched] = first.pulls.as_slice() else {
        return Err(format!("{first:#?}"));
    };
    same!(touched.operation, "created", first);
    let number = touched.number;
    let writes = hub.writes();
    let again = pass(&hub, key.as_ref(), false).await?;
    same!((again.pulls.len(), hub.writes()), (1, writes), again);
    let pull = hub
        .must(
            ALICE,
            "GET",
            &format!("/repos/acme/gitops/pulls/{number}"),
            None,
        )
        .await?;
    same!(pull["user"]["login"], json!("kubemend[bot]"), pull);
    let comments = format!("/repos/acme/gitops/issues/{number}/comments");
    hub.must(
        ALICE,
        "POST",
        &comments,
        Some(json!({"body": "/kubemend status"})),
    )
    .await?;
    let heard = pass(&hub, key.as_ref(), false).await?;
    same!(heard.answered, 1, heard);
    let said = hub.must(ALICE, "GET", &comments, None).await?;
    let deaf = pass(&hub, key.as_ref(), false).await?;
    same!(deaf.answered, 0, deaf);
    same!(
        hub.must(ALICE, "GET", &comments, None).await?,
        said,
        bodies(&said)
    );
    let merge = format!("/repos/acme/gitops/pulls/{number}/merge");
    hub.must(
        ALICE,
        "PUT",
        &merge,
        Some(json!({"merge_method": "squash"})),
    )
    .await?;
    let text = main_now(&hub).map(|(_, text)| text);
    same!(
        text.as_deref(),
        Some("name: cart\nmemory: 512Mi\n"),
        "merged"
    );
    let after = pass(&hub, key.as_ref(), false).await?;
    same!(after.notes, Vec::<String>::new(), after);
    same!(hub.count("POST", PULLS), 1, after);
    same!(hub.problems(), Vec::<String>::new(), "");
    Ok(())
}
