//! The one way in which a partition is driven, no matter which host does: the threads of HTTP and
//! Kafka, a replay, trials and the simulation.
//!
//! ```text
//!  step(batch, clock) --\
//!  tick(now, backlog) ---+--> partition --> ShardOutput: signals, counters, hours, an ended minute
//!  recall(now) ---------/
//! ```
//! **Invariant.** Nothing that a partition has to say stays behind: each call returns all of it.
//!
//! **Does not** know threads, queues or where signals go.

use super::batch::{Batch, HashSeed};
use super::counters::Counters;
use super::partition::Params;
use super::partition::{Clock, Partition};
use crate::model::credential::Credential;
use crate::model::proof::Mark;
use crate::model::signal::{LateUse, MinuteTotals, Signal, UserOfHour};
use crate::model::time::EventTime;
use std::sync::Arc;

/// How far the watermark may be behind the present for time to go on by the clock: while the past
/// comes in it goes on by its events, as those who were busy in it have not been silent since.
/// Unit: milliseconds. Chosen.
pub const PRESENT_MS: i64 = 120_000;
/// After how long without events a shard that was given some of the past is taken to have all of it.
/// Unit: milliseconds. Chosen: well above the time between two requests of a client.
pub const QUIET_MS: i64 = 10_000;

/// Whether events wait for a shard that were not applied yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// None does.
    Empty,
    /// It isn't known, as while a broker doesn't answer.
    Unknown,
    /// Some do: time must not pass them by.
    Waiting,
}

/// A shard's output.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct ShardOutput {
    /// The changes of findings, in the order of the events that caused them.
    pub signals: Vec<Signal>,
    /// The counters.
    pub counters: Counters,
    /// Whose each hour of use was, in the order of the events that began them; none of events that are
    /// read again, as they would prove anything twice.
    pub hours: Vec<UserOfHour>,
    /// The newest minute (since 1970) that ended, and what tenants took of it.
    pub ended_minute: Option<(u32, MinuteTotals)>,
    /// Uses that gateways let pass although their credential was out of service.
    pub late_uses: Vec<LateUse>,
}

/// How much a shard holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardUsage {
    /// Credentials that it remembers.
    pub credentials: u64,
    /// How many of them have open incidents.
    pub open: u64,
    /// The memory that they take. Unit: bytes.
    pub bytes: u64,
}

impl std::ops::AddAssign for ShardUsage {
    fn add_assign(&mut self, other: Self) {
        self.credentials += other.credentials;
        self.open += other.open;
        self.bytes += other.bytes;
    }
}

/// Drives one partition.
#[derive(Clone, Debug)]
pub struct ShardDriver {
    partition: Partition,
    /// When events came last, by the clock of the host.
    last_arrival: EventTime,
}

impl ShardDriver {
    /// Drives a partition that is taken over at `now`, new or read back.
    pub const fn new(partition: Partition, now: EventTime) -> Self {
        Self { partition, last_arrival: now }
    }

    /// Drives an empty partition, whose time is that of its events.
    pub fn empty(params: Arc<Params>, seed: HashSeed) -> Self {
        Self::new(Partition::new(params, seed), EventTime::MIN)
    }

    /// Applies a batch.
    pub fn step(&mut self, batch: &Batch, clock: Clock) -> ShardOutput {
        self.last_arrival = match clock {
            Clock::Source(now) | Clock::Again { now, .. } => now,
            Clock::Events => batch.newest().unwrap_or(self.last_arrival),
        };
        self.partition.apply(batch, clock);
        let output = self.collect();
        match clock {
            Clock::Again { .. } => ShardOutput { hours: Vec::new(), ..output },
            Clock::Source(_) | Clock::Events => output,
        }
    }

    /// Lets time pass up to `now`, if what came so far is of the present: what has been calm for long
    /// enough closes.
    pub fn tick(&mut self, now: EventTime, backlog: Backlog) -> ShardOutput {
        let is_present = now.ms_since(self.partition.watermark()) < PRESENT_MS;
        let is_quiet = backlog == Backlog::Empty
            && self.partition.credentials() > 0
            && now.ms_since(self.last_arrival) >= QUIET_MS;
        if backlog != Backlog::Waiting && (is_present || is_quiet) {
            self.partition.tick(now);
        }
        self.collect()
    }

    /// Returns all that is open at `now`, as of a partition that was read back.
    pub fn recall(&mut self, now: EventTime) -> ShardOutput {
        self.partition.recall(now);
        self.collect()
    }

    /// Takes a mark of a credential, known besides its events, at `now`.
    pub fn mark(&mut self, credential: &Credential, mark: Mark, now: EventTime) -> ShardOutput {
        self.partition.mark(credential, mark, now);
        self.collect()
    }

