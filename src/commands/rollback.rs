//! `kubemend rollback`: a pull request that takes a merged fix back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::cli::Rollback;
use crate::commands::Failure;
use crate::commands::forge::{self, Online};
use crate::commands::session::Session;
use crate::config::{Loaded, Overrides, REPOSITORY_FILES};
use crate::cycle::{self, Analysis, RolledBack, Work};
use crate::files::Files;
use crate::forge::rollback::{NoFix, Wish};
use crate::github::{GitHub, Mode, NewFiles};
use crate::locate::Repository;
use crate::revert;
use crate::snapshot::Snapshot;
use crate::terminal;
use crate::verify::expect::Expected;

pub(super) fn run(args: &Rollback) -> Result<u8, Failure> {
    let wish: Wish = args.what.parse().map_err(input)?;
    let rights = match args.dry_run {
        true => Mode::Read,
        false => Mode::Propose,
    };
    let Some(Online { runtime, github }) = forge::online(&args.forge, rights)? else {
        let message = "no credentials for GitHub: set GITHUB_TOKEN, or KUBEMEND_APP_ID and KUBEMEND_APP_KEY_FILE";
        return Err(Failure::Input(message.to_owned()));
    };
    crate::telemetry::logs(crate::cli::LogFormat::Text);
    let key = forge::marker_key(&args.forge)?;
    let loaded = runtime.block_on(settings(args, &github))?;
    let clone = clone(args)?;
    let reads = match &clone {
        Some(session) => forge::commit_of(&session.checkout, &github.full_name())?,
        None => String::new(),
    };
    let clone = clone.map(Mutex::new); // a Git repository is for one thread at a time
    let prove = clone.as_ref().map(|clone| {
        |expects: &[Expected], files: &NewFiles| {
            let session = clone.lock().unwrap_or_else(PoisonError::into_inner);
            let (read, renderer) = (&session.checkout.files, session.renderer.as_ref());
            let policy = session.config.locate_policy();
            let repository = Repository::open(read, renderer, None, policy);
            revert::prove(&repository, &Snapshot::default(), expects, files)
        }
    });
    let work = Work {
        github: &github,
        rules: &loaded.config.pull_requests,
        scope: "",
        key: key.as_ref(),
        now: jiff::Timestamp::now(),
        dry_run: args.dry_run,
        workflow_token: false,
        reads: &reads,
        analyse: &|_| Analysis::default(),
        verify: None,
        prove: prove.as_ref().map(|prove| prove as _),
    };
    let name = github.full_name();
    match runtime.block_on(cycle::roll_back(&work, &wish)) {
        Err(error) => Err(Failure::Infrastructure(error.to_string())),
        Ok(RolledBack::Nothing) => Err(input(NoFix::Unknown(args.what.clone()))),
        Ok(RolledBack::Refused(why)) => Err(Failure::Input(format!("{why}; nothing was written"))),
        Ok(RolledBack::Would(number)) => {
            terminal::out(&format!(
                "would take back {name}#{number}\nDry run: nothing was written.\n"
            ));
            Ok(0)
        }
        Ok(RolledBack::Opened { fix, revert }) => {
            terminal::out(&format!("{name}#{revert} takes back {name}#{fix}\n"));
            Ok(0)
        }
    }
}

fn input(error: NoFix) -> Failure {
    Failure::Input(error.to_string())
}

/// The clone in which the way back is proven.
fn clone(args: &Rollback) -> Result<Option<Session>, Failure> {
    let (config, renderer) = (&args.operator.config, &args.operator.renderer);
    let open = |repo| Session::open(repo, config.as_deref(), renderer.as_deref());
    args.repo.as_deref().map(open).transpose()
}

/// The repository's settings, as its default branch has them.
async fn settings(args: &Rollback, github: &GitHub) -> Result<Loaded, Failure> {
    let facts = github.facts().await.map_err(forge_says)?;
    let mut files = BTreeMap::new();
    for path in REPOSITORY_FILES {
        let content = github.file(path, &facts.default_branch).await;
        files.extend(content.map_err(forge_says)?.map(|c| (path.to_owned(), c)));
    }
    let files = Files::default().with(&files);
    let loaded = Loaded::read(
        args.operator.config.as_deref(),
        &files,
        &Overrides::default(),
    );
    loaded.map_err(|e| Failure::Input(e.to_string()))
}

fn forge_says(error: crate::github::Error) -> Failure {
    Failure::Infrastructure(error.to_string())
}
