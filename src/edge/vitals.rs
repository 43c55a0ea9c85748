//! How the daemon itself does: what a person should look at, judged once for the console,
//! `tripline top`, `tripline doctor` and whoever reads `/v1/status`.
//!
//! **Does not** wake anybody: that is for alerts, which have more patience.

use crate::model::time::EventTime;
use crate::wire::status_json::{ConcernJson, Part};
use std::collections::VecDeque;

/// How long it is remembered how it was. Unit: milliseconds.
const KEPT_MS: i64 = 60_000;
/// Measurements kept at most, however fast they come.
const KEPT_MAX: usize = 120;
/// How long a store may take for what it is told. Unit: milliseconds. Chosen: several tries.
const STORE_MS: i64 = 5_000;
/// After how long without a sign of life a thread stands still. Unit: milliseconds. Chosen: they
/// give one each second.
const SILENT_MS: i64 = 30_000;
/// How long brokers may not answer: at a start nobody has asked them yet. Unit: milliseconds. Chosen.
const BROKERS_MS: i64 = 10_000;
/// How long no partition may be owned. Unit: milliseconds. Chosen: a rebalance takes less.
const UNASSIGNED_MS: i64 = 30_000;
/// Records not yet applied that are many, whatever the rate. Chosen.
const LAG_MANY: u64 = 10_000;
/// How many seconds of events not yet applied are many. Chosen.
const LAG_S_MANY: f64 = 10.0;
/// The share of memory from which on it is nearly full. Unit: percent. Chosen.
const MEMORY_PERCENT: u64 = 90;
/// How many intervals a checkpoint may be late, and how long beyond. Unit: milliseconds. Chosen.
const CHECKPOINT_INTERVALS: i64 = 3;
const CHECKPOINT_MS: i64 = 10_000;

/// An auth store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its name.
    pub name: String,
    /// Decisions that are due there.
    pub waiting: u64,
    /// Whether it answers.
    pub is_up: bool,
}

/// The Kafka intake.
#[derive(Clone, Copy, Debug)]
pub struct Kafka {
    /// Whether the brokers answer.
    pub is_up: bool,
    /// Partitions that this member owns.
    pub partitions: u64,
    /// Records not yet applied.
    pub lag: u64,
}

/// What was measured at a time. Counts are totals since the start.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// When.
    pub at: EventTime,
    /// Invariants that would have been broken.
    pub violations: u64,
    /// Whether the journal can be written.
    pub journal_is_writable: bool,
    /// When each stage last showed that its threads live.
    pub beats: Vec<(&'static str, EventTime)>,
    /// The auth stores.
    pub stores: Vec<Store>,
    /// Events that a crash would lose.
    pub not_kept: u64,
    /// Requests answered 429 as a queue was full.
    pub queue_full: u64,
    /// Events applied.
    pub events: u64,
    /// Records refused.
    pub refused: u64,
    /// The Kafka intake, where there is one.
    pub kafka: Option<Kafka>,
    /// When the partition that waits longest for a checkpoint got its last one.
    pub checkpoint: Option<EventTime>,
    /// How often each gets one. Unit: milliseconds.
    pub checkpoint_every_ms: i64,
    /// What credentials take in memory. Unit: bytes.
    pub memory_bytes: u64,
    /// What they may take. Unit: bytes.
    pub memory_bytes_max: u64,
    /// Revocations that the breaker has left.
    pub breaker_tokens: i64,
}

/// How it was of late.
#[derive(Clone, Debug, Default)]
pub struct Record {
    kept: VecDeque<Vitals>,
}

impl Record {
    /// Takes down how it is.
    pub fn note(&mut self, now: Vitals) {
        // A clock that was set back leaves nothing to compare with.
        self.kept.retain(|one| (0..KEPT_MS).contains(&now.at.ms_since(one.at)));
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(now);
    }

    /// For how long something has been so without a break, as far as it is remembered; none if it
    /// is not so. Unit: milliseconds.
    fn since_ms(&self, now: &Vitals, is_so: impl Fn(&Vitals) -> bool) -> Option<i64> {
        let before = self.kept.iter().rev().filter(|one| one.at <= now.at);
        let first = std::iter::once(now).chain(before).take_while(|one| is_so(one)).last();
        first.map(|first| now.at.ms_since(first.at))
    }

