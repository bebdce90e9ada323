//! Pull requests as GitHub keeps them. The emulator freezes head and base when one is opened, and its
//! merge takes the head's tree as it is; here Git itself merges, and heads follow their branches.

use git2::{Oid, Repository};
use serde_json::{Value, json};

use super::Shared;
use super::lacking::{invalid, plain, refused, token};
use crate::support::github::wire::Call;
use crate::truth::{ADMIN, READER};
use crate::upstream::Answer;

/// How one ended.
#[derive(Debug, Clone)]
pub struct Merged {
    sha: String,
    at: jiff::Timestamp,
    base: String,
    head: String,
}

type Done<T> = Result<T, String>;

fn said(error: git2::Error) -> String {
    error.to_string()
}

fn head_of(git: &Repository, branch: &str) -> Option<String> {
    let reference = git.find_reference(&format!("refs/heads/{branch}")).ok()?;
    reference.target().map(|id| id.to_string())
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

async fn fetched(shared: &Shared, call: &Call) -> Done<Answer> {
    let target = format!("/repos/{}/pulls/{}", call.repo(), call.param("pull_number"));
    let mut answer = shared.upstream.ask(READER, "GET", &target, None).await?;
    correct(shared, &mut answer)?;
    Ok(answer)
}

/// Every pull request in an answer, as it really is.
pub fn correct(shared: &Shared, answer: &mut Answer) -> Done<()> {
    let mut value = answer.json();
    match &mut value {
        Value::Array(list) => list.iter_mut().try_for_each(|p| correct_one(shared, p))?,
        one => correct_one(shared, one)?,
    }
    answer.bytes = value.to_string().into();
    Ok(())
}

fn correct_one(shared: &Shared, pull: &mut Value) -> Done<()> {
    let Some(number) = pull["number"]
        .as_u64()
        .filter(|_| pull.get("head").is_some())
    else {
        return Ok(());
    };
    let git = shared.truth.git()?;
    let mut memory = shared.memory();
    if let Some(merged) = memory.merged.get(&number) {
        pull["merged"] = json!(true);
        pull["merged_at"] = json!(merged.at);
        pull["merge_commit_sha"] = json!(merged.sha);
        pull["head"]["sha"] = json!(merged.head);
        pull["base"]["sha"] = json!(merged.base);
        pull["mergeable"] = Value::Null;
        return Ok(());
    }
    pull["merge_commit_sha"] = Value::Null;
    if pull["state"] != "open" {
        // as it was when it was seen last
        if let Some(head) = memory.heads.get(&number) {
            pull["head"]["sha"] = json!(head);
        }
        return Ok(());
    }
    let ends = (
        head_of(&git, text(pull, "/head/ref")),
        head_of(&git, text(pull, "/base/ref")),
    );
    if let (Some(head), Some(base)) = ends {
        if pull.get("mergeable").is_some() {
            pull["mergeable"] = json!(merged_tree(&git, &base, &head)?.is_some());
        }
        pull["head"]["sha"] = json!(head);
        pull["base"]["sha"] = json!(base);
        memory.heads.insert(number, head);
    }
    Ok(())
}

/// Git's own merge; `None` when it conflicts.
fn merged_tree(git: &Repository, base: &str, head: &str) -> Done<Option<Oid>> {
    let find = |sha: &str| {
        Oid::from_str(sha)
            .and_then(|id| git.find_commit(id))
            .map_err(said)
    };
    let mut index = git
        .merge_commits(&find(base)?, &find(head)?, None)
        .map_err(said)?;
    if index.has_conflicts() {
        return Ok(None);
    }
    index.write_tree_to(git).map(Some).map_err(said)
}

/// Merges, or says why not.
pub async fn merge(shared: &Shared, call: &Call) -> Done<Option<Answer>> {
    let fetched = fetched(shared, call).await?;
    let pull = fetched.json();
    let (base, head) = (
        text(&pull, "/base/sha").to_owned(),
        text(&pull, "/head/sha").to_owned(),
    );
    match () {
        () if fetched.status != 200 => return Ok(Some(fetched)),
        () if pull["state"] != "open" => {
            return Ok(Some(refused(405, "Pull Request is not mergeable")));
        }
        () if pull["draft"] == true => {
            return Ok(Some(refused(405, "Pull Request is still a draft")));
        }
        () if call.text("sha").is_some_and(|sha| sha != head) => {
            let message = "Head branch was modified. Review and try the merge again.";
            return Ok(Some(refused(409, message)));
        }
        () => {}
    }
    let who = shared
        .upstream
        .must(token(call), "GET", "/user", None)
        .await?;
    let Some(sha) = commit_merge(shared, call, &pull, text(&who, "/login"))? else {
        return Ok(Some(refused(405, "Pull Request is not mergeable")));
    };
    shared.truth.push_to_api(token(call)).await?;
    let number = pull["number"].as_u64().unwrap_or_default();
    let merged = Merged {
        sha: sha.clone(),
        at: jiff::Timestamp::now(),
        base,
        head,
    };
    shared.memory().merged.insert(number, merged);
    note_closer(shared, number, token(call)).await?;
    let target = format!("/repos/{}/pulls/{number}", call.repo());
    shared
        .upstream
        .must(
            token(call),
            "PATCH",
            &target,
            Some(json!({"state": "closed"})),
        )
        .await?;
    let answer = json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"});
    Ok(Some(plain(200, &answer)))
}

fn commit_merge(shared: &Shared, call: &Call, pull: &Value, login: &str) -> Done<Option<String>> {
    let git = shared.truth.git()?;
    let (base, head) = (text(pull, "/base/sha"), text(pull, "/head/sha"));
    let Some(tree) = merged_tree(&git, base, head)? else {
        return Ok(None);
    };
    let when = git2::Time::new(jiff::Timestamp::now().as_second(), 0);
    let email = format!("{login}@example.com");
    let who = git2::Signature::new(login, &email, &when).map_err(said)?;
    let find = |sha: &str| {
        Oid::from_str(sha)
            .and_then(|id| git.find_commit(id))
            .map_err(said)
    };
    let (base, head) = (find(base)?, find(head)?);
    let whole = call.text("merge_method").unwrap_or("merge") == "merge";
    let parents = if whole {
        vec![&base, &head]
    } else {
        vec![&base]
    };
    let (number, title) = (&pull["number"], text(pull, "/title"));
    let message = match whole {
        true => format!(
            "Merge pull request #{number} from {}\n\n{title}\n",
            text(pull, "/head/ref")
        ),
        false => format!("{title} (#{number})\n"),
    };
    let tree = git.find_tree(tree).map_err(said)?;
    let into = format!("refs/heads/{}", text(pull, "/base/ref"));
    let id = git
        .commit(Some(&into), &who, &who, &message, &tree, &parents)
        .map_err(said)?;
    Ok(Some(id.to_string()))
}

/// Files or commits that are its own.
pub async fn of_compare(shared: &Shared, call: &Call, what: &str) -> Done<Option<Answer>> {
    let fetched = fetched(shared, call).await?;
    if fetched.status != 200 {
        return Ok(Some(fetched));
    }
    let pull = fetched.json();
    let (base, head) = (text(&pull, "/base/sha"), text(&pull, "/head/sha"));
    let target = format!("/repos/{}/compare/{base}...{head}", call.repo());
    let compare = shared.upstream.must(READER, "GET", &target, None).await?;
    Ok(Some(plain(200, &compare[what])))
}

/// Without its branch it stays closed.
pub async fn refuse_reopen(shared: &Shared, call: &Call) -> Done<Option<Answer>> {
    match call.text("state") {
        Some("open") => {}
        Some(_) => {
            let number = call.number("pull_number").map_err(|_| "a number")?;
            note_closer(shared, number, token(call)).await?;
            return Ok(None);
        }
        None => return Ok(None),
    }
    let pull = fetched(shared, call).await?.json();
    let branch = text(&pull, "/head/ref");
    if pull["state"] == "open" || head_of(&shared.truth.git()?, branch).is_some() {
        return Ok(None);
    }
    let message = format!("state cannot be changed. The {branch} branch has been deleted.");
    Ok(Some(invalid(
        &json!({"resource": "PullRequest", "code": "invalid", "field": "state", "message": message}),
    )))
}

/// A branch that is gone takes its open pull requests along.
pub async fn close_orphans(shared: &Shared, actor: &str) -> Done<()> {
    let pulls = format!("/repos/{}/pulls", shared.truth.repo);
    let open = shared
        .upstream
        .must(
            ADMIN,
            "GET",
            &format!("{pulls}?state=open&per_page=100"),
            None,
        )
        .await?;
    for pull in open.as_array().into_iter().flatten() {
        let gone = head_of(&shared.truth.git()?, text(pull, "/head/ref")).is_none();
        if gone {
            note_closer(shared, pull["number"].as_u64().unwrap_or_default(), actor).await?;
            let target = format!("{pulls}/{}", pull["number"]);
            shared
                .upstream
                .must(actor, "PATCH", &target, Some(json!({"state": "closed"})))
                .await?;
        }
    }
    Ok(())
}

/// The issue that every pull request is too; the emulator shows it nowhere.
pub async fn issue_of(shared: &Shared, call: &Call) -> Done<Option<Answer>> {
    let number = call.param("issue_number");
    let target = format!("/repos/{}/pulls/{number}", call.repo());
    let mut answer = shared.upstream.ask(READER, "GET", &target, None).await?;
    if answer.status != 200 {
        return Ok(None);
    }
    correct(shared, &mut answer)?;
    let mut pull = answer.json();
    let number = pull["number"].as_u64().unwrap_or_default();
    pull["pull_request"] = json!({"url": pull["url"], "merged_at": pull["merged_at"]});
    let closed_by = shared.memory().closed_by.get(&number).cloned();
    pull["closed_by"] = closed_by
        .filter(|_| pull["state"] == "closed")
        .unwrap_or_default();
    if let Some(fields) = pull.as_object_mut() {
        fields.retain(|name, _| !["head", "base", "mergeable", "merged"].contains(&name.as_str()));
    }
    Ok(Some(plain(200, &pull)))
}

/// Remembers who closes it.
pub async fn note_closer(shared: &Shared, number: u64, token: &str) -> Done<()> {
    let who = super::lacking::holder(shared, token).await?;
    shared.memory().closed_by.insert(number, who);
    Ok(())
}
