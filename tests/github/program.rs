//! The program itself, as a child process: `fix --open` and `serve`, from a broken sample to the merge.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

use kubemend::forge::marker;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::Assets;
use crate::hook::SECRET;
use crate::life::{Done, client};
use crate::shim::{ALICE, Hub, MACHINE, git_as_alice};
use crate::support::program::Program;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubemend");
const KEY: &str = "a key for the markers of tests";
const REPORTS: &str = "apps/reports.yaml";
const PULLS: &str = "/repos/{owner}/{repo}/pulls";

macro_rules! holds {
    ($what:expr, $why:expr) => {
        if !$what {
            return Err(format!(
                "{}: not {}: {:#?}",
                line!(),
                stringify!($what),
                $why
            ));
        }
    };
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/github/sample")
}

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Waits for a child elsewhere: GitHub runs on this runtime.
async fn ran(mut command: Command) -> Result<Ran, String> {
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}

/// The sample on `main`, and a clone of it.
struct Stage {
    hub: Hub,
    clone: PathBuf,
}

impl Stage {
    async fn new(assets: &Assets) -> Result<Self, String> {
        let hub = Hub::start(assets).await?;
        let clone = hub.folder("clone");
        let stage = Self { hub, clone };
        let url = format!("{}/acme/gitops.git", stage.hub.shared.url);
        stage.git(&["clone", "-q", &url, "."]).await?;
        let apps = stage.clone.join("apps");
        std::fs::create_dir(&apps).map_err(|e| e.to_string())?;
        for name in ["public.yaml", "reports.yaml"] {
            let from = sample().join("apps").join(name);
            std::fs::copy(from, apps.join(name)).map_err(|e| e.to_string())?;
        }
        stage.commit("Add the shop").await?;
        stage.git(&["push", "-q", "origin", "HEAD:main"]).await?;
        Ok(stage)
    }

    /// Git as Alice, in the clone.
    async fn git(&self, args: &[&str]) -> Result<String, String> {
        std::fs::create_dir_all(&self.clone).map_err(|e| e.to_string())?;
        let command = git_as_alice(&self.clone, args);
        let ran = ran(command).await?;
        match ran.code {
            Some(0) => Ok(ran.out.trim().to_owned()),
            _ => Err(format!("git {args:?}: {}", ran.err)),
        }
    }

    async fn commit(&self, message: &str) -> Done {
        self.git(&["add", "-A"]).await?;
        self.git(&["commit", "-q", "-m", message]).await?;
        Ok(())
    }

    fn write(&self, file: &str, from: &str, to: &str) -> Done {
        let path = self.clone.join(file);
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        std::fs::write(path, text.replace(from, to)).map_err(|e| e.to_string())
    }

