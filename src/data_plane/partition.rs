//! The data plane: one partition's credentials, watched event by event.
//!
//! `apply` takes a batch in the partition's order and answers with signals, in the order of the
//! events that caused them. Nearly every event ends in a handful of comparisons.
//!
//! **Invariants.** T-1: the watermark never goes back. S-4: an offset is applied once. S-10: only
//! verified uses count against a credential. M-1: the profile table is bounded.

use super::batch::{Batch, HashSeed, Row};
use super::cohort_priors::{Cohorts, FleetFailures};
use super::counters::Counters;
use super::grants::GrantTable;
use super::lifetimes;
use super::lifetimes::audit::LifetimeAudit;
use super::markers::MarkerTable;
use super::open_findings::OpenFindingTable;
use super::profile_table::ProfileTable;
use super::sightings::{Sighting, Sightings};
use super::tenant_assignment::Moving;
use super::tenant_usage::{NO_TENANT, Tenants};
use crate::detect::identity::Identity;
use crate::detect::params;
use crate::detect::profile::Profile;
use crate::model::credential::Kind;
use crate::model::event::Outcome;
use crate::model::signal::{Exposure, LateUse, MinuteTotals, Signal, UserOfHour};
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::collections::BTreeSet;

/// How many rows are looked up ahead of their update.
const AHEAD: usize = 32;
/// How many of the busiest credentials are kept at hand.
pub(super) const HOT_MAX: usize = 64;
/// The lifetime of one credential is known in so many bytes of the profile table; that is 2 % more memory at
/// most, which does not count among those bytes. Unit: bytes.
pub(super) const LIFETIME_BYTES_EACH: usize = 1024;
/// How often some of the credentials are looked at, whether they fell silent. Unit: seconds.
const SETTLE_S: u32 = 5;
/// In how many such looks each credential is looked at once: an hour.
const SETTLE_ROUNDS: u32 = 3600 / SETTLE_S;

/// How far behind its source's newest event a finding is of the past. Unit: milliseconds. Chosen: the
/// longest window; a sender that is later brings what is over.
pub(super) const PAST_MS: i64 = 300_000;

/// How far ahead of the clock events can be counted at their own time. Unit: milliseconds. Chosen:
/// windows keep the seconds of a minute, so that a credential whose uses come by two senders, one of
/// them ahead, still has all of them in its windows.
pub const SKEW_MS_MAX: i64 = 60_000;

/// Parameters of a partition.
#[derive(Clone, Debug)]
pub struct Params {
    /// Parameters of the detectors.
    pub profile: params::Params,
    /// How late an event may be before it counts as late. Unit: milliseconds. Default: 5,000.
    pub lateness_ms: i64,
    /// How far ahead of the source clock an event may be; one that is further ahead counts for
    /// nothing. Unit: milliseconds. Range: at most [`SKEW_MS_MAX`]. Default: 60,000.
    pub skew_ms_max: i64,
    /// How far behind the source clock event time is while the past is being read.
    /// Unit: milliseconds. Default: 60,000.
    pub catch_up_ms: i64,
    /// The memory that its credentials may take. Unit: bytes. Default: 15/16 of 1 GiB.
    pub memory_bytes: usize,
    /// The memory that its tenants may take. Unit: bytes. Default: 1/16 of 1 GiB.
    pub tenants_bytes: usize,
    /// The tenants that the configuration names: they always have a number.
    pub named_tenants: BTreeSet<String>,
}

impl Params {
    /// So much memory for credentials and tenants together. Unit: bytes.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.tenants_bytes = bytes / 16;
        self.memory_bytes = bytes - self.tenants_bytes;
        self
    }

    /// The memory that credentials and tenants may take. Unit: bytes.
    pub const fn all_bytes(&self) -> usize {
        self.memory_bytes + self.tenants_bytes
    }
}

impl Default for Params {
    fn default() -> Self {
        Self {
            profile: params::Params::default(),
            lateness_ms: 5_000,
            skew_ms_max: SKEW_MS_MAX,
            catch_up_ms: 60_000,
            memory_bytes: 0,
            tenants_bytes: 0,
            named_tenants: BTreeSet::new(),
        }
        .with_memory(1 << 30)
    }
}

/// Parameters of the partition for the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The source clock says so; the events have just arrived.
    Source(EventTime),
    /// The events arrived then, and are read again after a restart; the source clock says now.
    Again {
        /// When they arrived: what is ahead of it is ahead of the clock.
        arrived: EventTime,
        /// The present, by which the past is known.
        now: EventTime,
    },
    /// Each event is of the present, as when the past is replayed.
    Events,
}

