//! The issues of the daemon, for the console, `tripline top`, `tripline doctor` and readers of `/v1/status`.
//!
//! **Does not** wake anyone: that is for alerts, which have more patience.

use super::fleet::FleetFaults;
use super::recent::{KEPT_MS, MINUTE_MS, Measurements, Recent, count, critical, warning};
use super::sources::of_source;
use crate::formats::api::status::{IssueJson, KafkaJson, Part, StoreJson};

/// For how long a store may settle none of its deliveries. Unit: milliseconds. Chosen: several
/// tries.
const STORE_MS: i64 = 5_000;
/// After how long without a sign of life a thread stalls. Unit: milliseconds. Chosen: they
/// give one each second.
const SILENT_MS: i64 = 30_000;
/// How long brokers may not answer. Unit: milliseconds. Chosen: two looks at them.
const BROKERS_MS: i64 = 10_000;
/// How long no partition may be owned. Unit: milliseconds. Chosen: a rebalance takes less, with what is
/// read back in it.
const UNASSIGNED_MS: i64 = 90_000;
/// Records not yet applied that are many, whatever the rate. Chosen.
const LAG_MANY: u64 = 10_000;
/// How many seconds of events not yet applied are many. Chosen.
const LAG_S_MANY: f64 = 10.0;
/// From how many events on it is remarkable that none of them counts. Chosen.
const UNVERIFIED_MIN: u64 = 100;
/// How many intervals a checkpoint may be late, and how long beyond. Unit: milliseconds. Chosen.
const CHECKPOINT_INTERVALS: i64 = 3;
const CHECKPOINT_MS: i64 = 10_000;
/// An issue that lasts longer than the samples would never be reported.
const _: () = assert!(STORE_MS < KEPT_MS && BROKERS_MS < KEPT_MS && UNASSIGNED_MS < KEPT_MS);

impl Recent {
    /// The issues, the most severe first.
    pub fn issues(&self, now: &Measurements) -> Vec<IssueJson> {
        let mut issues: Vec<IssueJson> = of_itself(now).collect();
        issues.extend(now.stores.iter().filter_map(|store| self.of_store(now, store)));
        issues.extend(self.of_fleet(now));
        issues.extend(self.of_others(now));
        issues.extend(self.of_sources(now));
        issues.extend(now.sources.iter().filter_map(|source| of_source(self, now, source)));
        issues.extend(now.kafka.and_then(|kafka| self.of_kafka(now, kafka)));
        issues.sort_by_key(|one| (!one.critical, one.part));
        issues
    }

    fn of_store(&self, now: &Measurements, store: &StoreJson) -> Option<IssueJson> {
        let settled = now.settled_by(&store.name);
        let stands_still = |one: &Measurements| {
            let waits = one.stores.iter().any(|it| it.name == store.name && it.waiting > 0);
            waits && one.settled_by(&store.name) == settled
        };
        let still_ms = self.since_ms(now, stands_still);
        let waiting = count(store.waiting, "decision");
        let issue = if !store.up {
            let due =
                if store.waiting > 0 { format!(", {waiting} pending") } else { String::new() };
            let said = store.fault.as_ref().map_or(String::new(), |said| format!(" ({said})"));
            critical(Part::Store, "store-unreachable", format!("unreachable{said}{due}"))
        } else if let Some(fault) = &store.fault {
            critical(Part::Store, "store-refuses", fault.clone())
        } else if still_ms.is_some_and(|ms| ms >= STORE_MS) {
            critical(Part::Store, "outbox-not-draining", format!("{waiting} pending, no receipts"))
        } else {
            return None;
        };
        Some(IssueJson { store: Some(store.name.clone()), ..issue })
    }

    fn of_fleet(&self, now: &Measurements) -> Option<IssueJson> {
        // A store that is away is an issue of its own.
        let is_blind =
            |one: &Measurements| !one.is_following && one.stores.iter().all(|store| store.up);
        let not_following = self.since_ms(now, is_blind)?;
        let found = "the decisions of other instances can't be read: what is ordered there is not in force here";
        (not_following >= STORE_MS)
            .then(|| warning(Part::Fleet, "instance-not-following", found.to_owned()))
    }

