//! Which of several replicas leads: one holder of a Lease, renewed while it lives. Pure.
//!
//! A Lease is over when nobody changed it for its duration, as seen by our own steady clock: what
//! time another one writes into it decides nothing. A leader stops by itself before that: it counts
//! from the moment at which it *sent* its last renewal that arrived, and for a shorter time.

use std::time::Duration;

use jiff::Timestamp;

#[cfg(test)]
mod tests;

/// A Lease as it is kept in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// Who leads; empty for nobody.
    pub holder: String,
    /// For how many seconds after each change.
    pub seconds: u32,
    /// When the holder took it, by the holder's clock; for people.
    pub acquired: Option<Timestamp>,
    /// When the holder renewed it last, by the holder's clock; here only a change counts.
    pub renewed: Option<Timestamp>,
    /// How often it changed hands.
    pub transitions: i32,
    /// How often others asked the holder to look at everything.
    pub rings: u64,
    /// Tells whether somebody else wrote since it was read; empty when it is not there yet.
    pub version: String,
}

impl Lease {
    /// What only its holder changes. A ring is none of it: a dead leader does not live longer
    /// because somebody rings.
    fn is_as(&self, other: &Self) -> bool {
        let signs = |l: &Self| (l.holder.clone(), l.acquired, l.renewed, l.transitions);
        signs(self) == signs(other)
    }

    /// The duration, within reason: anybody may have written it.
    fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds.min(MAX_SECONDS)))
    }
}

/// The longest duration that is believed.
const MAX_SECONDS: u32 = 300;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Of a Lease that nobody renews; at least a second.
    pub duration: Duration,
    /// From a renewal until the holder stops by itself; shorter than the duration.
    pub renew: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Now: by a clock that never jumps, for decisions, and by the one on the wall, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since any fixed point of this process.
    pub steady: Duration,
    /// The date.
    pub wall: Timestamp,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: somebody else leads.
    Wait,
    /// Write this, if nobody else wrote meanwhile.
    Write(Lease),
}

/// One replica.
#[derive(Debug, Clone)]
pub struct Candidate {
    me: String,
    timing: Timing,
    /// The Lease as it was seen first in its present state, and when that was.
    seen: Option<(Lease, Duration)>,
    /// When our last renewal that arrived was sent.
    renewed: Option<Duration>,
    /// The rings that were heard.
    heard: u64,
}

impl Candidate {
    /// A replica; `me` is its name alone.
    pub fn new(me: impl Into<String>, timing: Timing) -> Self {
        Self {
            me: me.into(),
            timing,
            seen: None,
            renewed: None,
            heard: 0,
        }
    }

    /// What to do with the Lease as it was just read. `rings`: whether the leader shall be asked to
    /// look at everything.
    pub fn step(&mut self, found: Option<&Lease>, rings: bool, now: Moment) -> Step {
        let Some(found) = found else {
            (self.seen, self.renewed) = (None, None);
            return Step::Write(self.taken(&Lease::default(), now));
        };
        if self.seen.as_ref().is_none_or(|(s, _)| !s.is_as(found)) {
            self.seen = Some((found.clone(), now.steady));
        }
        if found.holder == self.me {
            let renewed = Lease {
                renewed: Some(now.wall),
                seconds: self.seconds(),
                ..found.clone()
            };
            return Step::Write(renewed);
        }
        self.renewed = None;
        if found.holder.is_empty() || self.is_over(found, now) {
            return Step::Write(self.taken(found, now));
        }
        match rings {
            true => Step::Write(Lease {
                rings: found.rings.wrapping_add(1),
                ..found.clone()
            }),
            false => Step::Wait,
        }
    }

    /// What was written arrived; it was sent at `sent`. Whether somebody rang for us since the last
    /// time.
    pub fn wrote(&mut self, written: &Lease, sent: Moment) -> bool {
        if written.holder != self.me {
            return false;
        }
        let led = self.renewed.replace(sent.steady).is_some();
        self.seen = Some((written.clone(), sent.steady));
        let rung = led && self.heard != written.rings;
        self.heard = written.rings;
        rung
    }

    /// For how long it leads from now on, unless it renews.
    pub fn leads_for(&self, now: Duration) -> Option<Duration> {
        let end = self.renewed? + self.timing.renew;
        end.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// The Lease given back, if it is ours.
    pub fn resigned(&mut self, found: &Lease, now: Moment) -> Option<Lease> {
        self.renewed = None;
        (found.holder == self.me).then(|| Lease {
            holder: String::new(),
            seconds: 1,
            renewed: Some(now.wall),
            ..found.clone()
        })
    }

    fn taken(&self, found: &Lease, now: Moment) -> Lease {
        let is_new = found.version.is_empty();
        Lease {
            holder: self.me.clone(),
            seconds: self.seconds(),
            acquired: Some(now.wall),
            renewed: Some(now.wall),
            transitions: match is_new {
                true => 0,
                false => found.transitions.saturating_add(1),
            },
            ..found.clone()
        }
    }

    fn is_over(&self, found: &Lease, now: Moment) -> bool {
        let seen = self.seen.as_ref().map_or(now.steady, |(_, at)| *at);
        now.steady.saturating_sub(seen) > found.duration()
    }

    fn seconds(&self) -> u32 {
        let seconds = u32::try_from(self.timing.duration.as_secs()).unwrap_or(MAX_SECONDS);
        seconds.clamp(1, MAX_SECONDS)
    }
}