/// The most requests that any credential made in a minute of the clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BusiestMinute {
    pub(super) hash: u64,
    pub(super) requests: u32,
    pub(super) minute: u32,
}

/// A profile as it was before an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// Whether a use of it was known.
    pub(super) was_used: bool,
    /// The newest second in which it was used.
    pub(super) last_second: u32,
}

/// One partition of the data plane.
#[derive(Clone, Debug)]
pub struct Partition {
    pub(super) params: std::sync::Arc<Params>,
    pub(super) seed: HashSeed,
    pub(super) profiles: ProfileTable,
    pub(super) open_findings: OpenFindingTable,
    pub(super) tenants: Tenants,
    pub(super) moving: Moving,
    pub(super) markers: MarkerTable,
    pub(super) grants: GrantTable,
    pub(super) sightings: Sightings,
    /// First uses of credentials, and those outside their life.
    pub(super) lifetimes: LifetimeAudit,
    /// Hashes of networks where one user appears at many places.
    pub(super) shared_networks: Vec<u32>,
    /// Those since they were last taken.
    pub(super) late_uses: Vec<LateUse>,
    pub(super) cohorts: Cohorts,
    pub(super) failing: FleetFailures,
    pub(super) next_offset: i64,
    applying: Option<i64>,
    pub(super) newest: EventTime,
    /// The newest time of an event, whatever ticks say: the watermark of its source.
    pub(super) newest_event: EventTime,
    pub(super) arrived: EventTime,
    pub(super) again: bool,
    pub(super) now: EventTime,
    pub(super) next_close: EventTime,
    pub(super) settles_at: u32,
    pub(super) minute: u32,
    pub(super) signals: Vec<Signal>,
    pub(super) hot: Vec<u32>,
    pub(super) hot_floor: u32,
    pub(super) busiest_minute: BusiestMinute,
    pub(super) hours: [u64; Kind::ALL.len()],
    /// Those of `hours` since they were last taken, in order.
    pub(super) users_of_hours: Vec<UserOfHour>,
    pub(super) counters: Counters,
    pub(super) ended_minute: Option<(u32, MinuteTotals)>,
}

impl Partition {
    /// An empty partition.
    pub fn new(params: std::sync::Arc<Params>, seed: HashSeed) -> Self {
        let (bytes, skew_ms) = (params.memory_bytes, params.profile.validity.skew_ms);
        let mut partition = Self {
            profiles: ProfileTable::new(bytes, seed),
            tenants: Tenants::new(params.tenants_bytes),
            params,
            seed,
            open_findings: OpenFindingTable::default(),
            moving: Moving::default(),
            markers: MarkerTable::default(),
            grants: GrantTable::sized_for(bytes),
            sightings: Sightings::sized_for(bytes),
            lifetimes: LifetimeAudit::new(lifetimes::audit::Params {
                skew_ms,
                credentials_max: bytes / LIFETIME_BYTES_EACH,
                ..lifetimes::audit::Params::default()
            }),
            shared_networks: Vec::new(),
            late_uses: Vec::new(),
            cohorts: Cohorts::default(),
            failing: FleetFailures::default(),
            next_offset: 0,
            applying: None,
            newest: EventTime::MIN,
            newest_event: EventTime::MIN,
            arrived: EventTime::MIN,
            again: false,
            now: EventTime::MIN,
            next_close: EventTime::MAX,
            settles_at: 0,
            minute: 0,
            signals: Vec::new(),
            hot: Vec::with_capacity(HOT_MAX),
            hot_floor: 0,
            busiest_minute: BusiestMinute::default(),
            hours: [0; Kind::ALL.len()],
            users_of_hours: Vec::new(),
            counters: Counters::default(),
            ended_minute: None,
        };
        partition.hash_shared_networks();
        partition
    }

    /// Applies other parameters, with the memory that it has: [`Self::resize`] changes that.
    /// Cost: touches every profile.
    pub fn set_params(&mut self, params: std::sync::Arc<Params>) {
        let bytes = self.params.all_bytes();
        self.params = if params.all_bytes() == bytes {
            params
        } else {
            std::sync::Arc::new((*params).clone().with_memory(bytes))
        };
        self.hash_shared_networks();
        self.lifetimes.set_skew(self.params.profile.validity.skew_ms);
        self.tenants.set_rules(|name| self.params.named_tenants.contains(name));
        let (limits, tenants) = (&self.params.profile.limits, &self.tenants);
        self.profiles.set_limits(|identity, id| {
            let tenant = tenants.name(identity.tenant).map(CompactString::as_str);
            limits.of(identity.kind, id, tenant)
        });
    }