    fn collect(&mut self) -> ShardOutput {
        let signals = self.partition.drain_signals().collect();
        let counters = self.partition.take_counters();
        let ended_minute = self.partition.take_ended_minute();
        let hours = self.partition.take_users_of_hours();
        let late_uses = self.partition.take_late_uses();
        ShardOutput { signals, counters, hours, ended_minute, late_uses }
    }

    /// The partition, to look at.
    pub const fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The partition, for what isn't driving it: parameters, checkpoints, offsets, the busiest.
    pub const fn partition_mut(&mut self) -> &mut Partition {
        &mut self.partition
    }

    /// How much it holds.
    pub fn usage(&self) -> ShardUsage {
        ShardUsage {
            credentials: self.partition.credentials() as u64,
            open: self.partition.open_incidents() as u64,
            bytes: self.partition.memory_bytes() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, PRESENT_MS, QUIET_MS, ShardDriver};
    use crate::data_plane::batch::{Batch, HashSeed};
    use crate::data_plane::partition::Clock;
    use crate::data_plane::partition::Params;
    use crate::model::event::{AuthEvent, Outcome};
    use crate::model::time::EventTime;
    use std::borrow::Cow;
    use std::sync::Arc;

    fn at(ms: i64) -> EventTime {
        EventTime::from_ms(1_700_000_000_000 + ms)
    }

    fn driver() -> ShardDriver {
        ShardDriver::empty(Arc::new(Params::default()), HashSeed(7, 7))
    }

    /// `count` uses of a credential within a second.
    fn batch(from: i64, count: i64, time_ms: i64) -> Batch {
        let mut batch = Batch::default();
        for n in 0..count {
            let mut event = AuthEvent::new(at(time_ms + n % 1000), Cow::Borrowed("k"));
            event.set_outcome(Outcome::Accepted);
            batch.push(&event, from + n, HashSeed(7, 7));
        }
        batch
    }

    /// Whether a tick moves the watermark of a shard whose newest event is `age_ms` old.
    fn passes(age_ms: i64, since_arrival_ms: i64, backlog: Backlog) -> bool {
        let mut driver = driver();
        let now = at(since_arrival_ms);
        let _applied = driver.step(&batch(0, 1, since_arrival_ms - age_ms), Clock::Source(at(0)));
        let before = driver.partition().watermark();
        let _ticked = driver.tick(now, backlog);
        driver.partition().watermark() > before
    }

    #[test]
    fn time_passes_by_the_clock_in_the_present_and_by_events_in_the_past() {
        let past = PRESENT_MS + 60_000;
        for (age_ms, since_arrival_ms, backlog, expected) in [
            (1_000, 500, Backlog::Empty, true),
            (1_000, 500, Backlog::Unknown, true),
            (1_000, 500, Backlog::Waiting, false),
            (past, 500, Backlog::Empty, false),
            (past, QUIET_MS, Backlog::Empty, true),
            (past, QUIET_MS, Backlog::Unknown, false),
            (past, QUIET_MS, Backlog::Waiting, false),
        ] {
            let passed = passes(age_ms, since_arrival_ms, backlog);
            assert_eq!(passed, expected, "{age_ms} {since_arrival_ms} {backlog:?}");
        }
    }

    #[test]
    fn what_closes_as_time_passes_is_returned_with_what_was_counted_of_it() {
        let mut driver = driver();
        let opened = driver.step(&batch(0, 20_000, 0), Clock::Source(at(1_000)));
        assert!(!opened.signals.is_empty());
        assert_eq!(opened.counters.applied, 20_000);
        let mut closed = 0;
        for minute in 1..240 {
            let output = driver.tick(at(minute * 60_000), Backlog::Empty);
            closed += output.counters.closed;
        }
        assert!(closed > 0, "findings close in ticks");
        let nothing = driver.tick(at(240 * 60_000), Backlog::Empty);
        assert_eq!(nothing.counters.closed, 0, "each is counted once");
    }

    #[test]
    fn hours_of_events_that_are_read_again_prove_nothing() {
        let again = Clock::Again { arrived: at(1_000), now: at(2_000) };
        let mut hours = Vec::new();
        for clock in [Clock::Source(at(1_000)), again] {
            let mut driver = driver();
            let mut sum = 0;
            for hour in 0..30 {
                let offset = hour * 10;
                let output =
                    driver.step(&batch(offset, 10, hour * 3_600_000 - 40 * 3_600_000), clock);
                sum += output.hours.len();
                assert_eq!(output.counters.applied, 10);
            }
            hours.push(sum);
        }
        assert!(hours[0] > 0, "{hours:?}");
        assert_eq!(hours[1], 0);
    }
}
