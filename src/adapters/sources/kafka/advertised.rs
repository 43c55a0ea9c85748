//! The partitions that this instance owns, as other instances learn of them.

use crate::collections::smallest::Smallest;
use crate::model::registration::TopicShare;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// How long credentials of a partition are collected before they are shown. Unit: milliseconds.
const SHOWN_EVERY_MS: i64 = 30_000;

/// How long they are shown if nothing comes after them. Unit: milliseconds. Chosen: once more than that.
const SHOWN_MS: i64 = 90_000;

/// The topics that are read, and which of their partitions this instance owns.
#[derive(Debug, Default)]
pub struct Advertised(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, TopicShare>,
    /// When the hashes of each partition were collected.
    shown: BTreeMap<(String, u32), EventTime>,
}

impl Advertised {
    /// How it is at `now`.
    pub fn topics(&self, now: EventTime) -> BTreeMap<String, TopicShare> {
        let state = self.0.lock();
        let mut topics = state.topics.clone();
        for (topic, share) in &mut topics {
            for (number, hashes) in &mut share.owned {
                let shown = state.shown.get(&(topic.clone(), *number));
                if shown.is_none_or(|at| !(0..SHOWN_MS).contains(&now.ms_since(*at))) {
                    hashes.clear();
                }
            }
        }
        topics
    }

    /// Owns these from now on, and no others; `counts`: how many partitions each topic has.
    pub(super) fn set<'a>(
        &self,
        owned: impl Iterator<Item = &'a (String, i32)>,
        counts: impl Iterator<Item = (&'a str, usize)>,
    ) {
        let mut state = self.0.lock();
        let mut before = std::mem::take(&mut state.topics);
        for (topic, count) in counts {
            let partitions = u32::try_from(count).unwrap_or(u32::MAX);
            let share = TopicShare { partitions, ..TopicShare::default() };
            state.topics.insert(topic.to_owned(), share);
        }
        for (topic, number) in owned {
            let Ok(number) = u32::try_from(*number) else { continue };
            let seen = before.get_mut(topic).and_then(|share| share.owned.remove(&number));
            let share = state.topics.entry(topic.clone()).or_default();
            share.owned.insert(number, seen.unwrap_or_default());
            share.partitions = share.partitions.max(number + 1);
        }
        let State { topics, shown } = &mut *state;
        shown.retain(|(topic, number), _| {
            topics.get(topic).is_some_and(|share| share.owned.contains_key(number))
        });
    }

    fn show(&self, (topic, number): &(String, i32), seen: Smallest, now: EventTime) {
        let Ok(number) = u32::try_from(*number) else { return };
        let mut state = self.0.lock();
        let owned = state.topics.get_mut(topic).and_then(|share| share.owned.get_mut(&number));
        if let Some(hashes) = owned {
            *hashes = seen.iter().collect();
            state.shown.insert((topic.clone(), number), now);
        }
    }
}

/// The credentials of one partition, collected for a while.
#[derive(Debug, Default)]
pub(super) struct Collected {
    seen: Smallest,
    since: Option<EventTime>,
}

impl Collected {
    /// Takes in the hashes of credentials whose records were read at `now`.
    pub(super) fn add(
        &mut self,
        hashes: impl Iterator<Item = u64>,
        (place, now): (&(String, i32), EventTime),
        advertised: &Advertised,
    ) {
        let since = *self.since.get_or_insert(now);
        if !(0..SHOWN_EVERY_MS).contains(&now.ms_since(since)) {
            advertised.show(place, std::mem::take(&mut self.seen), now);
            self.since = Some(now);
        }
        hashes.for_each(|hash| self.seen.insert(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::{Advertised, Collected, SHOWN_EVERY_MS, SHOWN_MS};
    use crate::model::time::EventTime;

    fn at(ms: i64) -> EventTime {
        EventTime::from_ms(ms)
    }

    #[test]
    fn hashes_of_a_partition_are_shown_for_a_while_and_go_with_it() {
        let (advertised, mut collected) = (Advertised::default(), Collected::default());
        let place = ("auth".to_owned(), 1);
        advertised.set([place.clone()].iter(), [("auth", 4)].into_iter());
        let seen = |now| advertised.topics(at(now)).remove("auth").expect("known").owned;
        collected.add([7].into_iter(), (&place, at(0)), &advertised);
        assert_eq!(seen(0), [(1, vec![])].into(), "they are collected first");
        collected.add([8].into_iter(), (&place, at(SHOWN_EVERY_MS)), &advertised);
        assert_eq!(seen(SHOWN_EVERY_MS), [(1, vec![7])].into());
        assert_eq!(seen(SHOWN_EVERY_MS + SHOWN_MS), [(1, vec![])].into(), "nothing came since");
        advertised.set([].iter(), [("auth", 4)].into_iter());
        assert_eq!(seen(SHOWN_EVERY_MS), [].into());
        advertised.set([place.clone()].iter(), [("auth", 4)].into_iter());
        assert_eq!(seen(SHOWN_EVERY_MS), [(1, vec![])].into(), "as another owner would begin");
    }

    #[test]
    fn a_topic_has_as_many_partitions_as_it_is_said_to_have_or_as_are_owned() {
        let advertised = Advertised::default();
        advertised.set([("new".to_owned(), 5)].iter(), [("auth", 4)].into_iter());
        let counts = advertised.topics(at(0)).into_iter().map(|(name, one)| (name, one.partitions));
        let counts: Vec<_> = counts.collect();
        assert_eq!(counts, [("auth".to_owned(), 4), ("new".to_owned(), 6)]);
    }
}
