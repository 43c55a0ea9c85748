//! From an event to the detectors, and from their claims to episodes and signals.

use super::batch::Row;
use super::open_findings::OpenEpisodes;
use super::partition::{BusiestMinute, PAST_MS, Partition};
use super::profile_entry::Entry;
use crate::data_plane::batch::Batch;
use crate::data_plane::tenant_usage::NO_TENANT;
use crate::detect::detection::{Claim, Sight};
use crate::detect::open_finding::Episode;
use crate::detect::tenant_flood;
use crate::detect::window::{Placed, Window};
use crate::model::credential::Credential;
use crate::model::event::Outcome;
use crate::model::finding::{Detector, Finding, FindingId};
use crate::model::signal::{Change, Signal};
use crate::model::time::EventTime;

impl Partition {
    /// Counts the event and asks the detectors.
    pub(super) fn watch(&mut self, number: u32, row: &Row, time: EventTime) {
        self.failing.count(row.outcome == Outcome::Rejected);
        let params = &self.params.profile;
        let Some(Entry { profile, .. }) = self.keyring.get_mut(number) else {
            return;
        };
        let open = profile.episode().and_then(|at| self.episodes.get(at));
        let frozen = open.is_some_and(|episodes| episodes.freezes(time));
        let suspended = open.and_then(OpenEpisodes::suspended);
        let recorded = profile.record(time, &row.facts, frozen, params);
        if recorded.placed == Placed::TooLate {
            self.tally.too_late += 1;
            return;
        }
        let (kind, tenant) = (profile.identity().kind, profile.identity().tenant);
        if recorded.begins_hour {
            // A young credential's bursts can't pass the rate gate, so its hours prove nothing;
            // nor do those of one that was forgotten and comes back.
            if profile.knows_rate(params) {
                self.tally.note_hour(kind);
                if let Some(hours) = self.hours.get_mut(kind as usize) {
                    *hours += 1;
                }
            }
            self.cohorts.learn(kind, profile.baseline().long_rate(&params.baseline).per_s);
        }
        let minute = time.second() / 60;
        let in_minute = profile.windows().minute(minute);
        if in_minute > self.busiest_minute.requests {
            self.busiest_minute = BusiestMinute { hash: row.hash, requests: in_minute, minute };
        }
        self.tenants.count(tenant, number, in_minute);
        let wants_heat = profile.windows().count(Window::S60) > self.hot_floor && !profile.is_hot();
        let is_open = open.is_some();
        for detector in recorded.asks.without(params.off).iter() {
            let (params, entry) = (&self.params.profile, self.keyring.get(number));
            let times = (time, suspended);
            let claim =
                entry.and_then(|it| it.profile.claim(detector, recorded.novel, times, params));
            if let Some(claim) = claim {
                // The first finding of an episode already says when the credential ends.
                let at = self.episodes_of(number);
                if let Some(episodes) = at.and_then(|at| self.episodes.get_mut(at)) {
                    episodes.expires = row.expires.or(episodes.expires);
                }
                self.hear(number, claim, time);
            }
        }
        if is_open || !recorded.asks.is_empty() {
            self.note_use(number, row.expires);
        }
        if wants_heat {
            self.heat(number);
        }
    }

    /// Counts a failed request: people are alerted to far more than usual, and it is never held
    /// against the credential (invariant S-10).
    pub(super) fn watch_failed(&mut self, number: u32, time: EventTime, verified: bool) {
        let params = &self.params.profile;
        let Some(Entry { profile, .. }) = self.keyring.get_mut(number) else {
            return;
        };
        let open = profile.episode().and_then(|at| self.episodes.get(at));
        let frozen = open.is_some_and(|episodes| episodes.freezes(time));
        if profile.record_failed(time.second(), frozen, verified, params) {
            let (rejected, attempts) = profile.attempts(time.second());
            let fleet = self.failing.ratio_of_others(rejected, attempts);
            let claim = profile.failing(time.second(), fleet, params);
            if let Some(claim) = claim.filter(|_| !params.off.has(Detector::Failures)) {
                self.hear(number, claim, time);
            }
        }
    }

    /// Looks at the tenants once a minute of event time has ended.
    pub(super) fn end_minute(&mut self, minute: u32) {
        if minute <= self.minute {
            return;
        }
        let ended = std::mem::replace(&mut self.minute, minute);
        self.failing.minute_ends();
        let mut floods = Vec::new();
        let is_off = self.params.profile.off.has(Detector::TenantFlood);
        let (params, keyring) = (&self.params.profile.tenant_flood, &self.keyring);
        let totals = self.tenants.minute_ends(ended, |busy| {
            // Who was busiest may have been forgotten since, and its number given away.
            let entry = keyring.get(busy.busiest);
            if is_off || entry.is_none_or(|it| it.profile.identity().tenant != busy.tenant) {
                return;
            }
            if let Some((action, flood)) = tenant_flood::look(busy.taken, busy.usual, params) {
                floods.push((busy.busiest, Claim::new((action, Sight::TenantFlood(flood)))));
            }
        });
        if let Some(totals) = totals {
            self.ended_minute = Some((ended, totals));
        }
        let time = EventTime::from_s(i64::from(minute) * 60);
        for (number, claim) in floods {
            self.hear(number, claim, time);
        }
    }

