//! What goes wrong, by plan.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::wire::Reply;

/// Before or after a request takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Another answer; after the effect where `Moment::After` is given.
    Answer(Moment, Reply),
    /// The connection is cut.
    Cut(Moment),
    /// It takes its time (tokio's clock).
    Delay(Duration),
    /// It arrives twice; the second answer is the one that is seen.
    Twice,
    /// It waits before it takes effect until the test opens the gate.
    Hold(Arc<Gate>),
}

/// Where a request waits for the test.
#[derive(Debug, Default)]
pub struct Gate {
    /// Told when the request arrives.
    pub reached: Notify,
    /// Lets it go on.
    pub open: Notify,
}

impl Fault {
    /// An error with a status, before any effect.
    pub fn status(status: u16, message: &str) -> Self {
        Self::Answer(Moment::Before, Reply::error(status, message))
    }

    /// The primary limit.
    pub fn primary_limit(reset: jiff::Timestamp) -> Self {
        let message = "API rate limit exceeded for installation ID 100.";
        let reply = Reply::error(403, message)
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", &reset.as_second().to_string());
        Self::Answer(Moment::Before, reply)
    }

    /// The secondary limit, as 403 or 429, with or without `Retry-After`.
    pub fn secondary_limit(status: u16, retry_after: Option<u64>) -> Self {
        let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
        let mut reply = Reply::error(status, message);
        if let Some(seconds) = retry_after {
            reply = reply.header("retry-after", &seconds.to_string());
        }
        Self::Answer(Moment::Before, reply)
    }

    /// GitHub did it, but says 502.
    pub fn done_but_502() -> Self {
        Self::Answer(Moment::After, Reply::error(502, "Server Error"))
    }
}

/// Which requests it happens to.
#[derive(Debug, Clone)]
pub struct On {
    method: Option<String>,
    template: Option<String>,
    first: usize,
    times: usize,
}

impl On {
    /// Every request.
    pub fn all() -> Self {
        Self {
            method: None,
            template: None,
            first: 1,
            times: usize::MAX,
        }
    }

    /// Every request of an operation.
    pub fn route(method: &str, template: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            template: Some(template.to_owned()),
            ..Self::all()
        }
    }

    pub fn method(method: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            ..Self::all()
        }
    }

    /// Only the `n`th of them, from 1, counted from now.
    pub fn nth(self, n: usize) -> Self {
        Self {
            first: n,
            times: 1,
            ..self
        }
    }

    /// Only once.
    pub fn once(self) -> Self {
        Self { times: 1, ..self }
    }

    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn fits(&self, method: &str, route: &str) -> bool {
        self.method.as_deref().is_none_or(|m| m == method)
            && self.template.as_deref().is_none_or(|t| t == route)
    }
}

struct Rule {
    on: On,
    fault: Fault,
    seen: usize,
    fired: usize,
}

struct Kill {
    on: On,
    moment: Moment,
    seen: usize,
    told: Arc<Notify>,
}

/// All plans.
#[derive(Default)]
pub struct Faults {
    rules: Vec<Rule>,
    kill: Option<Kill>,
    /// The process was killed: nothing of it is heard any more.
    dead: bool,
}

/// What the plans say about one request.
#[derive(Default)]
pub struct Verdict {
    pub fault: Option<Fault>,
    /// The process dies here.
    pub kill: Option<(Moment, Arc<Notify>)>,
    pub dead: bool,
}

impl Faults {
    pub fn plan(&mut self, on: On, fault: Fault) {
        self.rules.push(Rule {
            on,
            fault,
            seen: 0,
            fired: 0,
        });
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    pub fn kill_at(&mut self, at: usize, moment: Moment) -> Arc<Notify> {
        self.kill_on(On::all().nth(at), moment)
    }

    /// At the first request that fits.
    pub fn kill_on(&mut self, on: On, moment: Moment) -> Arc<Notify> {
        let told = Arc::new(Notify::new());
        self.kill = Some(Kill {
            on,
            moment,
            seen: 0,
            told: Arc::clone(&told),
        });
        told
    }

    pub fn revive(&mut self) {
        self.kill = None;
        self.dead = false;
    }

    /// Asked once for each request, in order.
    pub fn judge(&mut self, method: &str, route: &str) -> Verdict {
        if self.dead {
            return Verdict {
                dead: true,
                ..Verdict::default()
            };
        }
        let mut verdict = Verdict::default();
        for rule in self.rules.iter_mut().filter(|r| r.on.fits(method, route)) {
            rule.seen += 1;
            let due = rule.seen >= rule.on.first && rule.fired < rule.on.times;
            // one thing goes wrong at a time: the other plans wait for the next request
            if due && verdict.fault.is_none() {
                rule.fired += 1;
                verdict.fault = Some(rule.fault.clone());
            }
        }
        if let Some(kill) = self.kill.as_mut().filter(|k| k.on.fits(method, route)) {
            kill.seen += 1;
            if kill.seen == kill.on.first {
                self.dead = true;
                verdict.kill = Some((kill.moment, Arc::clone(&kill.told)));
            }
        }
        verdict
    }
}
