//! What looks ill now, and which namespaces are due for a look.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Sign, Watched};

/// Names a watched object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Its kind.
    pub kind: Watched,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// How long a namespace that never comes to rest is waited for at most, in failure ages.
const PATIENCE: i32 = 5;

/// Everything that looks ill. Nothing is kept of what is well.
#[derive(Debug)]
pub struct Board {
    /// How long something must look ill before it is looked at.
    age: SignedDuration,
    ill: BTreeMap<Id, (Sign, Timestamp)>,
    /// Of kinds that are being listed: what was ill before, and was not seen again yet.
    unseen: BTreeMap<(Watched, Box<str>), BTreeSet<Id>>,
    /// Namespaces that changed: the first change, and when they are due.
    due: BTreeMap<Box<str>, (Timestamp, Timestamp)>,
    synced: BTreeSet<(Watched, Box<str>)>,
}

impl Board {
    /// Nothing is ill; a change is due once it is this old.
    pub fn new(age: SignedDuration) -> Self {
        Self {
            age,
            ill: BTreeMap::new(),
            unseen: BTreeMap::new(),
            due: BTreeMap::new(),
            synced: BTreeSet::new(),
        }
    }

    /// A list of a kind begins, in one namespace or (empty) in all.
    pub fn begin(&mut self, kind: Watched, scope: &str) {
        let of = |id: &&Id| id.kind == kind && (scope.is_empty() || *id.namespace == *scope);
        let before = self.ill.keys().filter(of).cloned().collect();
        self.unseen.insert((kind, scope.into()), before);
    }

    /// The list is complete: what was not in it is gone.
    pub fn finish(&mut self, kind: Watched, scope: &str, now: Timestamp) {
        let key = (kind, scope.into());
        for id in self.unseen.remove(&key).unwrap_or_default() {
            self.gone(&id, now);
        }
        self.synced.insert(key);
    }

    /// An object as it is now.
    pub fn seen(&mut self, id: Id, sign: Option<Sign>, now: Timestamp) {
        for unseen in self.unseen.values_mut() {
            unseen.remove(&id);
        }
        let Some(sign) = sign else {
            return self.gone(&id, now);
        };
        let known = self.ill.get_mut(&id);
        match known {
            Some((old, _)) if *old == sign => return,
            // another sign of the same illness: it is not younger because of that
            Some((old, _)) => *old = sign,
            None => {
                self.ill.insert(id.clone(), (sign, now));
            }
        }
        self.changed(&id.namespace, now);
    }

    /// An object that is no more, or is well.
    pub fn gone(&mut self, id: &Id, now: Timestamp) {
        if self.ill.remove(id).is_some() {
            self.changed(&id.namespace, now);
        }
    }

    /// Due once it is at rest for the failure age; what never rests is not waited for forever.
    fn changed(&mut self, namespace: &str, now: Timestamp) {
        let entry = self.due.entry(namespace.into());
        let (first, due) = entry.or_insert((now, now));
        *due = later(now, self.age).min(later(*first, self.age * PATIENCE));
    }

