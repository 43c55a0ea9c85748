//! The roster: the instances of the fleet, as each of them registers itself.

use crate::model::decision::InstanceId;
use crate::model::registration::Registration;
use std::collections::{BTreeMap, BTreeSet};

/// After this long without a report an instance is silent. Unit: milliseconds. Chosen: ten reports.
pub const SILENT_MS: u64 = 10_000;
/// How many unowned partitions of a topic are named.
const UNOWNED_SHOWN: usize = 5;

/// An instance, and when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownInstance {
    /// Its own words.
    pub registration: Registration,
    /// How long ago. Unit: milliseconds.
    pub age_ms: u64,
}

impl KnownInstance {
    /// Whether it should have registered again by now. One that leaves in order takes itself out.
    pub const fn is_silent(&self) -> bool {
        self.age_ms > SILENT_MS
    }
}

/// Partitions of a topic that no instance owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unowned {
    /// How many.
    pub number: u32,
    /// The first of them.
    pub first: Vec<u32>,
}

/// The instances that are known, this one included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    instances: Vec<KnownInstance>,
    /// Whether each instance that is present says what it owns.
    is_whole: bool,
}

impl Roster {
    /// Of these; of one that is there twice the newest. `is_whole`: no other instance is present.
    pub fn new(mut instances: Vec<KnownInstance>, is_whole: bool) -> Self {
        instances.sort_by_key(|known| (known.registration.instance, known.age_ms));
        instances.dedup_by_key(|known| known.registration.instance);
        instances.sort_by(|one, other| one.registration.name.cmp(&other.registration.name));
        Self { instances, is_whole }
    }

    /// The same, no longer known to be whole: they can't be heard.
    #[must_use]
    pub fn unheard(&self) -> Self {
        Self { is_whole: false, ..self.clone() }
    }

    /// Whether each instance that is present says what it owns.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// All, by name.
    pub fn instances(&self) -> &[KnownInstance] {
        &self.instances
    }

    /// The one of that id or name.
    pub fn find(&self, wanted: &str) -> Option<&KnownInstance> {
        let id = InstanceId::parse(wanted);
        let is_it = |known: &&KnownInstance| {
            Some(known.registration.instance) == id || known.registration.name == wanted
        };
        self.instances.iter().find(is_it)
    }

    /// The others besides `me`.
    pub fn besides(&self, me: InstanceId) -> impl Iterator<Item = &KnownInstance> {
        self.instances.iter().filter(move |known| known.registration.instance != me)
    }

    fn present(&self) -> impl Iterator<Item = &Registration> {
        self.instances.iter().filter(|one| !one.is_silent()).map(|one| &one.registration)
    }

    /// The partitions that no instance owns, by topic. A topic that no instance reads is absent; all are as long
    /// as an instance does not say what it owns.
    pub fn unowned(&self) -> BTreeMap<&str, Unowned> {
        let mut topics: BTreeMap<&str, (u32, BTreeSet<u32>)> = BTreeMap::new();
        for (topic, share) in self.present().flat_map(|one| &one.topics) {
            let (count, owned) = topics.entry(topic).or_default();
            *count = share.partitions.max(*count);
            owned.extend(share.owned.keys());
        }
        let unowned = topics.into_iter().filter(|_| self.is_whole).filter_map(|(topic, all)| {
            let (count, owned) = all;
            let below = owned.range(..count).count();
            let number = count.saturating_sub(u32::try_from(below).unwrap_or(u32::MAX));
            let first = (0..count).filter(|one| !owned.contains(one)).take(UNOWNED_SHOWN);
            (number > 0).then(|| (topic, Unowned { number, first: first.collect() }))
        });
        unowned.collect()
    }

    /// By topic two partitions in which the same credential was seen lately: its records are not keyed by
    /// credential, or not by all producers alike.
    pub fn not_keyed(&self) -> BTreeMap<&str, [u32; 2]> {
        let mut seen: BTreeMap<(&str, u64), u32> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (topic, share) in self.present().flat_map(|one| &one.topics) {
            for (number, hashes) in &share.owned {
                for hash in hashes {
                    let first = *seen.entry((topic, *hash)).or_insert(*number);
                    if first != *number {
                        found.entry(topic.as_str()).or_insert([first, *number]);
                    }
                }
            }
        }
        found
    }