    fn program(&self, token: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.hub.folder("home"))
            .env("GITHUB_API_URL", &self.hub.shared.url)
            .env("GITHUB_TOKEN", token)
            .env("KUBEMEND_MARKER_KEY", KEY);
        command
    }

    async fn fix_as(&self, token: &str, repo: &str, more: &[&str]) -> Result<Ran, String> {
        let mut command = self.program(token);
        command
            .args(["--color", "never", "--quiet", "fix", "--open"])
            .args(["--github-repo", repo, "--repo"])
            .arg(&self.clone)
            .arg("--snapshot")
            .arg(sample().join("snapshot.yaml"))
            .args(more);
        ran(command).await
    }

    /// A run that must go well.
    async fn fix(&self, more: &[&str]) -> Result<Ran, String> {
        let ran = self.fix_as(MACHINE, "acme/gitops", more).await?;
        match ran.code {
            Some(0) => Ok(ran),
            _ => Err(format!("{ran:#?}\n{:#?}", self.hub.problems())),
        }
    }

    async fn get(&self, rest: &str) -> Result<Value, String> {
        let target = format!("/repos/acme/gitops{rest}");
        self.hub.must(ALICE, "GET", &target, None).await
    }

    async fn say(&self, number: &Value, text: &str) -> Done {
        let target = format!("/repos/acme/gitops/issues/{number}/comments");
        let body = json!({"body": text});
        self.hub.must(ALICE, "POST", &target, Some(body)).await?;
        Ok(())
    }

    /// Bodies of comments, oldest first.
    async fn said(&self, number: &Value) -> Result<Vec<String>, String> {
        let all = self.get(&format!("/issues/{number}/comments")).await?;
        let all = all.as_array().into_iter().flatten();
        Ok(all
            .filter_map(|c| c["body"].as_str().map(str::to_owned))
            .collect())
    }

    async fn merge(&self, number: &Value) -> Done {
        let pull = self.get(&format!("/pulls/{number}")).await?;
        if pull["draft"] == true {
            let id = pull["node_id"].as_str().unwrap_or_default();
            let alice = client(&self.hub, ALICE)?;
            alice
                .set_draft(id, false)
                .await
                .map_err(|e| e.to_string())?;
        }
        let target = format!("/repos/acme/gitops/pulls/{number}/merge");
        let order = json!({"merge_method": "squash"});
        self.hub.must(ALICE, "PUT", &target, Some(order)).await?;
        Ok(())
    }

    /// Heads of open pull requests and their numbers.
    async fn open(&self) -> Result<Vec<(String, Value)>, String> {
        let all = self.get("/pulls?state=open").await?;
        let one = |p: &Value| {
            let head = p["head"]["ref"].as_str().unwrap_or_default();
            (head.to_owned(), p["number"].clone())
        };
        Ok(all.as_array().into_iter().flatten().map(one).collect())
    }

    /// What was written since so many writes, shortened: nothing, in the end.
    fn quiet_since(&self, writes: usize) -> Done {
        let all = self.hub.writes();
        let new: Vec<&str> = all
            .iter()
            .skip(writes)
            .map(|w| w.get(..300).unwrap_or(w))
            .collect();
        match new.is_empty() {
            true => Ok(()),
            false => Err(format!("written: {new:#?}")),
        }
    }

    /// The open question.
    async fn question(&self) -> Result<Value, String> {
        let all = self
            .get("/issues?state=open&labels=kubemend/question")
            .await?;
        match all.as_array().map(Vec::as_slice) {
            Some([one]) => Ok(one["number"].clone()),
            _ => Err(format!("not one question: {all:#}")),
        }
    }
}

/// Looks first, opens one pull request and one question, is quiet after that, and takes a no.
pub async fn opens_once(assets: &Assets) -> Done {
    let stage = Stage::new(assets).await?;
    let hub = &stage.hub;
    let dry = stage.fix(&["--dry-run"]).await?;
    holds!(dry.out.contains("open a pull request for"), dry);
    holds!(dry.out.contains("Dry run: nothing was written"), dry);
    same!(hub.writes(), Vec::<String>::new(), dry);

    let first = stage.fix(&[]).await?;
    holds!(first.out.contains("pull request acme/gitops#"), first);
    holds!(first.out.contains("question acme/gitops#"), first);
    let open = stage.open().await?;
    let [(branch, number)] = open.as_slice() else {
        return Err(format!("{open:?}"));
    };
    holds!(
        branch.starts_with("kubemend/shop/deployment-reports-oomkilled-"),
        branch
    );
    let pull = stage.get(&format!("/pulls/{number}")).await?;
    same!(
        json!(stage.git(&["rev-parse", "HEAD"]).await?),
        pull["base"]["sha"],
        pull
    );
    let writes = hub.writes().len();
    let again = stage.fix(&[]).await?;
    holds!(again.out.contains("unchanged"), again);
    stage.quiet_since(writes)?;

    let close = Some(json!({"state": "closed"}));
    let target = format!("/repos/acme/gitops/pulls/{number}");
    hub.must(ALICE, "PATCH", &target, close).await?;
    let told = stage.fix(&[]).await?;
    let said = stage.said(number).await?;
    holds!(
        said.iter().any(|s| s.contains("that means no")),
        (told, said)
    );
    let writes = hub.writes().len();
    let quiet = stage.fix(&[]).await?;
    stage.quiet_since(writes)?;
    same!(stage.open().await?, vec![], quiet);
    same!(hub.count("POST", PULLS), 1, hub.writes());
    same!(hub.problems(), Vec::<String>::new(), "");
    Ok(())
}