    /// Brings a claim to the credential's episodes.
    fn hear(&mut self, number: u32, claim: Claim, time: EventTime) {
        let Some(at) = self.episodes_of(number) else {
            return;
        };
        let Some(episodes) = self.episodes.get_mut(at) else {
            return;
        };
        if claim.is_suspicion()
            && let Some(Entry { profile, .. }) = self.keyring.get_mut(number)
            && profile.has_learned(&self.params.profile)
            && episodes.suspect(time)
        {
            profile.forget_held();
        }
        let Some(change) = episodes.add(claim, time) else {
            return;
        };
        let Some(episode) = episodes.of(claim.detector()).copied() else {
            return;
        };
        let opens = change == Change::Opened;
        if opens || change == Change::Escalated {
            self.tally.note_justified(claim.detector(), episode.action, opens);
        }
        self.next_close = self.next_close.min(episode.closes_at());
        self.tell(number, at, &episode, change);
    }

    /// Where the credential's episodes are kept, from now on.
    fn episodes_of(&mut self, number: u32) -> Option<u32> {
        let profile = &mut self.keyring.get_mut(number)?.profile;
        Some(profile.episode().unwrap_or_else(|| {
            let at = self.episodes.insert(number);
            profile.set_episode(Some(at));
            at
        }))
    }

    /// Notes what a request during an episode brought.
    fn note_use(&mut self, number: u32, expires: Option<EventTime>) {
        let Some(Entry { profile, .. }) = self.keyring.get(number) else {
            return;
        };
        let maxima = profile.maxima();
        if let Some(episodes) = profile.episode().and_then(|at| self.episodes.get_mut(at)) {
            if episodes.are_of_use() {
                episodes.note_maxima(&maxima);
            }
            episodes.expires = expires.or(episodes.expires);
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
        // A source that is behind as a whole is being caught up with. In one that is not, a sender
        // that is behind the others by less than the longest window speaks of the present.
        let catch_up = self.now.ms_since(self.newest_event) > self.params.catch_up_ms
            || self.newest_event.ms_since(finding.updated) > PAST_MS;
        let again = self.again || change == Change::Recalled;
        let seen = self.seen();
        self.signals.push(Signal { finding, change, catch_up, again, seen });
    }

    fn finding(&self, number: u32, at: u32, episode: &Episode) -> Option<Finding> {
        let entry = self.keyring.get(number)?;
        let credential = Credential::new(entry.profile.kind(), &entry.id).ok()?;
        let claim = &episode.strongest;
        Some(Finding {
            id: FindingId::of(&credential, claim.detector(), episode.opened),
            credential,
            tenant: self.tenants.name(entry.profile.identity().tenant).cloned(),
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

    /// Tells of all that is open, at `now`, as of a partition that was read back: who judges has
    /// forgotten it.
    pub(super) fn recall(&mut self, now: EventTime) {
        self.now = now;
        let open: Vec<(u32, u32, Episode)> = self.episodes.open().collect();
        for (at, number, episode) in open {
            self.tell(number, at, &episode, Change::Recalled);
        }
    }

    #[cold]
    pub(super) fn close_due(&mut self) {
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
                self.calm(at, number, episode.strongest.detector());
            }
        }
        self.next_close = self.episodes.next_close().unwrap_or(EventTime::MAX);
    }

    /// Takes the lesson of an episode that closed, and forgets the episodes of a credential once
    /// none is open. An episode of failures has no lesson: strangers open and prolong it (S-10).
    fn calm(&mut self, at: u32, number: u32, closed: Detector) {
        let Some(episodes) = self.episodes.get_mut(at) else {
            return;
        };
        let Some(Entry { profile, .. }) = self.keyring.get_mut(number) else {
            return;
        };
        if closed != Detector::Failures {
            match episodes.lessons() {
                Some(maxima) => profile.absorb(&maxima),
                // What came on probation meanwhile is old enough to be learned by now.
                None => profile.forget_held(),
            }
            if !episodes.are_of_use() {
                profile.restart_climbs();
                episodes.end_suspicion();
            }
        }
        if episodes.closes_at().is_none() {
            profile.set_episode(None);
            self.episodes.remove(at);
        }
    }
}

impl Partition {
    /// Lets the credential belong to the tenant that a verified use names. Cost: one comparison of
    /// texts where that has not changed.
    pub(super) fn follow_tenant(&mut self, number: u32, batch: &Batch, row: &Row) {
        let Some(named) = batch.tenant(row) else { return };
        let Some(Entry { profile, .. }) = self.keyring.get(number) else { return };
        let current = profile.identity().tenant;
        if self.tenants.name(current).is_some_and(|name| name == named) {
            self.moving.stays(row.hash);
            return;
        }
        let to = self.seed.hash_all(&[named.as_bytes()]);
        if current == NO_TENANT || self.moving.moves(row.hash, to) {
            self.move_to(number, current, named);
        }
    }

    #[cold]
    fn move_to(&mut self, number: u32, from: u16, named: &str) {
        let has_rules = self.params.named_tenants.contains(named);
        let Some(to) = self.tenants.number_of(named, has_rules) else {
            self.tally.without_tenant += 1;
            return;
        };
        let Some(Entry { id, profile }) = self.keyring.get_mut(number) else { return };
        let limit = self.params.profile.limits.of(profile.kind(), id, Some(named));
        profile.set_tenant(to);
        profile.set_limit(limit);
        self.tenants.release(from);
        self.tenants.hold(to);
        self.tally.tenant_changed += 1;
    }

    /// Tells tenants of credentials that were forgotten for room.
    pub(super) fn release_forgotten(&mut self) {
        for tenant in self.keyring.drain_forgotten() {
            self.tenants.release(tenant);
        }
    }

    /// Counts each tenant's credentials, as after a restart.
    pub(super) fn hold_tenants(&mut self) {
        for (identity, _) in self.keyring.identities() {
            self.tenants.hold(identity.tenant);
        }
    }
}
