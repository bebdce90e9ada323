//! `validate` and `review`: manifests alone, nothing is written but, in `review`, one review.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Done, Online, Stop, Workflow, pulls, say};
use crate::action::outcome::{Ended, Outputs, fails};
use crate::action::suggest::{self, Suggestion, Wish};
use crate::action::{Pull, summary};
use crate::annotations;
use crate::commands::Failure;
use crate::commands::session;
use crate::config::{Config, Loaded, REPOSITORY_FILES};
use crate::github::LineComment;
use crate::locate::Repository;
use crate::render::Renderer;
use crate::sarif;
use crate::scan::report::{Report, report};
use crate::scan::{Input, Scan, Version, scan};

pub(super) fn run(
    workflow: &Workflow<'_>,
    loaded: &Loaded,
    pull: Option<&Pull>,
    review: bool,
) -> Result<Done, Stop> {
    let changed = pull
        .map(|p| pulls::changed(workflow, p.number))
        .transpose()?;
    if let Some(changed) = &changed {
        changed_configuration(workflow, changed)?;
    }
    let config = &loaded.config;
    let renderer = renderer(workflow, config)?;
    let files = &workflow.checkout.files;
    let namespace = workflow.inputs.namespace.as_deref();
    let repository = Repository::open(files, renderer.as_ref(), namespace, config.locate_policy());
    let policy = config.policy();
    let input = Input {
        checkout: &workflow.checkout,
        repository: &repository,
        policy: &policy,
        places: config.locate_policy(),
        target: target(workflow)?,
        ignore: &config.pull_requests.ignore,
        paths: &workflow.inputs.paths,
        now: jiff::Timestamp::now(),
        style: session::style(&workflow.checkout, config),
    };
    let mut scan = scan(&input);
    if let Some(changed) = &changed {
        scan.findings.retain(|f| changed.contains(&f.place.file));
    }
    let report = report(&scan, &input);
    if let (true, Some(pull)) = (review, pull) {
        suggest(workflow, &input, &scan, pull)?;
    }
    let sarif = workflow.inputs.sarif.as_deref();
    let sarif = sarif.map(|path| write_sarif(workflow, path, &report, &scan));
    Ok(done(workflow, pull, &report, sarif.transpose()?))
}

fn done(
    workflow: &Workflow<'_>,
    pull: Option<&Pull>,
    report: &Report,
    sarif: Option<String>,
) -> Done {
    let severities = report.findings.iter().map(|f| f.severity);
    let ended = match fails(workflow.inputs.fail_on, severities) {
        true => Ended::Findings,
        false => Ended::Success,
    };
    let about = match pull {
        Some(p) if p.fork => {
            "Only files that the pull request changes; it comes from a fork, so nothing was written and no model was asked."
        }
        Some(_) => "Only files that the pull request changes.",
        None => "The whole repository.",
    };
    Done {
        outputs: Outputs {
            ended,
            findings: report.findings.len() + report.cut,
            sarif,
            ..Outputs::default()
        },
        summary: summary::of_scan(report, about),
        annotations: annotations::commands(report),
    }
}

/// A pull request that changes the configuration is told whether it can be used.
fn changed_configuration(workflow: &Workflow<'_>, changed: &BTreeSet<String>) -> Result<(), Stop> {
    for name in REPOSITORY_FILES.iter().filter(|n| changed.contains(**n)) {
        if workflow.checkout.files.get(name).is_some() {
            let files = &workflow.checkout.files;
            let loaded = Loaded::of(None, files, &workflow.inputs.overrides);
            let loaded = super::configured(loaded)?;
            loaded.notes.iter().for_each(|note| say(note));
        }
    }
    Ok(())
}

fn renderer(workflow: &Workflow<'_>, config: &Config) -> Result<Option<Renderer>, Failure> {
    let given = super::given(&workflow.args.renderer).map(Path::new);
    Ok(Renderer::find(given.or(config.renderer.as_deref()))?)
}

fn target(workflow: &Workflow<'_>) -> Result<Version, Failure> {
    match workflow.inputs.target {
        Some(target) => Ok(target),
        None => crate::schema::VERSION.parse().map_err(Failure::Input),
    }
}