    /// Faults that are seen of others. Partitions move, and settings are rolled out: that is none.
    fn of_others(&self, now: &Measurements) -> impl Iterator<Item = IssueJson> + use<> {
        let FleetFaults { silent, unowned, not_keyed, different } = &now.fleet;
        let lasts = |is_so: fn(&FleetFaults) -> bool| {
            self.since_ms(now, |one| is_so(&one.fleet)).is_some_and(|ms| ms >= MINUTE_MS)
        };
        let silent = (!silent.is_empty()).then(|| {
            let found = format!("silent, and did not leave: {}", silent.join(", "));
            warning(Part::Fleet, "instance-silent", found)
        });
        let unowned = unowned.as_ref().filter(|_| lasts(|one| one.unowned.is_some())).map(|what| {
            let found = format!(
                "partitions that no instance owns, so that their events are not read: {what}"
            );
            critical(Part::Fleet, "partitions-unowned", found)
        });
        let keyed = not_keyed.as_ref().filter(|_| lasts(|one| one.not_keyed.is_some()));
        let keyed = keyed.map(|what| {
            let found =
                format!("records are not keyed by credential, so each is counted in parts: {what}");
            critical(Part::Fleet, "records-not-keyed", found)
        });
        let different = different.as_ref().filter(|_| lasts(|one| one.different.is_some()));
        let different =
            different.map(|what| warning(Part::Fleet, "instances-differ", what.clone()));
        [silent, unowned, keyed, different].into_iter().flatten()
    }

    fn of_sources(&self, now: &Measurements) -> impl Iterator<Item = IssueJson> + use<> {
        let rose = |total: fn(&Measurements) -> u64| {
            self.risen(now, total).map(|(by, _)| by).filter(|by| *by > 0)
        };
        let not_kept = rose(|one| one.not_kept).map(|events| {
            let events = count(events, "event");
            let found = format!("a crash would lose {events} of the last minute");
            warning(Part::EventLog, "events-not-durable", found)
        });
        let full = rose(|one| one.queue_full).map(|requests| {
            let found = format!("{} of the last minute answered 429", count(requests, "request"));
            warning(Part::Queue, "queue-full", found)
        });
        let not_written = rose(|one| one.not_written).map(|requests| {
            let requests = count(requests, "request");
            let found = format!("did not store the events of {requests} of the last minute");
            critical(Part::Kafka, "topic-not-written", found)
        });
        // Requests without a credential are usual.
        let at_fault = |one: &Measurements| {
            let harmless = one.sources.iter().map(|source| source.without_credential).sum();
            one.refused.saturating_sub(harmless)
        };
        let refused = rose(at_fault).map(|records| {
            let found = format!("{records} rejected in the last minute");
            warning(Part::Records, "records-refused", found)
        });
        let applied = self.risen(now, |one| one.applied).map_or(0, |(by, _)| by);
        let unverified = rose(|one| one.unverified).filter(|by| *by >= UNVERIFIED_MIN);
        let unverified = unverified.filter(|by| *by == applied).map(|events| {
            let found = format!("none of {events} events of the last minute counts as a use");
            warning(Part::Records, "unverified", found)
        });
        let forgotten = rose(|one| one.forgotten).map(|credentials| {
            let credentials = count(credentials, "baseline");
            let found = format!("full: {credentials} evicted in the last minute");
            warning(Part::Memory, "memory-full", found)
        });
        let not_watched = rose(|one| one.not_watched).map(|credentials| {
            let credentials = count(credentials, "new credential");
            let found = format!("full: {credentials} of the last minute not watched");
            critical(Part::Memory, "memory-full", found)
        });
        let deferred = rose(|one| one.deferred).map(|events| {
            let found = format!("full: {events} uses of unknown credentials not counted");
            warning(Part::Memory, "memory-full", found)
        });
        let memory = not_watched.or(forgotten).or(deferred);
        [not_kept, full, not_written, refused, unverified, memory].into_iter().flatten()
    }

    fn of_kafka(&self, now: &Measurements, kafka: KafkaJson) -> Option<IssueJson> {
        let owns_none = |one: &Measurements| one.kafka.is_some_and(|kafka| kafka.partitions == 0);
        let is_down = |one: &Measurements| one.kafka.is_some_and(|kafka| !kafka.up);
        if self.since_ms(now, is_down).is_some_and(|ms| ms >= BROKERS_MS) {
            let found = "the brokers don't answer".to_owned();
            return Some(critical(Part::Kafka, "consumer-stalled", found));
        }
        if self.since_ms(now, owns_none).is_some_and(|ms| ms >= UNASSIGNED_MS) {
            let found = "this instance owns no partition".to_owned();
            return Some(warning(Part::Kafka, "consumer-unassigned", found));
        }
        let (applied, seconds) = self.risen(now, |one| one.kafka_events)?;
        let many = LAG_S_MANY * applied as f64 / seconds;
        (kafka.lag > LAG_MANY && kafka.lag as f64 > many).then(|| {
            let found = format!("{} behind", count(kafka.lag, "record"));
            warning(Part::Kafka, "consumer-lag-high", found)
        })
    }
}