/// By hand, with a clone in which the way back is proven; one that is behind proves nothing.
pub async fn rolls_back(assets: &Assets) -> Done {
    let stage = Stage::new(assets).await?;
    let fixed = stage.fix(&[]).await?;
    let open = stage.open().await?;
    let [(_, number)] = open.as_slice() else {
        return Err(format!("{open:?}: {fixed:#?}"));
    };
    stage.merge(number).await?;
    let rollback = async |more: &[&str]| {
        let mut command = stage.program(MACHINE);
        command.args([
            "--color",
            "never",
            "rollback",
            "--github-repo",
            "acme/gitops",
        ]);
        command.arg(number.to_string()).args(more);
        ran(command).await
    };
    let clone = stage.clone.display().to_string();
    let with_clone = ["--repo", clone.as_str()];
    let behind = rollback(&with_clone).await?;
    holds!(
        behind.code == Some(2) && behind.err.contains("check that one out first"),
        behind
    );
    same!(stage.open().await?, vec![], behind);

    stage.git(&["pull", "-q", "origin", "main"]).await?;
    let dry = rollback(&[&with_clone[..], &["--dry-run"]].concat()).await?;
    holds!(
        dry.code == Some(0) && dry.out.contains("nothing was written"),
        dry
    );
    let done = rollback(&with_clone).await?;
    holds!(
        done.code == Some(0) && done.out.contains("takes back"),
        done
    );
    let open = stage.open().await?;
    let [(branch, revert)] = open.as_slice() else {
        return Err(format!("{open:?}"));
    };
    let body = stage.get(&format!("/pulls/{revert}")).await?["body"].clone();
    let body = body.as_str().unwrap_or_default();
    holds!(body.contains("pass |") && !body.contains("skipped"), body);
    stage.git(&["fetch", "-q", "origin", branch]).await?;
    let before = stage.git(&["show", &format!("HEAD~1:{REPORTS}")]).await?;
    let after = stage
        .git(&["show", &format!("FETCH_HEAD:{REPORTS}")])
        .await?;
    same!(after, before, body);
    same!(stage.hub.problems(), Vec::<String>::new(), "");
    Ok(())
}

/// A detached HEAD, another branch at the same commit, another spelling of the address, a dirty work
/// tree: the state is the base branch's, so everything has the same names.
pub async fn names_alike(assets: &Assets) -> Done {
    let stage = Stage::new(assets).await?;
    let plain = stage.fix(&["--dry-run"]).await?;
    stage.git(&["checkout", "-q", "--detach"]).await?;
    let detached = stage.fix(&["--dry-run"]).await?;
    same!(detached.out, plain.out, detached);
    stage.git(&["checkout", "-q", "-b", "feature"]).await?;
    let elsewhere = "git@work-account:Acme/GitOps";
    stage
        .git(&["remote", "set-url", "origin", elsewhere])
        .await?;
    let branch = stage.fix(&["--dry-run"]).await?;
    same!(branch.out, plain.out, branch);
    stage.write(REPORTS, "128Mi", "1Gi")?;
    let dirty = stage.fix(&["--dry-run"]).await?;
    same!(dirty.out, plain.out, dirty);
    holds!(dirty.err.contains("uncommitted changes"), dirty);
    same!(stage.hub.writes(), Vec::<String>::new(), "");
    same!(stage.hub.problems(), Vec::<String>::new(), "");
    Ok(())
}

