//! The data plane: one partition's credentials, watched event by event.
//!
//! `apply` takes a batch in the partition's order and answers with signals, in the order of the
//! events that caused them. Nearly every event ends in a handful of comparisons.
//!
//! **Invariants.** T-1: the watermark never goes back. S-4: an offset is applied once. S-10: only
//! authenticated requests count against a credential. M-1: the keyring is bounded.

mod view;

pub use view::{View, WindowView};

use super::batch::{Batch, HashSeed, Row};
use super::episodes::EpisodeTable;
use super::keyring::Keyring;
use super::tally::Tally;
use super::tenants::{NO_TENANT, Tenants};
use crate::detect::claim::Claim;
use crate::detect::episode::{Change, Episode};
use crate::detect::profile::{self, Profile};
use crate::detect::window::{Placed, Window};
use crate::model::credential::Credential;
use crate::model::finding::{Finding, FindingId};
use crate::model::time::EventTime;
use compact_str::CompactString;

/// How many rows are looked up ahead of their update.
const AHEAD: usize = 32;
/// How many of the busiest credentials are kept at hand.
const HOT_MAX: usize = 64;

/// What a partition goes by.
#[derive(Clone, Debug)]
pub struct Params {
    /// What the detectors go by.
    pub profile: profile::Params,
    /// How late an event may be before it counts as late. Unit: milliseconds. Default: 5,000.
    pub lateness_ms: i64,
    /// How far ahead of the intake clock an event may be. Unit: milliseconds. Default: 2,000.
    pub skew_ms_max: i64,
    /// How far behind the intake clock event time is while the past is being read.
    /// Unit: milliseconds. Default: 60,000.
    pub catch_up_ms: i64,
    /// The most credentials remembered. Default: 2,000,000.
    pub credentials_max: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            profile: profile::Params::default(),
            lateness_ms: 5_000,
            skew_ms_max: 2_000,
            catch_up_ms: 60_000,
            credentials_max: 2_000_000,
        }
    }
}

/// A finding, as it changed at one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The finding as it is now.
    pub finding: Finding,
    /// What happened to it.
    pub change: Change,
    /// Whether the past was being read.
    pub catch_up: bool,
}

/// What the partition goes by for the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The intake clock says so.
    Intake(EventTime),
    /// Each event is of the present, as when the past is replayed.
    Events,
}

/// The most requests that any credential made in a minute of the clock.
#[derive(Clone, Copy, Debug, Default)]
struct BusiestMinute {
    number: u32,
    requests: u32,
    minute: u32,
}

/// One partition of the data plane.
#[derive(Clone, Debug)]
pub struct Partition {
    params: std::sync::Arc<Params>,
    seed: HashSeed,
    keyring: Keyring,
    episodes: EpisodeTable,
    tenants: Tenants,
    next_offset: i64,
    applying: Option<i64>,
    newest: EventTime,
    now: EventTime,
    next_close: EventTime,
    signals: Vec<Signal>,
    hot: Vec<u32>,
    hot_floor: u32,
    cools_at: u32,
    busiest_minute: BusiestMinute,
    tally: Tally,
}

impl Partition {
    /// An empty partition.
    pub fn new(params: std::sync::Arc<Params>, seed: HashSeed) -> Self {
        Self {
            keyring: Keyring::new(params.credentials_max),
            params,
            seed,
            episodes: EpisodeTable::default(),
            tenants: Tenants::default(),
            next_offset: 0,
            applying: None,
            newest: EventTime::MIN,
            now: EventTime::MIN,
            next_close: EventTime::MAX,
            signals: Vec::new(),
            hot: Vec::with_capacity(HOT_MAX),
            hot_floor: 0,
            cools_at: 0,
            busiest_minute: BusiestMinute::default(),
            tally: Tally::default(),
        }
    }

    /// Goes by other parameters from now on. The size of the keyring stays as it was.
    /// Cost: touches every profile.
    pub fn set_params(&mut self, params: std::sync::Arc<Params>) {
        self.params = params;
        let limits = &self.params.profile.limits;
        for entry in self.keyring.iter_mut() {
            let tenant = self.tenants.name(entry.profile.tenant());
            let tenant = tenant.map(CompactString::as_str);
            let limit = limits.of(entry.profile.kind(), &entry.id, tenant);
            entry.profile.set_limit(limit);
        }
    }

    /// The offset after the last one applied.
    pub const fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Counts offsets before `offset` as applied, as when the records there held no event.
    pub fn skip_to(&mut self, offset: i64) {
        self.next_offset = self.next_offset.max(offset);
    }

    /// How far event time has come: no event older than this is expected any more.
    pub fn watermark(&self) -> EventTime {
        self.newest.plus_ms(-self.params.lateness_ms)
    }