    /// By how much a total rose within the last minute, and in how many seconds; 0 of both if nothing
    /// was taken down in it.
    fn risen(&self, now: &Vitals, total: impl Fn(&Vitals) -> u64) -> (u64, f64) {
        let since = self.kept.iter().find(|one| (1..=KEPT_MS).contains(&now.at.ms_since(one.at)));
        since.map_or((0, 0.0), |since| {
            let seconds = now.at.ms_since(since.at) as f64 / 1000.0;
            (total(now).saturating_sub(total(since)), seconds)
        })
    }

    /// What a person should look at, the gravest first.
    pub fn concerns(&self, now: &Vitals) -> Vec<ConcernJson> {
        let mut concerns: Vec<ConcernJson> = of_itself(now).collect();
        concerns.extend(now.stores.iter().filter_map(|store| self.of_store(now, store)));
        concerns.extend(self.of_intake(now));
        concerns.extend(now.kafka.and_then(|kafka| self.of_kafka(now, kafka)));
        concerns.sort_by_key(|one| (!one.grave, one.part));
        concerns
    }

    fn of_store(&self, now: &Vitals, store: &Store) -> Option<ConcernJson> {
        let waits = |one: &Vitals| one.store(&store.name).is_some_and(|store| store.waiting > 0);
        let waits_ms = self.since_ms(now, waits);
        let waiting = count(store.waiting, "decision");
        let concern = if !store.is_up {
            let due = if store.waiting > 0 { format!(", {waiting} due") } else { String::new() };
            grave(Part::Store, "store-unreachable", format!("it can't be reached{due}"))
        } else if waits_ms.is_some_and(|ms| ms >= STORE_MS) {
            grave(Part::Store, "outbox-not-draining", format!("{waiting} due for seconds"))
        } else {
            return None;
        };
        Some(ConcernJson { store: Some(store.name.clone()), ..concern })
    }

    fn of_intake(&self, now: &Vitals) -> impl Iterator<Item = ConcernJson> + use<> {
        let (not_kept, _) = self.risen(now, |one| one.not_kept);
        let (full, _) = self.risen(now, |one| one.queue_full);
        let (refused, _) = self.risen(now, |one| one.refused);
        let not_kept = (not_kept > 0).then(|| {
            let found =
                format!("a crash would lose {} of the last minute", count(not_kept, "event"));
            grave(Part::EventLog, "events-not-kept", found)
        });
        let full = (full > 0).then(|| {
            let found = format!("{} of the last minute answered 429", count(full, "request"));
            grave(Part::Queue, "queue-full", found)
        });
        let refused = (refused > 0).then(|| {
            let found = format!("{refused} of the last minute could not be read");
            mild(Part::Records, "records-refused", found)
        });
        [not_kept, full, refused].into_iter().flatten()
    }

    fn of_kafka(&self, now: &Vitals, kafka: Kafka) -> Option<ConcernJson> {
        let owns_none = |one: &Vitals| one.kafka.is_some_and(|kafka| kafka.partitions == 0);
        let is_down = |one: &Vitals| one.kafka.is_some_and(|kafka| !kafka.is_up);
        let (events, seconds) = self.risen(now, |one| one.events);
        // Nothing is more than what is many by no rate, which is 0/0.
        let many = LAG_S_MANY * events as f64 / seconds;
        if self.since_ms(now, is_down).is_some_and(|ms| ms >= BROKERS_MS) {
            let found = "the brokers don't answer".to_owned();
            return Some(grave(Part::Kafka, "consumer-stalled", found));
        }
        if self.since_ms(now, owns_none).is_some_and(|ms| ms >= UNASSIGNED_MS) {
            let found = "this member owns no partition".to_owned();
            return Some(mild(Part::Kafka, "consumer-unassigned", found));
        }
        (kafka.lag > LAG_MANY && kafka.lag as f64 > many).then(|| {
            let found = format!("{} not yet applied", count(kafka.lag, "record"));
            mild(Part::Kafka, "consumer-lag-high", found)
        })
    }
}

impl Vitals {
    fn store(&self, name: &str) -> Option<&Store> {
        self.stores.iter().find(|store| store.name == name)
    }
}

