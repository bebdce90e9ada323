//! The status of one container, read.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::{Container, Object, at};

pub(super) fn time(value: Option<&Value>) -> Option<Timestamp> {
    value?.as_str()?.parse().ok()
}

/// Seconds from the first to the second moment; none if the second is earlier.
pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.as_second().saturating_sub(from.as_second())).ok()
}

/// The status of one container.
pub(super) struct Status<'o> {
    value: &'o Value,
}

/// How a run ended.
pub(super) struct Ended<'o> {
    pub(super) code: i64,
    pub(super) reason: &'o str,
    pub(super) message: &'o str,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
}

impl Ended<'_> {
    pub(super) fn seconds(&self) -> Option<u64> {
        let started = self.started.filter(|t| t.as_second() > 0)?;
        seconds_between(started, self.finished?)
    }
}

impl<'o> Status<'o> {
    pub(super) fn of(pod: &'o Object, container: &Container<'_>) -> Option<Self> {
        let field = if container.init {
            "status.initContainerStatuses"
        } else {
            "status.containerStatuses"
        };
        let mut statuses = pod.list(field).iter();
        statuses
            .find(|s| s.get("name").and_then(Value::as_str) == Some(container.name))
            .map(|value| Self { value })
    }

    pub(super) fn waiting(&self) -> Option<(&'o str, &'o str)> {
        let waiting = at(self.value, "state.waiting")?;
        let text = |key: &str| waiting.get(key).and_then(Value::as_str).unwrap_or_default();
        Some((text("reason"), text("message")))
    }

    pub(super) fn ended(&self, dotted: &str) -> Option<Ended<'o>> {
        let value = at(self.value, dotted)?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        Some(Ended {
            code: value.get("exitCode").and_then(Value::as_i64)?,
            reason: text("reason"),
            message: text("message"),
            started: time(value.get("startedAt")),
            finished: time(value.get("finishedAt")),
        })
    }

    pub(super) fn now_ended(&self) -> Option<Ended<'o>> {
        self.ended("state.terminated")
    }

    pub(super) fn last_end(&self) -> Option<Ended<'o>> {
        self.now_ended()
            .or_else(|| self.ended("lastState.terminated"))
    }

    pub(super) fn running_since(&self) -> Option<Timestamp> {
        time(at(self.value, "state.running.startedAt"))
    }

    /// Neither running nor ended well.
    pub(super) fn is_down(&self) -> bool {
        self.waiting().is_some() || self.now_ended().is_some_and(|e| e.code != 0)
    }

    pub(super) fn ready(&self) -> bool {
        self.flag("ready")
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.value
            .get(key)
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    pub(super) fn restarts(&self) -> i64 {
        self.value
            .get("restartCount")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }
}
