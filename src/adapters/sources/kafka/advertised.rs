//! The partitions that this instance owns, as other instances learn of them.

use crate::collections::smallest::Smallest;
use crate::model::registration::TopicShare;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// How long credentials of a partition are collected before they are shown. Unit: milliseconds.
const SHOWN_EVERY_MS: i64 = 30_000;

/// The topics that are read, and which of their partitions this instance owns.
#[derive(Debug, Default)]
pub struct Advertised(Mutex<BTreeMap<String, TopicShare>>);

impl Advertised {
    /// How it is now.
    pub fn topics(&self) -> BTreeMap<String, TopicShare> {
        self.0.lock().clone()
    }

    /// Owns these from now on, and no others; `counts`: how many partitions each topic has.
    pub(super) fn set<'a>(
        &self,
        owned: impl Iterator<Item = &'a (String, i32)>,
        counts: &BTreeMap<String, usize>,
    ) {
        let mut topics = self.0.lock();
        let mut before = std::mem::take(&mut *topics);
        for (topic, count) in counts {
            let partitions = u32::try_from(*count).unwrap_or(u32::MAX);
            topics.insert(topic.clone(), TopicShare { partitions, ..TopicShare::default() });
        }
        for (topic, number) in owned {
            let Ok(number) = u32::try_from(*number) else { continue };
            let seen = before.get_mut(topic).and_then(|share| share.owned.remove(&number));
            let share = topics.entry(topic.clone()).or_default();
            share.owned.insert(number, seen.unwrap_or_default());
            share.partitions = share.partitions.max(number + 1);
        }
    }

    fn show(&self, (topic, number): &(String, i32), seen: Smallest) {
        let Ok(number) = u32::try_from(*number) else { return };
        let mut topics = self.0.lock();
        let owned = topics.get_mut(topic).and_then(|share| share.owned.get_mut(&number));
        if let Some(hashes) = owned {
            *hashes = seen.iter().collect();
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
            advertised.show(place, std::mem::take(&mut self.seen));
            self.since = Some(now);
        }
        hashes.for_each(|hash| self.seen.insert(hash));
    }
}
