//! The trials.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use kubemend::forge::PullState;
use kubemend::github::{Credentials, Endpoint, Error, GitHub, NewFiles, Transport};
use secrecy::SecretString;
use serde_json::json;

use crate::Assets;
use crate::shim::{ALICE, Hub, MACHINE, MALLORY, blob_id};

pub type Done = Result<(), String>;

/// What a trial does with what is installed.
type Run = fn(&Assets) -> Done;

/// Name and body of each.
pub const TRIALS: &[(&str, Run)] = &[
    ("a_pull_request_lives_from_branch_to_merge", |a| {
        run(life(a))
    }),
    ("what_github_refuses_is_refused", |a| run(refusals(a))),
    ("a_conflict_and_a_lost_branch", |a| run(conflict(a))),
    ("git_and_the_api_hold_one_truth", |a| run(one_truth(a))),
    ("the_app_opens_answers_and_rests", |a| {
        run(crate::pass::story(a))
    }),
    ("a_wrong_token_ends_a_push", |a| run(wrong_token(a))),
    ("fix_opens_once_and_takes_a_no", |a| {
        run(crate::program::opens_once(a))
    }),
    ("fix_names_findings_alike_wherever_head_is", |a| {
        run(crate::program::names_alike(a))
    }),
    ("fix_refuses_another_state_than_the_base", |a| {
        run(crate::program::refuses(a))
    }),
    ("rollback_proves_the_way_back_in_a_clone", |a| {
        run(crate::program::rolls_back(a))
    }),
    ("serve_polls_from_finding_to_merge", |a| {
        run(crate::program::polls(a))
    }),
    ("deliveries_carry_a_finding_to_its_merge", |a| {
        run(crate::program::is_told(a))
    }),
];

fn run(trial: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(|e| e.to_string())?.block_on(trial)
}

fn said(error: Error) -> String {
    error.to_string()
}

fn git(error: git2::Error) -> String {
    error.to_string()
}

macro_rules! holds {
    ($what:expr) => {
        if !$what {
            return Err(format!("{}: not {}", line!(), stringify!($what)));
        }
    };
}

pub(crate) fn client(hub: &Hub, token: &str) -> Result<GitHub, String> {
    let credentials = Credentials::Token(SecretString::from(token));
    let transport = Transport::new(Endpoint::new(&hub.shared.url), credentials).map_err(said)?;
    GitHub::new(transport, "acme/gitops").map_err(said)
}

fn files(text: &str) -> NewFiles {
    NewFiles::from([("apps/web.yaml".to_owned(), text.as_bytes().to_vec())])
}

/// A branch with one commit on the base.
async fn branch(github: &GitHub, name: &str, text: &str) -> Result<String, String> {
    let base = github
        .branch_head("main")
        .await
        .map_err(said)?
        .ok_or("no main")?;
    let commit = github
        .make_commit(
            &base,
            &files(text),
            "Mend web\n\nKubemend-Finding: 12345678",
        )
        .await
        .map_err(said)?;
    holds_branch(
        github
            .create_branch(name, &commit.sha)
            .await
            .map_err(said)?,
    )?;
    Ok(commit.sha)
}

fn holds_branch(made: bool) -> Done {
    if made {
        Ok(())
    } else {
        Err("the branch was there already".to_owned())
    }
}

