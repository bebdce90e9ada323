//! What `fix`, `locate` and `demo` share: repository, configuration and renderer, opened once.

use std::path::Path;

use crate::commands::Failure;
use crate::config::{Config, Loaded, Overrides};
use crate::message::commit::{SUBJECTS, Style, chosen, signed_off_locally};
use crate::pipeline::{Ended, Ending};
use crate::render::Renderer;
use crate::repo::Checkout;

/// How a repository writes subjects and titles, by its settings and its history.
pub(super) fn style(checkout: &Checkout, config: &Config) -> Style {
    let subjects = checkout.subjects(SUBJECTS);
    let rule = config.pull_requests.conventional_commits;
    chosen(rule, subjects.iter().map(String::as_str))
}

/// An opened repository with its settings.
pub(super) struct Session {
    pub(super) checkout: Checkout,
    pub(super) config: Config,
    /// Whether the repository has a configuration of its own.
    pub(super) configured: bool,
    pub(super) renderer: Option<Renderer>,
}

impl Session {
    pub(super) fn open(
        repo: &Path,
        config: Option<&Path>,
        renderer: Option<&Path>,
    ) -> Result<Self, Failure> {
        Self::of(Checkout::open(repo)?, config, renderer)
    }

    /// Of files that were read already.
    pub(super) fn of(
        checkout: Checkout,
        config: Option<&Path>,
        renderer: Option<&Path>,
    ) -> Result<Self, Failure> {
        let loaded = Loaded::read(config, &checkout.files, &Overrides::default())?;
        Self::with(checkout, loaded, renderer)
    }

    /// With settings that were read already.
    pub(super) fn with(
        checkout: Checkout,
        loaded: Loaded,
        renderer: Option<&Path>,
    ) -> Result<Self, Failure> {
        let (config, configured) = (loaded.config, loaded.file.is_some());
        let renderer = Renderer::find(renderer.or(config.renderer.as_deref()))?;
        Ok(Self {
            checkout,
            config,
            configured,
            renderer,
        })
    }

    /// How subjects and titles are written here.
    pub(super) fn style(&self) -> Style {
        style(&self.checkout, &self.config)
    }

    /// One branch for each fix; returns their names.
    pub(super) fn commit(&self, results: &[Ended]) -> Result<Vec<String>, Failure> {
        let mut branches = Vec::new();
        for ended in results {
            let Ending::PullRequest(pull) = &ended.ending else {
                continue;
            };
            let message = match self.config.pull_requests.signoff {
                true => signed_off_locally(&pull.commit),
                false => pull.commit.clone(),
            };
            let changed = &pull.mended.changed;
            self.checkout
                .commit(&pull.branch, changed, &message, &ended.fingerprint)?;
            branches.push(pull.branch.clone());
        }
        Ok(branches)
    }
}