/// What shows at once.
fn of_itself(now: &Vitals) -> impl Iterator<Item = ConcernJson> + use<> {
    let violations = (now.violations > 0).then(|| {
        let found =
            format!("{} broken: nothing above alert until a restart", count(now.violations, "was"));
        grave(Part::Invariants, "invariant-violation", found)
    });
    let journal = (!now.journal_is_writable).then(|| {
        let found = "it can't be written: nothing is carried out".to_owned();
        grave(Part::Journal, "journal-errors", found)
    });
    let silent = now.beats.iter().map(|(stage, at)| (stage, now.at.ms_since(*at)));
    let silent = silent.filter(|(_, ms)| *ms > SILENT_MS).max_by_key(|(_, ms)| *ms);
    let silent = silent.map(|(stage, ms)| {
        let found = format!("no sign of life of {stage} for {} s", ms / 1000);
        grave(Part::Threads, "stage-stuck", found)
    });
    let late_ms = now.checkpoint_every_ms.saturating_mul(CHECKPOINT_INTERVALS);
    let age_ms = now.checkpoint.map(|at| now.at.ms_since(at));
    let late = age_ms.filter(|age_ms| *age_ms > late_ms.saturating_add(CHECKPOINT_MS));
    let late = late.map(|age_ms| {
        let found = format!("of one partition none for {} s", age_ms / 1000);
        mild(Part::Checkpoints, "checkpoint-stale", found)
    });
    let percent = now.memory_bytes.saturating_mul(100) / now.memory_bytes_max.max(1);
    let full = (percent >= MEMORY_PERCENT).then(|| {
        let found = format!("{percent} % full: what is seldom used is forgotten first");
        mild(Part::Memory, "memory-full", found)
    });
    let empty = (now.breaker_tokens <= 0).then(|| {
        let found = "it is empty: suspends, does not revoke".to_owned();
        mild(Part::Breaker, "breaker-empty", found)
    });
    [violations, journal, silent, late, full, empty].into_iter().flatten()
}

fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn mild(part: Part, runbook: &str, found: String) -> ConcernJson {
    ConcernJson { part, store: None, grave: false, found, runbook: runbook.to_owned() }
}

fn grave(part: Part, runbook: &str, found: String) -> ConcernJson {
    ConcernJson { grave: true, ..mild(part, runbook, found) }
}

#[cfg(test)]
mod tests {
    use super::{Kafka, Record, Store, Vitals};
    use crate::model::time::EventTime;
    use crate::wire::status_json::Part;

    fn well(second: i64) -> Vitals {
        let at = EventTime::from_s(1_800_000_000 + second);
        Vitals {
            at,
            violations: 0,
            journal_is_writable: true,
            beats: vec![("control_plane", at.plus_ms(-900)), ("kafka", at)],
            stores: ["embedded", "redis.main"]
                .map(|name| Store { name: name.to_owned(), waiting: 0, is_up: true })
                .into(),
            not_kept: 7,
            queue_full: 7,
            events: 20_000 * second.unsigned_abs(),
            refused: 7,
            kafka: Some(Kafka { is_up: true, partitions: 4, lag: 150_000 }),
            checkpoint: Some(at.plus_ms(-60_000)),
            checkpoint_every_ms: 60_000,
            memory_bytes: 89,
            memory_bytes_max: 100,
            breaker_tokens: 1,
        }
    }

    /// What is found after a minute in which it was like that.
    fn found_after(minute: impl Fn(&mut Vitals, i64)) -> Vec<(Part, bool, String)> {
        let mut record = Record::default();
        let at = |second| {
            let mut vitals = well(second);
            minute(&mut vitals, second);
            vitals
        };
        (0..59).for_each(|second| record.note(at(second)));
        let found = record.concerns(&at(59));
        for one in &found {
            let page = format!("{}/docs/runbooks/{}.md", env!("CARGO_MANIFEST_DIR"), one.runbook);
            assert!(std::path::Path::new(&page).exists(), "{page}");
        }
        found.into_iter().map(|one| (one.part, one.grave, one.found)).collect()
    }

    #[track_caller]
    fn finds(part: Part, grave: bool, words: &str, change: impl Fn(&mut Vitals, i64)) {
        let found = found_after(change);
        assert_eq!(found, [(part, grave, words.to_owned())]);
    }