    /// The namespaces that are to be looked at now.
    pub fn take_due(&mut self, now: Timestamp) -> BTreeSet<String> {
        let due: BTreeSet<String> = self
            .due
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(namespace, _)| namespace.to_string())
            .collect();
        for namespace in &due {
            self.due.remove(namespace.as_str());
        }
        self.again_for_young(&due, now);
        due
    }

    /// What is too young to count at this look is looked at again.
    fn again_for_young(&mut self, looked: &BTreeSet<String>, now: Timestamp) {
        let young = |(id, (_, since)): (&Id, &(Sign, Timestamp))| {
            let at = later(*since, self.age);
            (at > now && looked.contains(&*id.namespace)).then(|| (id.namespace.clone(), at))
        };
        for (namespace, at) in self.ill.iter().filter_map(young).collect::<Vec<_>>() {
            let (_, due) = self.due.entry(namespace).or_insert((now, at));
            *due = at.max(*due);
        }
    }

    /// When the next namespace is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.due.values().map(|(_, at)| *at).min()
    }

    /// Namespaces in which something looks ill.
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.ill.keys().map(|id| id.namespace.to_string()).collect()
    }

    /// Whether this object looks ill.
    pub fn is_ill(&self, kind: Watched, namespace: &str, name: &str) -> bool {
        let id = Id {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        };
        self.ill.contains_key(&id)
    }

    /// How much looks ill, by sign.
    pub fn signs(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for (sign, _) in self.ill.values() {
            *counts.entry(sign.as_str()).or_default() += 1;
        }
        counts
    }

    /// Whether the first list of this kind is complete.
    pub fn is_synced(&self, kind: Watched, scope: &str) -> bool {
        self.synced.contains(&(kind, scope.into()))
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::watch::sign::{Container, Sighting, sign};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn id(namespace: &str, name: &str) -> Id {
        Id {
            kind: Watched::Pod,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn ill(reason: &str) -> Option<Sign> {
        let seen = Sighting {
            containers: vec![Container {
                waiting: Some(reason.to_owned()),
                ..Container::default()
            }],
            ..Sighting::default()
        };
        sign(Watched::Pod, &seen)
    }

    fn board() -> Board {
        Board::new(SignedDuration::from_secs(60))
    }

    fn names(set: &BTreeSet<String>) -> Vec<&str> {
        set.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_namespace_is_due_once_its_trouble_is_old_enough_and_only_once() {
        let mut board = board();
        board.seen(id("shop", "a"), ill("CrashLoopBackOff"), at(0));
        board.seen(id("other", "b"), None, at(0));
        assert_eq!(board.next(), Some(at(60)));
        assert!(board.take_due(at(59)).is_empty());
        assert_eq!(names(&board.take_due(at(60))), ["shop"]);
        assert!(board.take_due(at(1_000)).is_empty());
        assert_eq!(board.next(), None);
    }

    #[test]
    fn the_same_sign_again_changes_nothing() {
        let mut board = board();
        board.seen(id("shop", "a"), ill("CrashLoopBackOff"), at(0));
        board.seen(id("shop", "a"), ill("CrashLoopBackOff"), at(59));
        assert_eq!(names(&board.take_due(at(60))), ["shop"]);
    }

    #[test]
    fn getting_well_is_a_change_too() {
        let mut board = board();
        board.seen(id("shop", "a"), ill("CrashLoopBackOff"), at(0));
        board.take_due(at(60));
        board.seen(id("shop", "a"), None, at(100));
        assert_eq!(names(&board.take_due(at(160))), ["shop"]);
        assert!(board.namespaces().is_empty());
    }

    #[test]
    fn a_namespace_that_never_rests_is_looked_at_all_the_same() {
        let mut board = board();
        let mut looks = 0;
        for second in 0..1_000 {
            let reason = if second % 2 == 0 {
                "ErrImagePull"
            } else {
                "ImagePullBackOff"
            };
            board.seen(id("shop", "a"), ill(reason), at(second));
            looks += board.take_due(at(second)).len();
        }
        assert_eq!(looks, 3);
    }

    #[test]
    fn what_is_too_young_at_a_look_is_looked_at_again() {
        let mut board = board();
        // the namespace does not rest, so the look comes while the second one is young
        for second in 0..=290 {
            let reason = if second % 2 == 0 {
                "ErrImagePull"
            } else {
                "ImagePullBackOff"
            };
            board.seen(id("shop", "a"), ill(reason), at(second));
        }
        board.seen(id("shop", "young"), ill("CrashLoopBackOff"), at(299));
        assert_eq!(names(&board.take_due(at(300))), ["shop"]);
        assert_eq!(names(&board.take_due(at(359))), ["shop"]);
    }

    #[test]
    fn a_new_list_replaces_what_was_known_of_its_kind_and_scope() {
        let mut board = board();
        board.seen(id("shop", "a"), ill("CrashLoopBackOff"), at(0));
        board.seen(id("shop", "b"), ill("CrashLoopBackOff"), at(0));
        board.seen(id("else", "c"), ill("CrashLoopBackOff"), at(0));
        board.take_due(at(60));
        board.begin(Watched::Pod, "shop");
        board.seen(id("shop", "a"), ill("CrashLoopBackOff"), at(70));
        board.finish(Watched::Pod, "shop", at(71));
        assert!(board.is_ill(Watched::Pod, "shop", "a"));
        assert!(!board.is_ill(Watched::Pod, "shop", "b"));
        assert!(board.is_ill(Watched::Pod, "else", "c"));
        assert_eq!(names(&board.take_due(at(200))), ["shop"]);
    }
}