    /// How far ahead of the source clock an event may be. Unit: milliseconds.
    pub fn skew_ms_max(&self) -> i64 {
        self.params.skew_ms_max
    }

    /// The offset after the last one applied.
    pub const fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Counts offsets before `offset` as applied, as when the records there held no event.
    pub fn skip_to(&mut self, offset: i64) {
        self.next_offset = self.next_offset.max(offset);
    }

    /// Goes on at `offset`, whatever was applied: the offsets begin again, as in a topic that was made
    /// again.
    pub const fn rewind_to(&mut self, offset: i64) {
        self.next_offset = offset;
        self.applying = None;
    }

    /// How far event time has come: no event older than this is expected any more.
    pub fn watermark(&self) -> EventTime {
        self.newest.plus_ms(-self.params.lateness_ms)
    }

    /// How many credentials are remembered.
    pub const fn credentials(&self) -> usize {
        self.profiles.len()
    }

    /// How many of them are cold: remembered without their rings.
    pub const fn cold_entries(&self) -> usize {
        self.profiles.cold_entries()
    }

    /// How many credentials have open incidents.
    pub const fn open_incidents(&self) -> usize {
        self.open_findings.len()
    }

    /// The signals since the last call, in the order of the events that caused them.
    pub(super) fn drain_signals(&mut self) -> std::vec::Drain<'_, Signal> {
        self.signals.drain(..)
    }

    /// The counters since the last call.
    pub(super) fn take_counters(&mut self) -> Counters {
        self.counters.evictions = self.profiles.take_evictions();
        std::mem::take(&mut self.counters)
    }

    /// Whose the hours of use since the last call were, in the order of the events that began them.
    pub(super) fn take_users_of_hours(&mut self) -> Vec<UserOfHour> {
        std::mem::take(&mut self.users_of_hours)
    }

    /// The newest minute (since 1970) that ended since the last call, and what tenants took of it.
    pub(super) const fn take_ended_minute(&mut self) -> Option<(u32, MinuteTotals)> {
        self.ended_minute.take()
    }

    /// The late uses since the last call.
    pub(super) fn take_late_uses(&mut self) -> Vec<LateUse> {
        std::mem::take(&mut self.late_uses)
    }

    /// The memory that its credentials and tenants take. Unit: bytes.
    pub const fn memory_bytes(&self) -> usize {
        self.profiles.bytes() + self.tenants.bytes()
    }

    /// Its progress.
    pub const fn seen(&self) -> Exposure {
        Exposure { credentials: self.profiles.len() as u64, hours: self.hours }
    }

    /// Applies a batch; what people and the control plane must know waits in
    /// [`Partition::drain_signals`].
    pub(super) fn apply(&mut self, batch: &Batch, clock: Clock) {
        match clock {
            Clock::Source(now) => (self.arrived, self.now) = (now, now),
            Clock::Again { arrived, now } => (self.arrived, self.now) = (arrived, now),
            Clock::Events => {}
        }
        self.again = matches!(clock, Clock::Again { .. });
        self.applying = None;
        let mut numbers = [None; AHEAD];
        for rows in batch.rows().chunks(AHEAD) {
            let mut touched = 0;
            for (row, number) in rows.iter().zip(&mut numbers) {
                *number = self.profiles.guess(row.hash);
            }
            for (row, number) in rows.iter().zip(&numbers) {
                touched ^= number.map_or(0, |n| self.profiles.touch(n, row.time.second()));
            }
            std::hint::black_box(touched);
            for (row, number) in rows.iter().zip(&numbers) {
                if clock == Clock::Events {
                    self.now = self.now.max(row.time);
                    self.arrived = self.now;
                }
                self.apply_row(batch, row, *number);
            }
        }
    }

    /// Lets time pass without events: what has been calm for long enough closes.
    pub(super) fn tick(&mut self, now: EventTime) {
        self.now = now;
        self.newest = self.newest.max(now);
        self.time_passes();
    }

    fn apply_row(&mut self, batch: &Batch, row: &Row, guess: Option<u32>) {
        // Events of one record share its offset, and always come in one batch.
        let same_record = self.applying == Some(row.offset);
        if row.offset < self.next_offset && !same_record {
            self.counters.redelivered += 1;
            return;
        }
        self.next_offset = row.offset + 1;
        self.applying = Some(row.offset);
        self.counters.applied += 1;
        let time = row.time;
        if time > self.arrived.plus_ms(self.params.skew_ms_max) {
            // Set to another time it would make a burst of what its sender had spread out.
            self.counters.ahead += 1;
            return;
        }
        self.counters.late += u64::from(time < self.watermark());
        // A sender whose clock is ahead must not take the time of all others with it.
        let passed = time.min(self.arrived);
        self.newest_event = self.newest_event.max(passed);
        if passed > self.newest {
            self.newest = passed;
            self.time_passes();
        }
        let rejected = row.outcome == Outcome::Rejected;
        self.counters.rejected += u64::from(rejected);
        let id = batch.credential(row);
        let found = guess
            .filter(|number| self.profiles.is(*number, row.kind, id))
            .or_else(|| self.profiles.find(row.hash, row.kind, id));
        let known = found
            .and_then(|number| self.profiles.warm(number, time.second(), &self.params.profile));
        self.release_evicted();
        if !row.verified {
            self.counters.unverified += 1;
            // Ids that no one holds are no part of the fleet: they could be made up to look like
            // an outage.
            if let Some(number) = known {
                self.failing.count(true);
                self.see(row);
                if !self.is_refused_by_order(row) {
                    self.watch_failed(number, time, false);
                }
            }
            if self.is_canary(row) {
                // It is presented, by whomever: there is no use that it could be held against.
                self.see(row);
                if let Some(number) = known.or_else(|| self.admit(batch, row, time)) {
                    self.state_canary(number, row);
                }
            }
        } else if found.is_some() && known.is_none() {
            // It sleeps on: there is no room to wake it.
            self.counters.refused += 1;
        } else if let Some(number) = known.or_else(|| self.admit_expected(batch, row, time)) {
            self.follow_tenant(number, batch, row);
            if row.is_issue() {
                self.record_issue(number, row, known.is_none());
                return;
            }
            let entry = self.profiles.get(number);
            let last = entry.map(|entry| entry.profile.windows().newest());
            let was_used = known.and(entry).is_some_and(|it| it.profile.identity().is_used());
            let before = Before { was_used, last_second: last.unwrap_or(0) };
            self.watch(number, row, time);
            if rejected && !self.is_refused_by_order(row) {
                self.watch_failed(number, time, true);
            }
            self.state_facts(number, batch, row, before);
        }
    }

    /// Remembers from where a credential was seen.
    pub(super) fn see(&mut self, row: &Row) {
        let (hash, network, second) = (row.hash, row.facts.prefix, row.time.second());
        self.sightings.record(Sighting { hash, network, second });
    }

    /// Does what is due as event time moves on.
    fn time_passes(&mut self) {
        if self.next_close <= self.watermark() {
            self.close_due();
        }
        let second = self.newest.second();
        if second >= self.settles_at {
            self.settle(second);
        }
    }

    #[cold]
    fn settle(&mut self, second: u32) {
        self.settles_at = (second / SETTLE_S + 1) * SETTLE_S;
        self.cool_down();
        let some = self.profiles.places_warm() / SETTLE_ROUNDS + 1;
        self.profiles.settle(some, second, &self.params.profile);
        self.end_minute(second / 60);
    }

    /// Takes in a credential that was never seen, or was forgotten, if it is expected or known by name.
    #[cold]
    fn admit_expected(&mut self, batch: &Batch, row: &Row, time: EventTime) -> Option<u32> {
        let is_expected = self.profiles.expects(row.hash, batch.credential(row))
            || self.markers.get(row.hash).is_some();
        if is_expected { self.admit(batch, row, time) } else { None }
    }

    #[cold]
    fn admit(&mut self, batch: &Batch, row: &Row, time: EventTime) -> Option<u32> {
        let (id, tenant) = (batch.credential(row), batch.tenant(row));
        let params = &self.params.profile;
        let limit = params.limits.of(row.kind, id, tenant);
        let number = tenant.and_then(|tenant| {
            let has_rules = self.params.named_tenants.contains(tenant);
            self.tenants.number_of(tenant, has_rules)
        });
        self.counters.without_tenant += u64::from(tenant.is_some() && number.is_none());
        let number = number.unwrap_or(NO_TENANT);
        let identity = Identity::new(row.kind, number, limit, time.second());
        let profile = Profile::new(identity, self.cohorts.prior(row.kind), params);
        let admitted = self.profiles.admit((row.hash, id), profile, time.second(), params);
        match admitted {
            Some(_) => {
                self.counters.admitted += 1;
                self.tenants.hold(number);
            }
            None => self.counters.refused += 1,
        }
        self.release_evicted();
        admitted
    }
}
