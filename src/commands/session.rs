//! What `fix`, `locate` and `demo` share: repository, configuration and renderer, opened once.

use std::path::Path;

use crate::commands::Failure;
use crate::config::Config;
use crate::render::Renderer;
use crate::repo::Checkout;

/// An opened repository with its settings.
pub(super) struct Session {
    pub(super) checkout: Checkout,
    pub(super) config: Config,
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
        let config = Config::load(config, &checkout.files)?;
        let renderer = Renderer::find(renderer.or(config.renderer.as_deref()))?;
        Ok(Self {
            checkout,
            config,
            renderer,
        })
    }
}