/// Issues that show at once.
fn of_itself(now: &Measurements) -> impl Iterator<Item = IssueJson> + use<> {
    let violations = (now.violations > 0).then(|| {
        let found =
            format!("{}: nothing above alert until a restart", count(now.violations, "violation"));
        critical(Part::Invariants, "invariant-violation", found)
    });
    let journal = (!now.journal_is_writable).then(|| {
        let found = "not writable: no decision is carried out".to_owned();
        critical(Part::Journal, "journal-errors", found)
    });
    let silent = now.beats.iter().map(|(stage, at)| (stage, now.at.ms_since(*at)));
    let silent = silent.filter(|(_, ms)| *ms > SILENT_MS).max_by_key(|(_, ms)| *ms);
    let silent = silent.map(|(stage, ms)| {
        let found = format!("no heartbeat of {stage} for {} s", ms / 1000);
        critical(Part::Threads, "stage-stuck", found)
    });
    let intervals_ms = now.checkpoint_interval_ms.saturating_mul(CHECKPOINT_INTERVALS);
    let late_ms = intervals_ms.saturating_add(CHECKPOINT_MS);
    let age_ms = now.checkpoint.map(|at| now.at.ms_since(at));
    let late = age_ms.filter(|age_ms| *age_ms > late_ms);
    let late = late.map(|age_ms| {
        let found = format!("one partition has none for {} s", age_ms / 1000);
        critical(Part::Checkpoints, "checkpoint-stale", found)
    });
    let empty = now.revocation_tokens.is_some_and(|tokens| tokens <= 0).then(|| {
        let found = "empty: suspends instead of revoking".to_owned();
        warning(Part::RevocationLimit, "revocation-limit-empty", found)
    });
    let fast = now.fast_clock.as_ref().map(|(sender, ms)| {
        let found =
            format!("the clock of {sender} is {} s ahead: its events don't count", ms / 1000);
        critical(Part::Records, "clock-ahead", found)
    });
    [violations, journal, silent, late, empty, fast].into_iter().flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::FleetFaults;
    use super::{Measurements, Recent};
    use crate::formats::api::status::{KafkaJson, Part, StoreJson};
    use crate::model::time::EventTime;

    /// A count that rises by so many in each second.
    pub(in crate::adapters::health) fn total(per_s: u64, second: i64) -> u64 {
        per_s * u64::try_from(second + 60).unwrap_or(0)
    }

    pub(in crate::adapters::health) fn well(second: i64) -> Measurements {
        let at = EventTime::from_s(1_800_000_000 + second);
        Measurements {
            at,
            started: EventTime::from_s(1_800_000_000 - 86_400),
            violations: 0,
            journal_is_writable: true,
            is_following: true,
            fleet: FleetFaults::default(),
            beats: vec![("control_plane", at.plus_ms(-900)), ("kafka", at)],
            stores: ["embedded", "redis.main"]
                .map(|name| StoreJson { name: name.to_owned(), waiting: 0, up: true, fault: None })
                .into(),
            not_kept: 7,
            queue_full: 7,
            not_written: 7,
            sources: Vec::new(),
            kafka_events: total(20_000, second),
            refused: 7,
            applied: 7,
            unverified: 7,
            fast_clock: None,
            kafka: Some(KafkaJson { up: true, partitions: 4, lag: 150_000 }),
            checkpoint: Some(at.plus_ms(-60_000)),
            checkpoint_interval_ms: 60_000,
            settled: vec![7, 7],
            forgotten: 7,
            deferred: 7,
            not_watched: 7,
            revocation_tokens: Some(1),
        }
    }

    /// The issues after two minutes of which each second was like that: from -60 to 59.
    pub(in crate::adapters::health) fn found_after(
        minute: impl Fn(&mut Measurements, i64),
    ) -> Vec<(Part, bool, String)> {
        let mut recent = Recent::default();
        let at = |second| {
            let mut measurements = well(second);
            minute(&mut measurements, second);
            measurements
        };
        (-60..59).for_each(|second| recent.record(at(second)));
        let found = recent.issues(&at(59));
        for one in &found {
            let page = format!("{}/docs/runbooks/{}.md", env!("CARGO_MANIFEST_DIR"), one.runbook);
            assert!(std::path::Path::new(&page).exists(), "{page}");
        }
        found.into_iter().map(|one| (one.part, one.critical, one.found)).collect()
    }

    #[track_caller]
    pub(in crate::adapters::health) fn finds(
        part: Part,
        critical: bool,
        words: &str,
        change: impl Fn(&mut Measurements, i64),
    ) {
        let found = found_after(change);
        assert_eq!(found, [(part, critical, words.to_owned())]);
    }

    #[test]
    fn a_minute_in_which_no_event_counts_is_remarkable() {
        let at = |second, applied, unverified| Measurements { applied, unverified, ..well(second) };
        let mut recent = Recent::default();
        recent.record(at(0, 0, 0));
        let found = |now: &Measurements| {
            let issues = recent.issues(now).into_iter();
            issues.map(|one| one.found).collect::<Vec<_>>()
        };
        let none = "none of 100 events of the last minute counts as a use";
        assert_eq!(found(&at(50, 100, 100)), [none]);
        assert_eq!(found(&at(50, 101, 100)), [""; 0]);
        assert_eq!(found(&at(50, 99, 99)), [""; 0]);
    }

    #[test]
    fn a_sender_with_a_fast_clock_is_named() {
        let fast = Measurements { fast_clock: Some(("gateway-1".to_owned(), 90_000)), ..well(0) };
        let issues = Recent::default().issues(&fast);
        let found: Vec<_> =
            issues.iter().map(|one| (one.part, one.critical, &*one.found)).collect();
        let expected = "the clock of gateway-1 is 90 s ahead: its events don't count";
        assert_eq!(found, [(Part::Records, true, expected)]);
    }

    #[test]
    fn who_is_well_gives_no_issue_and_each_fault_is_told_alone() {
        assert_eq!(found_after(|_, _| {}), []);
        finds(Part::Journal, true, "not writable: no decision is carried out", |now, _| {
            now.journal_is_writable = false;
        });
        let broken = "2 violations: nothing above alert until a restart";
        finds(Part::Invariants, true, broken, |now, _| now.violations = 2);
        let silent = "no heartbeat of kafka for 31 s";
        finds(Part::Threads, true, silent, |now, _| now.beats[1].1 = now.at.plus_ms(-31_000));
        let away = "unreachable, 3 decisions pending";
        finds(Part::Store, true, away, |now, _| {
            now.stores[1] = StoreJson { waiting: 3, up: false, ..now.stores[1].clone() };
        });
        let full = "unreachable (OOM: no memory)";
        finds(Part::Store, true, full, |now, _| {
            let fault = Some("OOM: no memory".to_owned());
            now.stores[1] = StoreJson { up: false, fault, ..now.stores[1].clone() };
        });
        finds(Part::Store, true, "the key of k can't be read", |now, _| {
            now.stores[1].fault = Some("the key of k can't be read".to_owned());
        });
        let alone = "the decisions of other instances can't be read: what is ordered there is not in force here";
        finds(Part::Fleet, false, alone, |now, _| now.is_following = false);
        let away_too = found_after(|now, _| {
            now.is_following = false;
            now.stores[1] = StoreJson { up: false, ..now.stores[1].clone() };
        });
        assert_eq!(away_too.len(), 1, "the store is the cause");
        finds(Part::EventLog, false, "a crash would lose 1 event of the last minute", |now, at| {
            now.not_kept = u64::from(at >= 20);
        });
        finds(Part::Queue, false, "60 requests of the last minute answered 429", |now, at| {
            now.queue_full = total(1, at);
        });
        let away = "did not store the events of 60 requests of the last minute";
        finds(Part::Kafka, true, away, |now, at| now.not_written = total(1, at));
        finds(Part::Records, false, "60 rejected in the last minute", |now, at| {
            now.refused = total(1, at);
        });
        let full = "full: 1 baseline evicted in the last minute";
        finds(Part::Memory, false, full, |now, at| now.forgotten = u64::from(at > 20));
        let flood = "full: 120 uses of unknown credentials not counted";
        finds(Part::Memory, false, flood, |now, at| now.deferred = total(2, at));
        let blind = "full: 2 new credentials of the last minute not watched";
        finds(Part::Memory, true, blind, |now, at| {
            (now.forgotten, now.not_watched) = (total(1, at), 2 * u64::from(at > 20));
        });
        let late = "one partition has none for 191 s";
        finds(Part::Checkpoints, true, late, |now, _| {
            now.checkpoint = Some(now.at.plus_ms(-191_000));
        });
        let empty = "empty: suspends instead of revoking";
        finds(Part::RevocationLimit, false, empty, |now, _| now.revocation_tokens = Some(0));
        assert_eq!(found_after(|now, _| now.revocation_tokens = None), [], "it may never let any");
    }

    #[test]
    fn faults_of_the_fleet_are_issues_once_they_last_for_a_minute() {
        let unowned =
            "partitions that no instance owns, so that their events are not read: 1 of auth (3)";
        let keyed = "records are not keyed by credential, so each is counted in parts: auth";
        let lasts = |begin: i64| {
            found_after(move |now, at| {
                let fault = |text: &str| (at >= begin).then(|| text.to_owned());
                now.fleet = FleetFaults {
                    silent: Vec::new(),
                    unowned: fault("1 of auth (3)"),
                    not_keyed: fault("auth"),
                    different: fault("tripline-2 has another mode"),
                };
            })
        };
        let all = [
            (Part::Fleet, true, unowned.to_owned()),
            (Part::Fleet, true, keyed.to_owned()),
            (Part::Fleet, false, "tripline-2 has another mode".to_owned()),
        ];
        assert_eq!(lasts(-1), all);
        assert_eq!(lasts(0), [], "partitions move, and settings are rolled out");
        let silent = "silent, and did not leave: tripline-2";
        finds(Part::Fleet, false, silent, |now, _| {
            now.fleet.silent = vec!["tripline-2".to_owned()];
        });
    }

    #[test]
    fn a_store_has_some_seconds_for_what_it_is_told() {
        let waits_from =
            |begin: i64| found_after(move |now, at| now.stores[0].waiting = u64::from(at >= begin));
        assert_eq!(waits_from(55), []);
        let still = (Part::Store, true, "1 decision pending, no receipts".to_owned());
        assert_eq!(waits_from(54), [still]);
        let busy = |now: &mut Measurements, at: i64| {
            now.stores[0].waiting = 3;
            now.settled[0] = total(1000, at);
        };
        assert_eq!(found_after(busy), [], "it settles a thousand a second");
        let again_and_again = |now: &mut Measurements, at: i64| {
            now.stores[0].waiting = u64::from(at % 3 > 0);
        };
        assert_eq!(found_after(again_and_again), []);
    }

    #[test]
    fn lag_is_measured_by_how_fast_events_are_applied() {
        let behind = |lag: u64, per_s: u64| {
            found_after(move |now, at| {
                now.kafka = Some(KafkaJson { up: true, partitions: 4, lag });
                now.kafka_events = total(per_s, at);
            })
        };
        assert_eq!(behind(199_000, 20_000), []);
        let told = |lag: u64| [(Part::Kafka, false, format!("{lag} records behind"))];
        assert_eq!(behind(201_000, 20_000), told(201_000));
        assert_eq!(behind(10_000, 1), []);
        assert_eq!(behind(10_001, 1), told(10_001));
    }

    #[test]
    fn an_instance_without_partitions_is_told_once_no_rebalance_takes_so_long() {
        let none_from = |begin: i64| {
            found_after(move |now, at| {
                let partitions = u64::from(at < begin);
                now.kafka = Some(KafkaJson { up: true, partitions, lag: 0 });
            })
        };
        assert_eq!(none_from(-30), []);
        let told = [(Part::Kafka, false, "this instance owns no partition".to_owned())];
        assert_eq!(none_from(-31), told);
        let away = KafkaJson { up: false, partitions: 4, lag: 0 };
        let told = [(Part::Kafka, true, "the brokers don't answer".to_owned())];
        assert_eq!(found_after(|now, _| now.kafka = Some(away)), told);
        assert_eq!(found_after(|now, _| now.kafka = None), []);
    }

    #[test]
    fn what_is_critical_comes_first_and_what_is_over_for_a_minute_is_forgotten() {
        let found = found_after(|now, at| {
            now.refused = total(1, at);
            now.stores[0] = StoreJson { up: false, ..now.stores[0].clone() };
            now.forgotten = total(1, at);
            now.journal_is_writable = false;
        });
        let parts: Vec<Part> = found.iter().map(|(part, ..)| *part).collect();
        assert_eq!(parts, [Part::Journal, Part::Store, Part::Memory, Part::Records]);
        let mut recent = Recent::default();
        recent.record(Measurements { refused: 0, ..well(0) });
        recent.record(well(1));
        assert_eq!(recent.issues(&well(59)).len(), 1);
        assert_eq!(recent.issues(&well(61)), []);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_issue() {
        let mut recent = Recent::default();
        recent.record(well(3600));
        assert_eq!(recent.issues(&Measurements { refused: 99, ..well(0) }), []);
        recent.record(well(0));
        assert_eq!(recent.issues(&well(1)), []);
    }
}
