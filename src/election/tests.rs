#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Moment {
    skewed(seconds, 0)
}

fn skewed(seconds: u64, skew: i64) -> Moment {
    let wall = 1_767_355_200 + i64::try_from(seconds).unwrap() + skew;
    Moment {
        steady: Duration::from_secs(seconds),
        wall: Timestamp::from_second(wall).unwrap(),
    }
}

/// The Lease as the API server keeps it: a write counts only on the version that was read.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    fn write(&mut self, lease: &Lease) -> bool {
        let current = self.lease.as_ref().map_or("", |l| l.version.as_str());
        if lease.version != current {
            return false;
        }
        self.version += 1;
        self.lease = Some(Lease {
            version: self.version.to_string(),
            ..lease.clone()
        });
        true
    }

    /// One attempt that meets no trouble. Whether it wrote.
    fn serve(&mut self, one: &mut Candidate, now: Moment) -> bool {
        let Step::Write(lease) = one.step(self.lease.as_ref(), false, now) else {
            return false;
        };
        let arrived = self.write(&lease);
        if arrived {
            one.wrote(&lease, now);
        }
        arrived
    }
}

fn candidate(name: &str) -> Candidate {
    Candidate::new(name, Timing::default())
}

fn leads(one: &Candidate, now: Moment) -> bool {
    one.leads_for(now.steady).is_some()
}

#[test]
fn the_first_one_leads_and_the_second_waits() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    assert!(server.serve(&mut a, at(0)));
    assert!(!server.serve(&mut b, at(1)));
    assert!(leads(&a, at(9)) && !leads(&b, at(9)));
    let lease = server.lease.unwrap();
    assert_eq!((lease.holder.as_str(), lease.transitions), ("a", 0));
}

#[test]
fn of_two_that_create_it_at_once_one_leads() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    let [one, two] = [a.step(None, false, at(0)), b.step(None, false, at(0))];
    let (Step::Write(one), Step::Write(two)) = (one, two) else {
        panic!("both want it")
    };
    assert!(server.write(&one) && !server.write(&two));
    a.wrote(&one, at(0));
    assert!(leads(&a, at(1)) && !leads(&b, at(1)));
}

#[test]
fn a_leader_that_cannot_renew_stops_before_anybody_takes_over() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    server.serve(&mut a, at(0));
    server.serve(&mut b, at(0));
    assert!(!leads(&a, at(10)));
    assert!(!server.serve(&mut b, at(15)), "15 seconds are not over");
    assert!(server.serve(&mut b, at(16)));
    assert_eq!(server.lease.as_ref().unwrap().transitions, 1);
    assert!(!server.serve(&mut a, at(17)), "what was lost stays lost");
    assert!(!leads(&a, at(17)) && leads(&b, at(17)));
}

#[test]
fn clocks_on_the_wall_decide_nothing() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    // a's clock is a day late: its renewals look long over to b
    for second in 0..40 {
        assert!(server.serve(&mut a, skewed(second, -86_400)));
        assert!(!server.serve(&mut b, skewed(second, 86_400)));
    }
    // and a dead leader whose clock was a day early does not lead for a day
    let mut server = Server::default();
    let mut dead = candidate("dead");
    server.serve(&mut dead, skewed(0, 86_400));
    assert!(!server.serve(&mut b, at(40)));
    assert!(server.serve(&mut b, at(56)));
}

#[test]
fn one_that_comes_late_waits_for_the_whole_time() {
    let (mut a, mut late, mut server) = (candidate("a"), candidate("late"), Server::default());
    server.serve(&mut a, at(0));
    assert!(
        !server.serve(&mut late, at(1_000)),
        "seen for the first time"
    );
    assert!(!server.serve(&mut late, at(1_015)));
    assert!(server.serve(&mut late, at(1_016)));
}

