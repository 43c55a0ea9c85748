//! From an event to the detectors, and from their detections to findings and signals.

use super::batch::Row;
use super::open_findings::OpenIncidents;
use super::partition::{BusiestMinute, PAST_MS, Partition};
use super::profile_entry::Entry;
use crate::data_plane::batch::Batch;
use crate::data_plane::tenant_usage::NO_TENANT;
use crate::detect::detection::{Detection, Observation};
use crate::detect::evaluate::EventContext;
use crate::detect::open_finding::OpenFinding;
use crate::detect::profile::Recorded;
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
        let place = (number, row.hash);
        let Some((profile, unproven)) = self.profiles.to_record(number) else {
            return;
        };
        let open = profile.open_finding().and_then(|at| self.open_findings.get(at));
        let frozen = open.is_some_and(|open_findings| open_findings.freezes(time));
        let suspended = open.and_then(OpenIncidents::suspended);
        let values = || unproven.get(row.hash);
        let recorded = profile.record(time, &row.facts, (frozen, values), params);
        if recorded.placed == Placed::TooLate {
            self.counters.too_late += 1;
            return;
        }
        let (kind, tenant) = (profile.identity().kind, profile.identity().tenant);
        if recorded.begins_hour {
            // A young credential's bursts can't pass the rate gate, so its hours prove nothing;
            // nor do those of one that was forgotten and comes back.
            if profile.knows_rate(params) {
                self.counters.note_hour(kind);
                if let Some(hours) = self.hours.get_mut(kind as usize) {
                    *hours += 1;
                }
                self.users_of_hours.push((kind, self.tenants.name(tenant).cloned()));
            }
            self.cohorts.learn_rate(kind, profile.baseline().long_rate(&params.baseline).per_s);
            self.cohorts.note_mature(kind, profile.identity().hours == params.rate_hours);
        }
        if recorded.begins_day && profile.knows_rate(params) {
            self.cohorts.learn_peaks(kind, profile.baseline());
        }
        let minute = time.second() / 60;
        let in_minute = profile.windows().minute(minute);
        if in_minute > self.busiest_minute.requests {
            self.busiest_minute = BusiestMinute { hash: row.hash, requests: in_minute, minute };
        }
        self.tenants.count(tenant, number, in_minute);
        let wants_heat = profile.windows().count(Window::S60) > self.hot_floor && !profile.is_hot();
        let is_open = open.is_some();
        let is_of_use = open.is_some_and(OpenIncidents::are_of_use);
        let kind_peaks = [f32::INFINITY; Window::COUNT];
        let Recorded { novel, unproven, graduates, .. } = recorded;
        let mut event = EventContext { time, novel, unproven, suspended, kind_peaks };
        if !graduates.is_empty() || !unproven.is_empty() {
            let counts = (time.second(), !is_of_use);
            self.profiles.prove(place, (&recorded, &row.facts), counts);
        }
        let asks = recorded.asks.without(params.disabled);
        if asks.has(Detector::Burst) {
            event.kind_peaks = self.cohorts.peaks(kind);
        }
        for detector in asks.iter() {
            let (params, entry) = (&self.params.profile, self.profiles.get(number));
            let detection = entry.and_then(|it| it.profile.detection(detector, event, params));
            if let Some(detection) = detection {
                // The first finding of a finding already says when the credential ends.
                let at = self.open_findings_of(number);
                if let Some(open_findings) = at.and_then(|at| self.open_findings.get_mut(at)) {
                    open_findings.expires = row.claims.expires.or(open_findings.expires);
                }
                self.on_detection(number, detection, time, false);
            }
        }
        if is_open || !recorded.asks.is_empty() {
            self.note_use(number, row.claims.expires);
        }
        if wants_heat {
            self.heat(number);
        }
        if recorded.new_network {
            self.see(row);
        }
    }

    /// Counts a failed request: people are alerted to far more than usual, and it is never held
    /// against the credential (invariant S-10).
    pub(super) fn watch_failed(&mut self, number: u32, time: EventTime, verified: bool) {
        let params = &self.params.profile;
        let Some(Entry { profile, .. }) = self.profiles.get_mut(number) else {
            return;
        };
        let open = profile.open_finding().and_then(|at| self.open_findings.get(at));
        let frozen = open.is_some_and(|open_findings| open_findings.freezes(time));
        if profile.record_failed(time.second(), frozen, verified, params) {
            let fleet = self.failing.ratios_of_others(profile.attempts(time.second()));
            let detection = profile.failing(time.second(), fleet, params);
            if let Some(detection) = detection.filter(|_| !params.disabled.has(Detector::Failures))
            {
                self.on_detection(number, detection, time, false);
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
        let is_off = self.params.profile.disabled.has(Detector::TenantFlood);
        let (params, profiles) = (&self.params.profile.tenant_flood, &self.profiles);
        let totals = self.tenants.minute_ends(ended, |busy| {
            // The busiest credential may have been evicted since, and its number reused.
            let entry = profiles.get(busy.busiest);
            if is_off || entry.is_none_or(|it| it.profile.identity().tenant != busy.tenant) {
                return;
            }
            if let Some((action, flood)) = tenant_flood::evaluate(busy.taken, busy.usual, params) {
                floods.push((
                    busy.busiest,
                    Detection::new((action, Observation::TenantFlood(flood))),
                ));
            }
        });
        if let Some(totals) = totals {
            self.ended_minute = Some((ended, totals));
        }
        let time = EventTime::from_s(i64::from(minute) * 60);
        for (number, detection) in floods {
            self.on_detection(number, detection, time, false);
        }
    }

    /// Brings a detection to the credential's findings; `is_news`: it is reported in any case.
    pub(super) fn on_detection(
        &mut self,
        number: u32,
        detection: Detection,
        time: EventTime,
        is_news: bool,
    ) {
        let Some(at) = self.open_findings_of(number) else {
            return;
        };
        let Some(open_findings) = self.open_findings.get_mut(at) else {
            return;
        };
        if detection.is_suspicion()
            && let Some(Entry { profile, .. }) = self.profiles.get_mut(number)
            && profile.has_learned(&self.params.profile)
            && open_findings.suspect(time)
        {
            profile.forget_held();
            self.profiles.suspect(number, time.second());
        }
        let change = open_findings.add(detection, time);
        let Some(change) = change.or_else(|| is_news.then_some(Change::Updated)) else {
            return;
        };
        let Some(open_finding) = open_findings.of(detection.detector()).copied() else {
            return;
        };
        let opens = change == Change::Opened;
        if opens || change == Change::Escalated {
            self.counters.note_justified(detection.detector(), open_finding.action, opens);
        }
        self.next_close = self.next_close.min(open_finding.closes_at());
        self.emit(number, at, &open_finding, change);
    }

    /// Where the credential's findings are kept, from now on.
    pub(super) fn open_findings_of(&mut self, number: u32) -> Option<u32> {
        let profile = &mut self.profiles.get_mut(number)?.profile;
        Some(profile.open_finding().unwrap_or_else(|| {
            let at = self.open_findings.insert(number);
            profile.set_open_finding(Some(at));
            at
        }))
    }

    /// Notes what a request during a finding brought.
    fn note_use(&mut self, number: u32, expires: Option<EventTime>) {
        let Some(Entry { profile, .. }) = self.profiles.get(number) else {
            return;
        };
        let peaks = profile.peaks();
        if let Some(open_findings) =
            profile.open_finding().and_then(|at| self.open_findings.get_mut(at))
        {
            if open_findings.are_of_use() {
                open_findings.note_peaks(&peaks);
            }
            open_findings.expires = expires.or(open_findings.expires);
        }
    }

    /// Emits a signal for an open finding.
    fn emit(&mut self, number: u32, at: u32, open_finding: &OpenFinding, change: Change) {
        let Some(mut finding) = self.finding(number, at, open_finding) else {
            return;
        };
        if change == Change::Closed {
            finding.updated = open_finding.closes_at();
            finding.closed = Some(finding.updated);
        }
        // A source that is behind as a whole is being caught up with. In one that is not, a sender
        // that is behind the others by less than the longest window speaks of the present.
        let newest = self.newest_event.max(finding.updated);
        let catch_up = self.now.ms_since(newest) > self.params.catch_up_ms
            || self.newest_event.ms_since(finding.updated) > PAST_MS;
        let again = self.again || change == Change::Recalled;
        let seen = self.seen();
        self.signals.push(Signal { finding, change, catch_up, again, seen });
    }

    fn finding(&self, number: u32, at: u32, open_finding: &OpenFinding) -> Option<Finding> {
        let entry = self.profiles.get(number)?;
        let credential = Credential::new(entry.profile.kind(), &entry.id).ok()?;
        let detection = &open_finding.strongest;
        let open = self.open_findings.get(at);
        let place = open.and_then(|open| open.place(detection.detector()));
        Some(Finding {
            id: FindingId::of(&credential, detection.detector(), open_finding.opened),
            credential,
            tenant: self.tenants.name(entry.profile.identity().tenant).cloned(),
            detector: detection.detector(),
            action: open_finding.action,
            opened: open_finding.opened,
            reached: open_finding.reached,
            gates: open_finding.gates,
            updated: open_finding.told,
            closed: None,
            evidence_nats: detection.evidence_nats(),
            summary: match &place {
                Some(place) => format!("{} ({place})", detection.summary()),
                None => detection.summary(),
            },
            evidence: detection.measures(),
            place,
            expires: open.and_then(|open| open.expires),
        })
    }

    /// Reports all that is open, at `now`, as of a partition that was read back: who judges has
    /// forgotten it.
    pub(super) fn recall(&mut self, now: EventTime) {
        self.now = now;
        let open: Vec<(u32, u32, OpenFinding)> = self.open_findings.open().collect();
        for (at, number, open_finding) in open {
            self.emit(number, at, &open_finding, Change::Recalled);
        }
    }

    #[cold]
    pub(super) fn close_due(&mut self) {
        let watermark = self.watermark();
        if self.next_close > watermark {
            return;
        }
        for at in self.open_findings.due(watermark) {
            while let Some((number, open_finding)) =
                self.open_findings.get_mut(at).and_then(|open_findings| {
                    Some((open_findings.number, open_findings.close_one(watermark)?))
                })
            {
                self.close(number, at, open_finding);
            }
        }
        self.next_close = self.open_findings.next_close().unwrap_or(EventTime::MAX);
    }

    /// Reports that a finding closed, and takes its lesson.
    pub(super) fn close(&mut self, number: u32, at: u32, open_finding: OpenFinding) {
        self.counters.closed += 1;
        self.emit(number, at, &open_finding, Change::Closed);
        self.calm(at, number, open_finding.strongest.detector());
    }

    /// Takes the lesson of a finding that closed, and forgets the findings of a credential once
    /// none is open. A finding of failures has no lesson: strangers open and prolong it (S-10).
    fn calm(&mut self, at: u32, number: u32, closed: Detector) {
        let Some(open_findings) = self.open_findings.get_mut(at) else {
            return;
        };
        let Some(Entry { profile, .. }) = self.profiles.get_mut(number) else {
            return;
        };
        open_findings.forget_places(closed);
        if closed != Detector::Failures {
            match open_findings.lessons() {
                Some(peaks) => profile.absorb(&peaks),
                // Values that came on probation meanwhile are old enough to be learned by now.
                None => profile.forget_held(),
            }
            if !open_findings.are_of_use() {
                profile.restart_climbs();
                open_findings.end_suspicion();
            }
        }
        if open_findings.closes_at().is_none() {
            profile.set_open_finding(None);
            self.open_findings.remove(at);
        }
    }
}

impl Partition {
    /// Lets the credential belong to the tenant that a verified use names. Cost: one comparison of
    /// texts where that has not changed.
    pub(super) fn follow_tenant(&mut self, number: u32, batch: &Batch, row: &Row) {
        let Some(named) = batch.tenant(row) else { return };
        let Some(Entry { profile, .. }) = self.profiles.get(number) else { return };
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
            self.counters.without_tenant += 1;
            return;
        };
        let Some(Entry { id, profile }) = self.profiles.get_mut(number) else { return };
        let limit = self.params.profile.limits.of(profile.kind(), id, Some(named));
        profile.set_tenant(to);
        profile.set_limit(limit);
        self.tenants.release(from);
        self.tenants.hold(to);
        self.counters.tenant_changed += 1;
    }

    /// Reports tenants of credentials that were forgotten for room.
    pub(super) fn release_evicted(&mut self) {
        for tenant in self.profiles.drain_evicted() {
            self.tenants.release(tenant);
        }
    }

    /// Counts each tenant's credentials, as after a restart.
    pub(super) fn hold_tenants(&mut self) {
        for (identity, _) in self.profiles.identities() {
            self.tenants.hold(identity.tenant);
        }
    }

    /// Counts the mature credentials of each kind, as after an older checkpoint, which lacks them.
    pub(super) fn count_mature(&mut self) {
        let mature_hours = self.params.profile.rate_hours;
        for (identity, _) in self.profiles.identities() {
            self.cohorts.note_mature(identity.kind, identity.hours >= mature_hours);
        }
    }
}