    /// How many credentials are remembered.
    pub const fn credentials(&self) -> usize {
        self.keyring.len()
    }

    /// How many credentials have open episodes.
    pub const fn open_episodes(&self) -> usize {
        self.episodes.len()
    }

    /// The signals since the last call, in the order of the events that caused them.
    pub fn drain_signals(&mut self) -> std::vec::Drain<'_, Signal> {
        self.signals.drain(..)
    }

    /// The counters since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Applies a batch; what people and the control plane must know waits in
    /// [`Partition::drain_signals`].
    pub fn apply(&mut self, batch: &Batch, clock: Clock) {
        if let Clock::Intake(now) = clock {
            self.now = now;
        }
        self.applying = None;
        let mut numbers = [None; AHEAD];
        for rows in batch.rows().chunks(AHEAD) {
            let mut touched = 0;
            for (row, number) in rows.iter().zip(&mut numbers) {
                *number = self.keyring.guess(row.hash);
            }
            for (row, number) in rows.iter().zip(&numbers) {
                touched ^= number.map_or(0, |n| self.keyring.touch(n, row.time.second()));
            }
            std::hint::black_box(touched);
            for (row, number) in rows.iter().zip(&numbers) {
                if clock == Clock::Events {
                    self.now = self.now.max(row.time);
                }
                self.apply_row(batch, row, *number);
            }
        }
    }

    /// Lets time pass without events: what has been calm for long enough closes.
    pub fn tick(&mut self, now: EventTime) {
        self.now = now;
        self.newest = self.newest.max(now);
        self.close_due();
    }

    fn apply_row(&mut self, batch: &Batch, row: &Row, guess: Option<u32>) {
        // Events of one record share its offset, and always come in one batch.
        let same_record = self.applying == Some(row.offset);
        if row.offset < self.next_offset && !same_record {
            self.tally.redelivered += 1;
            return;
        }
        self.next_offset = row.offset + 1;
        self.applying = Some(row.offset);
        self.tally.applied += 1;
        let mut time = row.time;
        if time > self.now.plus_ms(self.params.skew_ms_max) {
            time = self.now;
            self.tally.clamped += 1;
        }
        self.tally.late += u64::from(time < self.watermark());
        self.newest = self.newest.max(time);
        if self.next_close <= self.watermark() {
            self.close_due();
        }
        if self.newest.second() >= self.cools_at {
            self.cool_down();
        }
        if !row.outcome.is_authenticated() {
            self.tally.rejected += 1;
            return;
        }
        let id = batch.credential(row);
        let number = guess
            .filter(|number| self.keyring.is(*number, row.kind, id))
            .or_else(|| self.keyring.find(row.hash, row.kind, id))
            .or_else(|| self.admit(batch, row, time));
        if let Some(number) = number {
            self.watch(number, row, time);
        }
    }

    /// Takes in a credential that was never seen, or was forgotten.
    #[cold]
    fn admit(&mut self, batch: &Batch, row: &Row, time: EventTime) -> Option<u32> {
        let (id, tenant) = (batch.credential(row), batch.tenant(row));
        let params = &self.params.profile;
        let limit = params.limits.of(row.kind, id, tenant);
        let number = tenant.map_or(NO_TENANT, |tenant| self.tenants.number_of(tenant));
        let profile = Profile::new(row.kind, number, limit, time.second(), params);
        let Some((number, evicts)) = self.keyring.admit(row.hash, id, profile) else {
            self.tally.refused += 1;
            return None;
        };
        self.tally.admitted += 1;
        self.tally.evicted += u64::from(evicts);
        Some(number)
    }

    /// Counts the event and asks the detectors.
    fn watch(&mut self, number: u32, row: &Row, time: EventTime) {
        let params = &self.params.profile;
        let Some(entry) = self.keyring.get_mut(number) else {
            return;
        };
        let profile = &mut entry.profile;
        let open = profile.episode();
        let frozen = open
            .and_then(|at| self.episodes.get(at))
            .is_some_and(|episodes| episodes.freezes(time));
        if profile.record(time.second(), frozen, params) == Placed::TooLate {
            self.tally.too_late += 1;
            return;
        }
        let in_minute = profile.windows().minutes_until(time.second() / 60, 1);
        if in_minute > self.busiest_minute.requests {
            self.busiest_minute =
                BusiestMinute { number, requests: in_minute, minute: time.second() / 60 };
        }
        let minute = profile.windows().count(Window::S60);
        let wants_heat = minute > self.hot_floor && !profile.is_hot();
        let may_burst = profile.may_burst(params);
        let ceiling = profile.ceiling(params);
        if may_burst || ceiling.is_some() || open.is_some() {
            let burst = may_burst.then(|| self.burst_of(number)).flatten();
            self.hear(number, [ceiling, burst], row.expires, time);
        }
        if wants_heat {
            self.heat(number);
        }
    }

    /// What the burst detector says. Its tail is dear, so it is asked when a second begins and
    /// when the count of that second is one of 1, 2, 3, 4, 6, 8, 12, 16 and so on: at most a third
    /// too late, and with a cost that does not grow with the rate.
    fn burst_of(&self, number: u32) -> Option<Claim> {
        let profile = &self.keyring.get(number)?.profile;
        let count = profile.windows().count(Window::S1);
        let two_digits = count.trailing_zeros() + 2 >= u32::BITS - count.leading_zeros();
        if two_digits { profile.burst(&self.params.profile) } else { None }
    }

    /// Brings the claims of an event to the credential's episodes.
    fn hear(
        &mut self,
        number: u32,
        claims: [Option<Claim>; 2],
        expires: Option<EventTime>,
        time: EventTime,
    ) {
        let Some(entry) = self.keyring.get_mut(number) else {
            return;
        };
        let profile = &mut entry.profile;
        let at = match profile.episode() {
            Some(at) => at,
            None if claims.iter().all(Option::is_none) => return,
            None => {
                let at = self.episodes.insert(number, time);
                profile.set_episode(Some(at));
                at
            }
        };
        let Some(episodes) = self.episodes.get_mut(at) else {
            return;
        };
        episodes.note_maxima(profile.windows());
        episodes.expires = expires.or(episodes.expires);
        for claim in claims.into_iter().flatten() {
            let Some(episodes) = self.episodes.get_mut(at) else {
                return;
            };
            let Some(change) = episodes.add(claim, time) else {
                continue;
            };
            let Some(episode) = episodes.of(claim.detector()).copied() else {
                continue;
            };
            let opens = change == Change::Opened;
            if opens || change == Change::Escalated {
                self.tally.note_justified(claim.detector(), episode.action, opens);
            }
            let closes = episode.closes_at();
            self.next_close = self.next_close.min(closes);
            self.tell(number, at, &episode, change);
        }
    }

    /// Puts the finding of an episode among the signals.
    fn tell(&mut self, number: u32, at: u32, episode: &Episode, change: Change) {
        let Some(mut finding) = self.finding(number, at, episode) else {
            return;
        };
        if change == Change::Closed {
            finding.updated = episode.closes_at();
            finding.closed = Some(finding.updated);
        }
        let catch_up = self.now.ms_since(finding.updated) > self.params.catch_up_ms;
        self.signals.push(Signal { finding, change, catch_up });
    }

    fn finding(&self, number: u32, at: u32, episode: &Episode) -> Option<Finding> {
        let entry = self.keyring.get(number)?;
        let credential = Credential::new(entry.profile.kind(), &entry.id).ok()?;
        let claim = &episode.strongest;
        Some(Finding {
            id: FindingId::of(&credential, claim.detector(), episode.opened),
            credential,
            tenant: self.tenants.name(entry.profile.tenant()).cloned(),
            detector: claim.detector(),
            action: episode.action,
            opened: episode.opened,
            reached: episode.reached,
            gates: episode.gates,
            updated: episode.told,
            closed: None,
            evidence_nats: claim.evidence_nats(),
            summary: claim.summary(),
            evidence: claim.measures(),
            expires: self.episodes.get(at).and_then(|episodes| episodes.expires),
        })
    }

    #[cold]
    fn close_due(&mut self) {
        let watermark = self.watermark();
        if self.next_close > watermark {
            return;
        }
        for at in self.episodes.due(watermark) {
            while let Some((number, episode)) = self
                .episodes
                .get_mut(at)
                .and_then(|episodes| Some((episodes.number, episodes.close_one(watermark)?)))
            {
                self.tally.closed += 1;
                self.tell(number, at, &episode, Change::Closed);
                self.calm(at, number);
            }
        }
        self.next_close = self.episodes.next_close().unwrap_or(EventTime::MAX);
    }

    /// Takes the lesson and forgets the episodes of a credential once none is open.
    fn calm(&mut self, at: u32, number: u32) {
        let Some(episodes) = self.episodes.get(at) else {
            return;
        };
        if episodes.closes_at().is_some() {
            return;
        }
        let lessons = episodes.lessons();
        if let Some(entry) = self.keyring.get_mut(number) {
            if let Some(maxima) = lessons {
                entry.profile.absorb(&maxima);
            }
            entry.profile.set_episode(None);
        }
        self.episodes.remove(at);
    }
}
