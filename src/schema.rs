//! Kubernetes schemas. (Placeholder of the interface until the module lands on main.)
use crate::object::Object;
/// One issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Text.
    pub text: String,
}
impl std::fmt::Display for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
/// Issues of an object.
pub fn check(_object: &Object) -> Vec<Issue> {
    Vec::new()
}
/// The replacement of a removed API version.
pub fn deprecated(_api_version: &str, _kind: &str) -> Option<&'static str> {
    None
}

/// Version of the embedded schema.
pub const VERSION: &str = "1.37";
/// Issues that a change brings in.
pub fn validate_change(_before: &Object, _after: &Object) -> Result<(), Vec<Issue>> {
    Ok(())
}