    #[test]
    fn who_is_well_gives_no_concern_and_each_fault_is_told_alone() {
        assert_eq!(found_after(|_, _| {}), []);
        finds(Part::Journal, true, "it can't be written: nothing is carried out", |now, _| {
            now.journal_is_writable = false;
        });
        let broken = "1 was broken: nothing above alert until a restart";
        finds(Part::Invariants, true, broken, |now, _| now.violations = 1);
        let silent = "no sign of life of kafka for 31 s";
        finds(Part::Threads, true, silent, |now, _| now.beats[1].1 = now.at.plus_ms(-31_000));
        let away = "it can't be reached, 3 decisions due";
        finds(Part::Store, true, away, |now, _| {
            now.stores[1] = Store { waiting: 3, is_up: false, ..now.stores[1].clone() };
        });
        finds(Part::EventLog, true, "a crash would lose 1 event of the last minute", |now, at| {
            now.not_kept = u64::from(at >= 20);
        });
        finds(Part::Queue, true, "59 requests of the last minute answered 429", |now, at| {
            now.queue_full = at.unsigned_abs();
        });
        finds(Part::Records, false, "59 of the last minute could not be read", |now, at| {
            now.refused = at.unsigned_abs();
        });
        let full = "90 % full: what is seldom used is forgotten first";
        finds(Part::Memory, false, full, |now, _| now.memory_bytes = 90);
        let late = "of one partition none for 191 s";
        finds(Part::Checkpoints, false, late, |now, _| {
            now.checkpoint = Some(now.at.plus_ms(-191_000));
        });
        let empty = "it is empty: suspends, does not revoke";
        finds(Part::Breaker, false, empty, |now, _| now.breaker_tokens = 0);
    }

    #[test]
    fn a_store_has_some_seconds_for_what_it_is_told() {
        let waits_from =
            |begin: i64| found_after(move |now, at| now.stores[0].waiting = u64::from(at >= begin));
        assert_eq!(waits_from(55), []);
        assert_eq!(waits_from(54), [(Part::Store, true, "1 decision due for seconds".to_owned())]);
        let again_and_again = |now: &mut Vitals, at: i64| {
            now.stores[0].waiting = u64::from(at % 3 > 0);
        };
        assert_eq!(found_after(again_and_again), []);
    }

    #[test]
    fn lag_is_measured_by_how_fast_events_are_applied() {
        let behind = |lag: u64, per_s: u64| {
            found_after(move |now, at| {
                now.kafka = Some(Kafka { is_up: true, partitions: 4, lag });
                now.events = per_s * at.unsigned_abs();
            })
        };
        assert_eq!(behind(199_000, 20_000), []);
        let told = |lag: u64| [(Part::Kafka, false, format!("{lag} records not yet applied"))];
        assert_eq!(behind(201_000, 20_000), told(201_000));
        assert_eq!(behind(10_000, 1), []);
        assert_eq!(behind(10_001, 1), told(10_001));
    }

    #[test]
    fn a_member_without_partitions_is_told_once_no_rebalance_takes_so_long() {
        let none_from = |begin: i64| {
            found_after(move |now, at| {
                let partitions = u64::from(at < begin);
                now.kafka = Some(Kafka { is_up: true, partitions, lag: 0 });
            })
        };
        assert_eq!(none_from(40), []);
        let told = [(Part::Kafka, false, "this member owns no partition".to_owned())];
        assert_eq!(none_from(20), told);
        let away = Kafka { is_up: false, partitions: 4, lag: 0 };
        let told = [(Part::Kafka, true, "the brokers don't answer".to_owned())];
        assert_eq!(found_after(|now, _| now.kafka = Some(away)), told);
        assert_eq!(found_after(|now, _| now.kafka = None), []);
    }

    #[test]
    fn what_is_grave_comes_first_and_what_is_over_for_a_minute_is_forgotten() {
        let found = found_after(|now, at| {
            now.refused = at.unsigned_abs();
            now.stores[0] = Store { is_up: false, ..now.stores[0].clone() };
            now.memory_bytes = 99;
            now.journal_is_writable = false;
        });
        let parts: Vec<Part> = found.iter().map(|(part, ..)| *part).collect();
        assert_eq!(parts, [Part::Journal, Part::Store, Part::Memory, Part::Records]);
        let mut record = Record::default();
        record.note(Vitals { refused: 0, ..well(0) });
        record.note(well(1));
        assert_eq!(record.concerns(&well(59)).len(), 1);
        assert_eq!(record.concerns(&well(61)), []);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_concern() {
        let mut record = Record::default();
        record.note(well(3600));
        assert_eq!(record.concerns(&Vitals { refused: 99, ..well(0) }), []);
        record.note(well(0));
        assert_eq!(record.concerns(&well(1)), []);
    }
}