fn write_sarif(
    workflow: &Workflow<'_>,
    path: &str,
    report: &Report,
    scan: &Scan,
) -> Result<String, Failure> {
    let log = sarif::log(report, scan, &workflow.checkout.files);
    let text = serde_json::to_string_pretty(&log).map_err(|e| Failure::Input(e.to_string()))?;
    std::fs::write(path, text).map_err(|e| Failure::Input(format!("sarif: {path}: {e}")))?;
    Ok(path.to_owned())
}

// -- review

/// One review with all suggestions that are new and that the diff has room for.
fn suggest(
    workflow: &Workflow<'_>,
    input: &Input<'_>,
    scan: &Scan,
    pull: &Pull,
) -> Result<(), Stop> {
    let Some(online) = workflow.github()? else {
        return Err(Stop::Failure(Failure::Input(
            "mode review needs a token that may write pull requests".to_owned(),
        )));
    };
    let fixed = fixed(input, scan);
    let wanted = online.runtime.block_on(suggestions(&online, &fixed, pull));
    let wanted = wanted.map_err(Failure::from)?;
    if wanted.is_empty() {
        return Ok(());
    }
    if workflow.inputs.dry_run {
        say(&format!(
            "dry run: {} suggestions are not written",
            wanted.len()
        ));
        return Ok(());
    }
    let comments: Vec<LineComment> = wanted.iter().map(comment).collect();
    let body = "kubemend found faults in lines that this pull request changes. Each suggestion is proven: nothing else changes in what is rendered.";
    let write = online
        .github
        .review(pull.number, &pull.head, body, &comments);
    online.runtime.block_on(write).map_err(Failure::from)?;
    Ok(())
}

fn comment(suggestion: &Suggestion) -> LineComment {
    LineComment {
        path: suggestion.path.clone(),
        first: *suggestion.lines.start(),
        last: *suggestion.lines.end(),
        body: suggestion.body.clone(),
    }
}

/// A fix of one file, owned.
struct Fixed {
    file: String,
    before: String,
    after: String,
    title: String,
    message: String,
    fingerprint: String,
}

fn fixed(input: &Input<'_>, scan: &Scan) -> Vec<Fixed> {
    let one = |found: &crate::scan::Found| {
        let pull = scan.fix(found)?;
        // a suggestion is one file; a fix of several is no suggestion
        let (file, after) = pull.mended.changed.first_key_value()?;
        let before = input.repository.files.get(file)?;
        (pull.mended.changed.len() == 1).then_some(Fixed {
            file: file.clone(),
            before: String::from_utf8(before.to_vec()).ok()?,
            after: String::from_utf8(after.clone()).ok()?,
            title: pull.text.title.clone(),
            message: found.message.clone(),
            fingerprint: found.fingerprint.clone(),
        })
    };
    scan.findings.iter().filter_map(one).collect()
}

async fn suggestions(
    online: &Online,
    fixed: &[Fixed],
    pull: &Pull,
) -> Result<Vec<Suggestion>, crate::github::Error> {
    let github = &online.github;
    let diffs = github.diffs_of(pull.number).await?;
    let mut wishes = Vec::new();
    for fix in fixed.iter().filter(|f| diffs.contains_key(&f.file)) {
        // what is checked out is the merge; lines count in the head
        let head = github.file(&fix.file, &pull.head).await?;
        if head.as_deref() == Some(fix.before.as_bytes()) {
            wishes.push(Wish {
                file: &fix.file,
                before: &fix.before,
                after: &fix.after,
                title: &fix.title,
                message: &fix.message,
                fingerprint: &fix.fingerprint,
            });
        }
    }
    if wishes.is_empty() {
        return Ok(Vec::new());
    }
    let me = github.me().await?;
    let comments = github.review_comments(pull.number).await?;
    let ours = comments.iter().filter(|c| c.author.id == me.id);
    let made = suggest::made(ours.map(|c| c.body.as_str()));
    let shown = diffs.iter().map(|(f, d)| (f.clone(), suggest::shown(d)));
    Ok(suggest::suggestions(&wishes, &shown.collect(), &made))
}