/// One sentence for each, an exit code, and not one request that writes.
pub async fn refuses(assets: &Assets) -> Done {
    let stage = Stage::new(assets).await?;
    let origin = stage.git(&["remote", "get-url", "origin"]).await?;
    let main = stage.git(&["rev-parse", "HEAD"]).await?;

    // not pushed
    stage.write(REPORTS, "in March", "in April")?;
    stage.commit("By hand").await?;
    let own = stage.git(&["rev-parse", "HEAD"]).await?;
    let ran = stage.fix_as(MACHINE, "acme/gitops", &[]).await?;
    let sentence = format!(
        "the run read {}, but main of acme/gitops is at {}: push HEAD first; nothing was written",
        &own[..12],
        &main[..12]
    );
    holds!(ran.code == Some(2) && ran.err.contains(&sentence), ran);

    // GitHub went on
    stage.git(&["push", "-q", "origin", "HEAD:main"]).await?;
    stage.git(&["checkout", "-q", &main]).await?;
    for more in [&[][..], &["--dry-run"]] {
        let ran = stage.fix_as(MACHINE, "acme/gitops", more).await?;
        let sentence = format!("is at {}: check out that commit first", &own[..12]);
        holds!(ran.code == Some(2) && ran.err.contains(&sentence), ran);
    }

    // another repository, or none
    stage.git(&["checkout", "-q", &own]).await?;
    let fork = origin.replace("acme/", "alice/");
    stage.git(&["remote", "set-url", "origin", &fork]).await?;
    let ran = stage.fix_as(MACHINE, "acme/gitops", &[]).await?;
    holds!(
        ran.code == Some(2) && ran.err.contains("alice/gitops, and not acme/gitops"),
        ran
    );
    let ran = stage.fix_as(MACHINE, "alice/gitops", &[]).await?;
    holds!(
        ran.code == Some(3) && ran.err.contains("not found: alice/gitops"),
        ran
    );
    stage.git(&["remote", "remove", "origin"]).await?;
    let ran = stage.fix_as(MACHINE, "acme/gitops", &[]).await?;
    holds!(
        ran.code == Some(2) && ran.err.contains("no remote `origin`"),
        ran
    );
    stage.git(&["remote", "add", "origin", &origin]).await?;

    // not allowed in
    let ran = stage.fix_as("ghp_nobody", "acme/gitops", &[]).await?;
    holds!(
        ran.code == Some(3) && ran.err.contains("does not accept the credentials"),
        ran
    );
    same!(stage.hub.writes(), Vec::<String>::new(), "");
    same!(stage.hub.problems(), Vec::<String>::new(), "");
    // the same clone, where it should be
    let dry = stage.fix(&["--dry-run"]).await?;
    holds!(dry.out.contains("open a pull request for"), dry);
    Ok(())
}

/// The next pass that ended.
async fn passed(program: &mut Program) -> Value {
    tokio::task::block_in_place(|| program.until("pass"))
}

/// Finding, branch, pull request; commands, each answered once; merge, and quiet after that.
pub async fn polls(assets: &Assets) -> Done {
    let stage = Stage::new(assets).await?;
    let hub = &stage.hub;
    let mut command = stage.program(MACHINE);
    command
        .args(["serve", "--poll", "2s", "--listen", "127.0.0.1:0"])
        .args(["--log-format", "json", "--github-repo", "acme/gitops"])
        .arg("--cache")
        .arg(hub.folder("cache"))
        .arg("--snapshot")
        .arg(sample().join("snapshot.yaml"));
    let mut program = Program::start(&mut command);
    let first = passed(&mut program).await;
    same!(
        (&first["outcome"], &first["pulls"], &first["questions"]),
        (&json!("done"), &json!(1), &json!(1)),
        first
    );
    let open = stage.open().await?;
    let [(_, number)] = open.as_slice() else {
        return Err(format!("{open:?}"));
    };
    let question = stage.question().await?;

    stage.say(number, "/kubemend explain").await?;
    stage.say(&question, "/kubemend choose 2").await?;
    let mut answered = 0;
    while answered < 2 {
        let pass = passed(&mut program).await;
        same!(pass["outcome"], json!("done"), pass);
        answered += pass["answered"].as_u64().unwrap_or_default();
    }
    let open = stage.open().await?;
    let chosen = open.iter().find(|(_, n)| n != number);
    let (_, chosen) = chosen.ok_or_else(|| format!("{open:?}"))?;
    let files = stage.get(&format!("/pulls/{chosen}/files")).await?;
    holds!(
        files[0]["patch"]
            .to_string()
            .contains("+                name: orders"),
        files
    );
    let said = (stage.said(number).await?, stage.said(&question).await?);
    stage.merge(number).await?;
    stage.merge(chosen).await?;
    // one that was under way at the merge, one that sees it, one that has nothing to do any more
    for _ in 0..3 {
        passed(&mut program).await;
    }
    let writes = hub.writes().len();
    let quiet = passed(&mut program).await;
    stage.quiet_since(writes)?;
    same!(
        (stage.said(number).await?, stage.said(&question).await?),
        said,
        "answered once"
    );
    same!(stage.open().await?, vec![], quiet);
    same!(hub.count("POST", PULLS), 2, hub.writes());
    same!(hub.problems(), Vec::<String>::new(), "");
    Ok(())
}

