//! What `fix`, `locate` and `demo` share: repository, configuration and renderer, opened once.

use std::path::Path;

use crate::commands::Failure;
use crate::config::{Config, Loaded, Overrides};
use crate::render::Renderer;
use crate::repo::Checkout;

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
        let (config, configured) = (loaded.config, loaded.file.is_some());
        let renderer = Renderer::find(renderer.or(config.renderer.as_deref()))?;
        Ok(Self {
            checkout,
            config,
            configured,
            renderer,
        })
    }
}