    /// The names of those that differ from the instance `me` in what is to be alike, or don't where they are to, and
    /// in what.
    pub fn different(&self, me: InstanceId) -> Vec<(&str, &'static str)> {
        let mut found = Vec::new();
        let Some(me) = self.present().find(|one| one.instance == me) else { return found };
        for other in self.present().filter(|one| one.instance != me.instance) {
            let has_my_url = other.url.is_some() && other.url == me.url;
            let differences = [
                (has_my_url, "the same [fleet] url"),
                (other.name == me.name, "the same name"),
                (other.key != me.key, "another fingerprint key"),
                (other.mode != me.mode, "another mode"),
                (other.version != me.version, "another version"),
            ];
            let first = differences.into_iter().find(|(differs, _)| *differs);
            found.extend(first.map(|(_, what)| (other.name.as_str(), what)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownInstance, Roster, SILENT_MS, Unowned};
    use crate::model::decision::InstanceId;
    use crate::model::registration::{Registration, TopicShare};
    use std::collections::BTreeMap;

    fn of(number: u64, age_ms: u64, partitions: u32, owned: &[(u32, &[u64])]) -> KnownInstance {
        let owned = owned.iter().map(|(number, seen)| (*number, seen.to_vec())).collect();
        let share = TopicShare { partitions, owned };
        let registration = Registration {
            instance: InstanceId(number),
            name: format!("tripline-{number}"),
            topics: [("auth".to_owned(), share)].into(),
            ..Registration::default()
        };
        KnownInstance { registration, age_ms }
    }

    #[test]
    fn a_partition_is_unowned_if_no_instance_that_registers_owns_it() {
        let one = of(1, 0, 4, &[(0, &[]), (1, &[])]);
        let both = Roster::new(vec![one.clone(), of(2, 0, 4, &[(2, &[]), (3, &[])])], true);
        assert_eq!(both.unowned(), BTreeMap::new());
        let dead = of(2, SILENT_MS + 1, 4, &[(2, &[]), (3, &[])]);
        let unowned = Unowned { number: 2, first: vec![2, 3] };
        let missed = Roster::new(vec![one, dead], true);
        assert_eq!(missed.unowned(), [("auth", unowned)].into());
        assert_eq!(missed.unheard().unowned(), BTreeMap::new(), "who knows who else is there");
        // Who can write the Redis may claim any number.
        let huge = Roster::new(vec![of(1, 0, u32::MAX, &[(7, &[])])], true);
        assert_eq!(huge.unowned().get("auth").map(|one| one.number), Some(u32::MAX - 1));
    }

    #[test]
    fn a_credential_in_two_partitions_shows_at_one_instance_and_at_two() {
        let keyed = Roster::new(
            vec![of(1, 0, 3, &[(0, &[7, 9]), (1, &[8])]), of(2, 0, 3, &[(2, &[6])])],
            true,
        );
        assert_eq!(keyed.not_keyed(), BTreeMap::new());
        let at_one = Roster::new(vec![of(1, 0, 2, &[(0, &[7, 9]), (1, &[9])])], true);
        assert_eq!(at_one.not_keyed(), [("auth", [0, 1])].into());
        let at_two = Roster::new(vec![of(1, 0, 2, &[(0, &[7])]), of(2, 0, 2, &[(1, &[7])])], true);
        assert_eq!(at_two.not_keyed(), [("auth", [0, 1])].into());
    }

    #[test]
    fn a_partition_that_moves_is_named_by_two_instances_for_a_moment_and_keyed_all_the_same() {
        let moving = Roster::new(vec![of(1, 0, 1, &[(0, &[7])]), of(2, 0, 1, &[(0, &[7])])], true);
        assert_eq!((moving.unowned(), moving.not_keyed()), (BTreeMap::new(), BTreeMap::new()));
    }

    #[test]
    fn what_is_to_be_alike_is_named_by_the_first_difference() {
        let me = of(1, 0, 1, &[]);
        let mut other = of(2, 0, 1, &[]);
        other.registration.mode = "revoke".to_owned();
        other.registration.version = "2".to_owned();
        let roster = Roster::new(vec![me.clone(), other], true);
        assert_eq!(roster.different(InstanceId(1)), [("tripline-2", "another mode")]);
        let mut copy = of(3, 0, 1, &[]);
        copy.registration.name = me.registration.name.clone();
        let roster = Roster::new(vec![me, copy], true);
        assert_eq!(roster.different(InstanceId(1)), [("tripline-1", "the same name")]);
    }

    #[test]
    fn an_instance_is_found_by_name_and_by_id() {
        let roster = Roster::new(vec![of(1, 9, 1, &[]), of(1, 0, 1, &[]), of(2, 0, 1, &[])], true);
        assert_eq!(roster.instances().len(), 2);
        for wanted in ["tripline-2", "0000000000000002"] {
            let found = roster.find(wanted).expect("known");
            assert_eq!(found.registration.instance, InstanceId(2));
        }
        assert_eq!(roster.find("tripline-1").map(|one| one.age_ms), Some(0));
        assert_eq!(roster.besides(InstanceId(1)).count(), 1);
    }
}
