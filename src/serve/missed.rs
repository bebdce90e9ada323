//! Which deliveries are asked for again. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::seen::Seen;
use crate::github::Delivery;

/// The most deliveries that are asked for again at a time; the sweep looks at everything anyway.
const MOST: usize = 50;

/// Deliveries that did not arrive, in no attempt, and were not asked for before; the oldest first.
pub fn missed(all: &[Delivery], asked: &mut Seen, now: Timestamp) -> Vec<u64> {
    let arrived = all.iter().filter(|d| d.arrived());
    let arrived: BTreeSet<&str> = arrived.map(|d| d.guid.as_str()).collect();
    let mut lost: Vec<&Delivery> = all
        .iter()
        .filter(|d| !d.repeated && !arrived.contains(d.guid.as_str()))
        .collect();
    lost.sort_by_key(|d| d.at);
    lost.retain(|d| !asked.contains(&d.guid, now));
    lost.truncate(MOST);
    for delivery in &lost {
        asked.insert(&delivery.guid, now);
    }
    lost.into_iter().map(|d| d.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: u64, guid: &str, status: u64) -> Delivery {
        Delivery {
            id,
            guid: guid.to_owned(),
            at: Timestamp::UNIX_EPOCH
                - jiff::SignedDuration::from_secs(i64::try_from(id).unwrap_or(0)),
            repeated: false,
            status,
            event: "push".to_owned(),
            action: None,
            installation: None,
            repository: None,
        }
    }

    #[test]
    fn what_never_arrived_is_asked_for_once() {
        let again = Delivery {
            repeated: true,
            ..delivery(1, "b", 202)
        };
        let all = [
            again,
            delivery(2, "a", 503),
            delivery(3, "b", 0),
            delivery(4, "c", 202),
            delivery(5, "d", 0),
        ];
        let mut asked = Seen::new(100);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(
            missed(&all, &mut asked, now),
            [5, 2],
            "oldest first; b came later"
        );
        assert_eq!(missed(&all, &mut asked, now), Vec::<u64>::new());
    }

    #[test]
    fn an_outage_does_not_end_in_a_flood_of_our_own() {
        let all: Vec<Delivery> = (0..500).map(|n| delivery(n, &n.to_string(), 0)).collect();
        let mut asked = Seen::new(1_000);
        assert_eq!(missed(&all, &mut asked, Timestamp::UNIX_EPOCH).len(), MOST);
    }
}