/// Branch → pull request → comment → revised commit → merge → hidden state read back.
async fn life(assets: &Assets) -> Done {
    let hub = Hub::start(assets).await?;
    let github = client(&hub, MACHINE)?;
    let me = github.me().await.map_err(said)?;
    same!(me.login, "kubemend-bot");
    let name = "kubemend/web-12345678";
    let first = branch(&github, name, "image: web:1\n").await?;
    let body = "Why.\n\n<!-- kubemend:v1 e30.c2ln -->";
    let pull = github
        .open_pull(name, "main", "Mend web", body, true)
        .await
        .map_err(said)?;
    same!(
        (pull.draft, &pull.head_sha, pull.author.id),
        (true, &first, me.id)
    );
    github
        .add_labels(pull.number, &["kubemend".to_owned()])
        .await
        .map_err(said)?;
    github.set_draft(&pull.node_id, false).await.map_err(said)?;
    // a person speaks, and is answered
    let comments = format!("/repos/acme/gitops/issues/{}/comments", pull.number);
    hub.must(
        ALICE,
        "POST",
        &comments,
        Some(json!({"body": "/kubemend set image=web:2"})),
    )
    .await?;
    let heard = github.comments(pull.number).await.map_err(said)?;
    let [command] = heard.as_slice() else {
        return Err(format!("{heard:?}"));
    };
    holds!(
        github.permission(&command.author).await.map_err(said)?
            >= kubemend::forge::Permission::Write
    );
    let second = github
        .make_commit(&first, &files("image: web:2\n"), "Take web:2")
        .await
        .map_err(said)?;
    holds!(
        github
            .move_branch(name, &first, &second)
            .await
            .map_err(said)?
    );
    github.react(command, "rocket").await.map_err(said)?;
    holds!(github.reacted(command, "rocket", &me).await.map_err(said)?);
    let answer = github
        .add_comment(pull.number, "Done.\n\n<!-- kubemend:v1 answer -->")
        .await
        .map_err(said)?;
    github
        .edit_comment(answer.id, "Done: web:2.\n\n<!-- kubemend:v1 answer -->")
        .await
        .map_err(said)?;
    same!(github.commits_of(pull.number).await.map_err(said)?.len(), 2);
    same!(
        github.files_of(pull.number).await.map_err(said)?,
        ["apps/web.yaml"]
    );
    // it is merged, and everything is still there
    let merge = format!("/repos/acme/gitops/pulls/{}/merge", pull.number);
    let order = json!({"merge_method": "squash", "sha": second.sha});
    hub.must(ALICE, "PUT", &merge, Some(order)).await?;
    let merged = github.pull(pull.number).await.map_err(said)?;
    same!(
        (merged.state, merged.draft, merged.labels),
        (PullState::Merged, false, vec!["kubemend".to_owned()])
    );
    holds!(merged.body.ends_with("<!-- kubemend:v1 e30.c2ln -->"));
    let content = github.file("apps/web.yaml", "main").await.map_err(said)?;
    same!(content.as_deref(), Some(b"image: web:2\n".as_slice()));
    let closed = github.issue(pull.number).await.map_err(said)?;
    same!(closed.closed_by.map(|a| a.login), Some("alice".to_owned()));
    github.delete_branch(name).await.map_err(said)?;
    same!(github.branches("kubemend/").await.map_err(said)?.len(), 0);
    same!(hub.count("POST", "/repos/{owner}/{repo}/pulls"), 1);
    same!(hub.problems(), Vec::<String>::new());
    Ok(())
}

/// A second one, an empty one, one of nothing.
async fn refusals(assets: &Assets) -> Done {
    let hub = Hub::start(assets).await?;
    let github = client(&hub, MACHINE)?;
    branch(&github, "kubemend/a", "image: web:1\n").await?;
    let pull = github
        .open_pull("kubemend/a", "main", "A", "", false)
        .await
        .map_err(said)?;
    for (head, what) in [
        ("kubemend/a", "already exists"),
        ("main", "No commits"),
        ("nowhere", "invalid"),
    ] {
        match github.open_pull(head, "main", "A", "", false).await {
            Err(Error::Invalid(m)) if m.contains(what) => {}
            other => return Err(format!("{head}: {other:?}")),
        }
    }
    holds!(
        !github
            .create_branch("kubemend/a", &pull.head_sha)
            .await
            .map_err(said)?
    );
    let stranger = client(&hub, MALLORY)?;
    let blocked = stranger.create_branch("kubemend/b", &pull.head_sha).await;
    holds!(matches!(
        blocked,
        Err(Error::Forbidden(_) | Error::NotFound(_))
    ));
    github.delete_branch("kubemend/none").await.map_err(said)?;
    same!(hub.count("POST", "/repos/{owner}/{repo}/pulls"), 1);
    same!(hub.problems(), Vec::<String>::new());
    Ok(())
}

/// A base that moved, and a branch that went.
async fn conflict(assets: &Assets) -> Done {
    let hub = Hub::start(assets).await?;
    let github = client(&hub, MACHINE)?;
    branch(&github, "seed", "image: web:0\nreplicas: 1\n").await?;
    let open = async |head: &str| {
        github
            .open_pull(head, "main", head, "", false)
            .await
            .map_err(said)
    };
    let merge = |n: u64| format!("/repos/acme/gitops/pulls/{n}/merge");
    let seeded = open("seed").await?;
    let order = json!({"merge_method": "rebase"});
    hub.must(ALICE, "PUT", &merge(seeded.number), Some(order))
        .await?;
    branch(&github, "kubemend/a", "image: web:1\nreplicas: 1\n").await?;
    branch(&github, "kubemend/b", "image: web:2\nreplicas: 1\n").await?;
    let (a, b) = (open("kubemend/a").await?, open("kubemend/b").await?);
    let order = json!({"merge_method": "merge"});
    hub.must(ALICE, "PUT", &merge(a.number), Some(order))
        .await?;
    same!(
        github.pull(b.number).await.map_err(said)?.mergeable,
        Some(false)
    );
    for number in [a.number, b.number] {
        let refused = hub
            .ask(ALICE, "PUT", &merge(number), Some(json!({})))
            .await?;
        same!(refused.status, 405);
    }
    github.delete_branch("kubemend/b").await.map_err(said)?;
    same!(
        github.pull(b.number).await.map_err(said)?.state,
        PullState::Closed
    );
    let route = format!("/repos/acme/gitops/pulls/{}", b.number);
    let reopened = hub.ask(ALICE, "PATCH", &route, Some(json!({"state": "open"})));
    let refused = reopened.await?;
    same!(refused.status, 422);
    same!(
        refused.json().to_string().contains("has been deleted"),
        true
    );
    same!(hub.problems(), Vec::<String>::new());
    Ok(())
}