/// The whole story through webhooks: finding, branch, pull request, a comment, the revised commit, the
/// merge, and the marker read back.
pub async fn is_told(assets: &Assets) -> Done {
    let stage = Stage::new(assets).await?;
    let hub = &stage.hub;
    let mut command = stage.program(MACHINE);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--github-repo", "acme/gitops", "--cache"])
        .arg(hub.folder("cache"))
        .arg("--snapshot")
        .arg(sample().join("snapshot.yaml"))
        .env("KUBEMEND_WEBHOOK_SECRET", SECRET);
    let mut program = Program::start(&mut command);
    let address = tokio::task::block_in_place(|| program.address());
    let first = passed(&mut program).await;
    same!(first["outcome"], json!("done"), first);
    let open = stage.open().await?;
    let [(branch, number)] = open.as_slice() else {
        return Err(format!("{open:?}"));
    };
    let proposed = stage.get(&format!("/pulls/{number}")).await?;

    let facts = stage.get("").await?;
    let hook = hub.hook(address, facts);
    stage
        .say(number, "/kubemend set limit.memory=192Mi")
        .await?;
    let mut answered = 0;
    while answered < 1 {
        let pass = passed(&mut program).await;
        same!(pass["outcome"], json!("done"), pass);
        answered += pass["answered"].as_u64().unwrap_or_default();
    }
    let revised = stage.get(&format!("/pulls/{number}")).await?;
    holds!(
        revised["head"]["sha"] != proposed["head"]["sha"],
        (&proposed, &revised)
    );
    let files = stage.get(&format!("/pulls/{number}/files")).await?;
    holds!(files[0]["patch"].to_string().contains("192Mi"), files);
    let said = stage.said(number).await?;
    holds!(said.iter().any(|s| s.contains("was made again")), said);

    stage.merge(number).await?;
    stage.git(&["pull", "-q", "origin", "main"]).await?;
    let merged = std::fs::read_to_string(stage.clone.join(REPORTS));
    let merged = merged.map_err(|e| e.to_string())?;
    holds!(merged.contains("memory: 192Mi # measured in March"), merged);
    let mut writes = hub.writes();
    loop {
        tokio::task::block_in_place(|| hook.deliver("push", "", "alice"))?;
        let pass = passed(&mut program).await;
        // one that was under way at the merge read another commit than the base
        let stale = pass["outcome"] == json!("stale");
        holds!(stale || pass["outcome"] == json!("done"), pass);
        let now = hub.writes();
        if now == writes && !stale {
            break;
        }
        writes = now;
    }
    same!(stage.said(number).await?, said, "answered once");
    let told = hook.sent.load(Ordering::SeqCst);
    holds!(told >= 4, told);

    let body = stage.get(&format!("/pulls/{number}")).await?["body"].clone();
    let key = marker::key_from(&SecretString::from(KEY));
    let marker = match marker::read(body.as_str().unwrap_or_default(), key.as_ref()) {
        marker::Read::Signed(marker) => marker,
        other => return Err(format!("{other:?}")),
    };
    same!(json!(marker.head), revised["head"]["sha"], marker);
    same!(marker.set, vec!["limit.memory=192Mi".to_owned()], marker);
    same!(marker.attempt, 2, marker);
    holds!(branch.ends_with(&marker.fingerprint[..8]), marker);
    same!(hub.count("POST", PULLS), 1, hub.writes());
    same!(hub.problems(), Vec::<String>::new(), "");
    Ok(())
}