#[test]
fn rings_reach_the_leader_and_do_not_keep_a_dead_one_alive() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    server.serve(&mut a, at(0));
    let ring = |server: &mut Server, b: &mut Candidate, now| {
        let Step::Write(lease) = b.step(server.lease.as_ref(), true, now) else {
            panic!("it rings")
        };
        let rang = lease.holder == "a" && server.write(&lease);
        rang.then(|| b.wrote(&lease, now))
    };
    assert_eq!(ring(&mut server, &mut b, at(1)), Some(false));
    let renew = |server: &mut Server, a: &mut Candidate, now| {
        let Step::Write(lease) = a.step(server.lease.as_ref(), false, now) else {
            panic!("it renews")
        };
        assert!(server.write(&lease));
        a.wrote(&lease, now)
    };
    assert!(renew(&mut server, &mut a, at(2)), "heard");
    assert!(!renew(&mut server, &mut a, at(4)), "once");
    // a dies; b rings every second
    let taken = (5..60).find(|s| ring(&mut server, &mut b, at(*s)).is_none());
    assert_eq!(taken, Some(21), "16 seconds after b saw the last renewal");
}

#[test]
fn what_was_given_back_is_taken_at_once() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    server.serve(&mut a, at(0));
    server.serve(&mut b, at(1));
    let found = server.lease.clone().unwrap();
    assert_eq!(b.resigned(&found, at(2)), None, "it is not b's");
    let free = a.resigned(&found, at(2)).unwrap();
    assert!(server.write(&free) && !leads(&a, at(2)));
    assert!(server.serve(&mut b, at(3)) && leads(&b, at(3)));
}

#[test]
fn a_renewal_whose_answer_was_lost_is_no_loss() {
    let (mut a, mut server) = (candidate("a"), Server::default());
    let Step::Write(lease) = a.step(None, false, at(0)) else {
        panic!("it wants it")
    };
    server.write(&lease); // a never hears of it
    assert!(!leads(&a, at(1)));
    assert!(server.serve(&mut a, at(2)) && leads(&a, at(2)));
}

#[test]
fn a_strange_lease_does_not_hold_everybody_up() {
    let mut b = candidate("b");
    let strange = Lease {
        holder: "x".to_owned(),
        seconds: u32::MAX,
        transitions: i32::MAX,
        version: "1".to_owned(),
        ..Lease::default()
    };
    assert_eq!(b.step(Some(&strange), false, at(0)), Step::Wait);
    let Step::Write(lease) = b.step(Some(&strange), false, at(301)) else {
        panic!("five minutes are enough")
    };
    assert_eq!((lease.transitions, lease.seconds), (i32::MAX, 15));
}

#[derive(Debug, Clone)]
enum Happens {
    /// One of them tries; its write takes so many seconds to arrive, and its answer may be lost.
    Tries {
        who: usize,
        takes: u64,
        answered: bool,
    },
    /// Time goes by.
    Pause(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (0..3_usize, 0..6_u64, any::<bool>())
            .prop_map(|(who, takes, answered)| Happens::Tries { who, takes, answered }),
        2 => (0..8_u64).prop_map(Happens::Pause),
    ]
}

proptest! {
    /// Whatever is slow, lost, or wrong by the clock: never do two lead at a time.
    #[test]
    fn never_do_two_lead(
        steps in proptest::collection::vec(happens(), 0..120),
        skews in proptest::array::uniform3(-100_000_i64..100_000),
    ) {
        let mut all = ["a", "b", "c"].map(candidate);
        let (mut server, mut now) = (Server::default(), 0);
        for step in steps {
            match step {
                Happens::Pause(seconds) => now += seconds,
                Happens::Tries { who, takes, answered } => {
                    let sent = skewed(now, skews[who]);
                    let found = server.lease.clone();
                    let step = all[who].step(found.as_ref(), who == 2, sent);
                    now += takes;
                    if let Step::Write(lease) = step && server.write(&lease) && answered {
                        all[who].wrote(&lease, sent);
                    }
                }
            }
            let leading = all.iter().filter(|one| leads(one, at(now))).count();
            prop_assert!(leading <= 1);
        }
    }
}