/// Credentials as libgit2 asks for them; a second question means that the first answer was wrong.
fn callbacks<'c>(token: &'c str, asked: &'c AtomicUsize) -> git2::RemoteCallbacks<'c> {
    let mut callbacks = git2::RemoteCallbacks::new();
    callbacks.credentials(move |_, _, _| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => git2::Cred::userpass_plaintext("x-access-token", token),
        _ => Err(git2::Error::from_str("the token is not accepted")),
    });
    callbacks.push_update_reference(|_, refused| match refused {
        Some(why) => Err(git2::Error::from_str(why)),
        None => Ok(()),
    });
    callbacks
}

fn clone(url: &str, into: &Path, token: &str) -> Result<git2::Repository, git2::Error> {
    let asked = AtomicUsize::new(0);
    let mut options = git2::FetchOptions::new();
    options.depth(1).remote_callbacks(callbacks(token, &asked));
    git2::build::RepoBuilder::new()
        .fetch_options(options)
        .clone(url, into)
}

/// Commits a file on what is checked out; the id.
fn commit(repository: &git2::Repository, file: &str, text: &str) -> Result<git2::Oid, git2::Error> {
    let root = repository
        .workdir()
        .ok_or_else(|| git2::Error::from_str("bare"))?;
    let path = root.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    let mut index = repository.index()?;
    index.add_path(Path::new(file))?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let when = git2::Time::new(jiff::Timestamp::now().as_second(), 0);
    let alice = git2::Signature::new("Alice", "alice@example.com", &when)?;
    let parent = repository.head()?.peel_to_commit()?;
    repository.commit(Some("HEAD"), &alice, &alice, "By hand\n", &tree, &[&parent])
}

fn push(repository: &git2::Repository, to: &str, token: &str) -> Result<(), git2::Error> {
    let asked = AtomicUsize::new(0);
    let mut options = git2::PushOptions::new();
    options.remote_callbacks(callbacks(token, &asked));
    let from = repository.head()?.name()?.to_owned();
    repository
        .find_remote("origin")?
        .push(&[format!("{from}:refs/heads/{to}")], Some(&mut options))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, git2::Error> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| e.to_string())?.map_err(git)
}

/// A push is seen by the API, a merge through the API by Git; all ids are the same.
async fn one_truth(assets: &Assets) -> Done {
    let hub = Hub::start(assets).await?;
    let github = client(&hub, MACHINE)?;
    let url = format!("{}/acme/gitops.git", hub.shared.url);
    let (from, into) = (url.clone(), hub.folder("work"));
    let pushed = blocking(move || {
        let repository = clone(&from, &into, ALICE)?;
        let id = commit(&repository, "apps/base/web.yaml", "image: web:3\n")?;
        push(&repository, "by-hand", ALICE)?;
        Ok(id.to_string())
    });
    let pushed = pushed.await?;
    same!(
        github.branch_head("by-hand").await.map_err(said)?,
        Some(pushed.clone())
    );
    let content = github
        .file("apps/base/web.yaml", "by-hand")
        .await
        .map_err(said)?;
    same!(content.as_deref(), Some(b"image: web:3\n".as_slice()));
    let facts = github.commit(&pushed).await.map_err(said)?;
    same!(
        (facts.message.trim_end(), facts.parents.len()),
        ("By hand", 1)
    );
    let pull = github
        .open_pull("by-hand", "main", "By hand", "", false)
        .await
        .map_err(said)?;
    let merge = format!("/repos/acme/gitops/pulls/{}/merge", pull.number);
    let merged = hub
        .must(ALICE, "PUT", &merge, Some(json!({"merge_method": "merge"})))
        .await?;
    let into = hub.folder("after");
    let (head, blob) = blocking(move || {
        let repository = clone(&url, &into, MACHINE)?;
        let commit = repository.head()?.peel_to_commit()?;
        let entry = commit.tree()?.get_path(Path::new("apps/base/web.yaml"))?;
        Ok((commit.id().to_string(), entry.id().to_string()))
    })
    .await?;
    same!(json!(head), merged["sha"]);
    same!(blob, blob_id("image: web:3\n"));
    same!(hub.problems(), Vec::<String>::new());
    Ok(())
}

/// libgit2 asks for credentials again and again; one wrong answer must be enough.
async fn wrong_token(assets: &Assets) -> Done {
    let hub = Hub::start(assets).await?;
    let url = format!("{}/acme/gitops.git", hub.shared.url);
    let into = hub.folder("work");
    let refused = blocking(move || {
        let repository = clone(&url, &into, ALICE)?;
        commit(&repository, "a.yaml", "a: 1\n")?;
        Ok(push(&repository, "b", "ghp_nobody")
            .unwrap_err()
            .message()
            .to_owned())
    });
    holds!(refused.await?.contains("not accepted"));
    let github = client(&hub, MACHINE)?;
    same!(github.branch_head("b").await.map_err(said)?, None);
    Ok(())
}
