//! What was asked.

/// One request.
#[derive(Debug, Clone)]
pub struct Entry {
    pub method: String,
    /// The template of the operation; the plain path where there is none.
    pub route: String,
    /// The path that was asked for, with its query.
    pub path: String,
    pub body: serde_json::Value,
    /// What was answered; `None` when the connection was cut.
    pub status: Option<u16>,
    /// How often it took effect: 0 when it was refused, 2 when it was delivered twice.
    pub effects: usize,
    /// Whether it could change anything.
    pub write: bool,
    pub actor: u64,
}

impl Entry {
    pub fn changed(&self) -> bool {
        self.write && self.effects > 0
    }
}

#[derive(Debug, Default)]
pub struct Journal {
    pub entries: Vec<Entry>,
}
