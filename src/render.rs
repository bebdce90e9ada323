//! Runs the user's own kustomize (or `kubectl kustomize`) in a locked-down child process.

/// A renderer that was found and asked for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renderer {
    /// Program and leading arguments.
    pub command: Vec<String>,
    /// Its version, for the proof.
    pub version: String,
}
