//! Every request against GitHub's own description.

use super::wire::Call;

/// What a request does that the description does not allow.
pub fn check(_route: &str, _call: &Call) -> Option<String> {
    None
}
