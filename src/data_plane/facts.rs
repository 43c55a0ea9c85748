//! From an event, or from what others know, to findings that state a fact: a leak, a canary, a use that
//! isn't valid, a grant or a session of which someone has a copy.

use super::batch::{Batch, Row};
use super::feature_extraction::network_hash;
use super::lifetimes::audit::LifetimeAudit;
use super::lifetimes::lifetime_use::LifetimeUse;
use super::markers::MarkerTable;
use super::partition::{Before, Partition};
use super::sightings::Sighting;
use crate::data_plane::profile_entry::Entry;
use crate::detect::detection::{Detection, Observation};
use crate::detect::reuse::{Client, Grant, Refresh, Reuse};
use crate::detect::session::{self, Place};
use crate::detect::validity;
use crate::detect::witness::{Leaked, Presented};
use crate::model::credential::{Credential, Kind};
use crate::model::event::{Outcome, Reason};
use crate::model::features::Aspect;
use crate::model::finding::{Action, Detector};
use crate::model::proof::{Family, Leak, Mark};
use crate::model::signal::LateUse;
use crate::model::time::EventTime;
use compact_str::CompactString;

/// The most late uses that one batch reports.
const LATE_USES_MAX: usize = 1024;
/// The most sightings that are given.
const SIGHTINGS_MAX: usize = 1000;

impl Partition {
    /// States what a verified use of the credential of that number proves. Cost: a few comparisons for one
    /// that proves nothing.
    pub(super) fn state_facts(&mut self, number: u32, batch: &Batch, row: &Row, before: Before) {
        let is_invalid = self.state_validity(number, batch, row);
        if is_invalid || !before.was_used || row.claims.reason.is_some() {
            self.audit_lifetime(batch, row);
        }
        if self.params.profile.session.kinds.has(row.kind) {
            self.state_session(number, row, before);
        }
        if !row.claims.family.is_none() {
            self.state_reuse(number, row, before);
        }
        if let Some(marker) = self.markers.get(row.hash) {
            let leak = marker.leak.as_deref().cloned();
            let is_canary = marker.is_canary;
            // What is read again after a restart may be older than what is known by now.
            let is_of_mark = !self.again || row.time >= marker.since;
            let is_use = row.outcome != Outcome::Rejected || !self.is_refused_by_order(row);
            if let Some(leak) = leak.filter(|_| is_use && is_of_mark) {
                self.state_leak(number, leak, !before.was_used, row.time);
            }
            if is_canary && is_of_mark {
                self.state_canary(number, row);
            }
        }
    }

    /// Whether a refused request was refused as the credential is out of service, or has ended: no one
    /// guesses.
    pub(super) fn is_refused_by_order(&self, row: &Row) -> bool {
        let by_reason = matches!(row.claims.reason, Some(Reason::Revoked | Reason::Expired));
        row.verified && by_reason || self.markers.get(row.hash).is_some_and(|it| it.ended.is_some())
    }

    /// Whether the credential of a row is a canary.
    pub(super) fn is_canary(&self, row: &Row) -> bool {
        let marker = self.markers.get(row.hash);
        marker.is_some_and(|marker| marker.is_canary && (!self.again || row.time >= marker.since))
    }

    /// States that a canary was presented, and from where.
    #[cold]
    pub(super) fn state_canary(&mut self, number: u32, row: &Row) {
        let accepted = row.outcome == Outcome::Accepted;
        let place = row.address.map(|address| CompactString::from(address.to_string()));
        let seen = (Action::Alert, Observation::Canary(Presented { accepted }));
        self.state(number, seen, place, row.time);
    }

    #[cold]
    fn audit_lifetime(&mut self, batch: &Batch, row: &Row) {
        let ended = self.markers.get(row.hash).and_then(|marker| marker.ended);
        if ended.is_some() {
            self.lifetimes.set_out_of_service(row.hash, ended);
        }
        self.lifetimes.record(&LifetimeUse {
            time: row.time,
            kind: row.kind,
            credential: row.hash,
            issuer: batch.issuer(row),
            gateway: batch.gateway(row),
            issued: row.claims.issued,
            expires: row.claims.expires,
            outcome: row.outcome,
            verified: row.verified,
            reason: row.claims.reason,
        });
    }

    /// First uses of credentials since the start, and those outside their life.
    pub const fn lifetimes(&self) -> &LifetimeAudit {
        &self.lifetimes
    }

    /// Says whether a use isn't valid.
    fn state_validity(&mut self, number: u32, batch: &Batch, row: &Row) -> bool {
        let ended = self.markers.get(row.hash).and_then(|marker| marker.ended);
        if let Some(ended) = ended.filter(|_| row.outcome == Outcome::Accepted) {
            self.count_late_use(batch, row, ended);
        }
        let params = &self.params.profile.validity;
        // A clock that is ahead makes no use late.
        let time = row.time.min(self.arrived);
        let found = validity::evaluate((time, row.outcome), &row.claims, ended, params);
        if let Some((action, seen)) = found {
            let gateway = batch.gateway(row).map(CompactString::from);
            self.state(number, (action, Observation::Validity(seen)), gateway, row.time);
        }
        found.is_some()
    }

    #[cold]
    fn count_late_use(&mut self, batch: &Batch, row: &Row, ended: EventTime) {
        let lag_ms = row.time.min(self.arrived).ms_since(ended);
        if lag_ms > 0 && self.late_uses.len() < LATE_USES_MAX {
            let gateway = CompactString::from(batch.gateway(row).unwrap_or(LateUse::UNKNOWN));
            self.late_uses.push(LateUse { gateway, lag_ms });
        }
    }

    fn state_session(&mut self, number: u32, row: &Row, before: Before) {
        if row.outcome != Outcome::Accepted {
            return;
        }
        let second = row.time.second();
        let params = &self.params.profile.session;
        let [network, _, agent, _] = row.facts.values;
        let is_shared = self.shared_networks.contains(&network);
        let Some(Entry { profile, .. }) = self.profiles.get_mut(number) else { return };
        let issued = row.claims.issued.map(EventTime::second);
        let since = issued.unwrap_or(profile.identity().first_seen);
        let idle_s = second.saturating_sub(before.last_second);
        let aged = session::evaluate_age(idle_s, second.saturating_sub(since), params);
        let place = Place::new(row.claims.country, agent, network);
        let moved =
            if is_shared { None } else { profile.trace_mut().record(place, second, params) };
        for (action, odd) in [aged, moved].into_iter().flatten() {
            self.state(number, (action, Observation::Session(odd)), None, row.time);
        }
    }

    /// Remembers a refresh token that was handed out, so that it ends with its grant though it was never
    /// used. It is no use: nothing is counted or learned.
    #[cold]
    pub(super) fn record_issue(&mut self, number: u32, row: &Row, is_new: bool) {
        if let Some(Entry { profile, .. }) = self.profiles.get_mut(number).filter(|_| is_new) {
            profile.set_unused();
        }
        if self.is_of_live_grant(number, row) {
            self.grants.entry(row.claims.family).set_issued(row.hash);
        }
    }

    /// Whether the grant of a token goes on; a token of one that was ended is a finding.
    fn is_of_live_grant(&mut self, number: u32, row: &Row) -> bool {
        let ended = self.grants.get(row.claims.family).and_then(Grant::ended);
        let Some(ended) = ended else { return true };
        // So that a person who restores this token finds its grant.
        self.grants.entry(row.claims.family).add_access(row.hash);
        if row.outcome == Outcome::Accepted {
            let reuse = Reuse::Ended(row.time.ms_since(ended).max(0) as f64 / 1000.0);
            let action = self.params.profile.reuse.action;
            self.state(number, (action, Observation::Reuse(reuse)), None, row.time);
        }
        false
    }

    fn state_reuse(&mut self, number: u32, row: &Row, before: Before) {
        let (family, time) = (row.claims.family, row.time);
        if !self.is_of_live_grant(number, row) {
            return;
        }
        if row.kind != Kind::RefreshToken {
            self.grants.entry(family).add_access(row.hash);
            return;
        }
        let refresh = Refresh {
            hash: row.hash,
            time,
            by: Client::of(&row.facts),
            outcome: row.outcome,
            reason: row.claims.reason,
            used_at: before.was_used.then_some(before.last_second),
        };
        let found = self.grants.entry(family).record(&refresh, &self.params.profile.reuse);
        let Some((action, reuse)) = found else { return };
        let seen = (action, Observation::Reuse(reuse));
        if action.is_enforced() && !self.params.profile.disabled.has(Detector::Reuse) {
            self.end_grant(family, number, seen, time);
        } else {
            self.state(number, seen, None, time);
        }
    }

    /// Ends a grant: the tokens of it that are remembered, the one that is still good first and the one that
    /// was presented last.
    #[cold]
    fn end_grant(
        &mut self,
        family: Family,
        presented: u32,
        seen: (Action, Observation),
        time: EventTime,
    ) {
        let grant = self.grants.entry(family);
        grant.end(time);
        let tokens: Vec<u64> = grant.tokens().collect();
        for hash in tokens {
            let params = &self.params.profile;
            let found = self.profiles.number_of(hash).filter(|number| *number != presented);
            let warm = found.and_then(|number| self.profiles.warm(number, time.second(), params));
            if let Some(number) = warm {
                self.state(number, seen, None, time);
            }
        }
        self.state(presented, seen, None, time);
        self.release_evicted();
    }

    fn state_leak(&mut self, number: u32, leak: Leak, before_use: bool, time: EventTime) {
        let Leak { place, is_proof } = leak;
        let action = if is_proof { Action::Revoke } else { Action::Alert };
        let seen = (action, Observation::Leak(Leaked { is_proof, before_use }));
        self.state(number, seen, Some(place), time);
    }

    /// Takes a mark at `now`.
    pub(super) fn mark(&mut self, credential: &Credential, mark: Mark, now: EventTime) {
        let (kind, id) = (credential.kind(), credential.id());
        let hash = self.seed.hash(kind, id);
        let found = self.profiles.find(hash, kind, id);
        (self.now, self.again) = (self.now.max(now), false);
        let by_person = mark == Mark::InService { by_person: true };
        if by_person {
            self.grants.restore(hash);
        }
        let leak = if let Mark::Leaked(leak) = &mark { Some(leak.clone()) } else { None };
        if matches!(mark, Mark::InService { .. }) {
            self.lifetimes.set_out_of_service(hash, None);
        }
        self.markers.set(hash, mark, now);
        let params = &self.params.profile;
        let warm = found.and_then(|number| self.profiles.warm(number, now.second(), params));
        self.release_evicted();
        if let Some(number) = warm.filter(|_| by_person) {
            self.close_facts(number, now);
        }
        if let Some((leak, number)) = leak.zip(warm) {
            self.state_leak(number, leak, false, now);
        }
    }

    /// Closes the findings that state facts, as a person has put the credential back into service.
    fn close_facts(&mut self, number: u32, now: EventTime) {
        for detector in Detector::ALL.into_iter().filter(|detector| detector.is_proof()) {
            let at = self.profiles.get(number).and_then(|entry| entry.profile.open_finding());
            let Some((at, open)) = at.and_then(|at| Some((at, self.open_findings.get_mut(at)?)))
            else {
                return;
            };
            if let Some(open_finding) = open.take(detector) {
                self.close(number, at, open_finding.ended_at(now));
            }
        }
    }

    /// Takes all markers, as after a restart, whose findings were stated before.
    pub fn set_markers(&mut self, markers: MarkerTable) {
        self.markers = markers;
    }

    /// Credentials that were seen lately from the network of that address, and when last.
    pub fn seen_from(&self, address: std::net::IpAddr) -> Vec<(Credential, EventTime)> {
        let network = network_hash(address, self.seed.features());
        let mut newest = hashbrown::HashMap::new();
        for Sighting { hash, second, .. } in self.sightings.from(network) {
            let last = newest.entry(*hash).or_insert(*second);
            *last = (*last).max(*second);
        }
        let mut seen: Vec<_> = newest.into_iter().collect();
        seen.sort_unstable_by_key(|(hash, second)| (std::cmp::Reverse(*second), *hash));
        seen.truncate(SIGHTINGS_MAX);
        let named = seen.into_iter().filter_map(|(hash, second)| {
            let (kind, id) = self.profiles.name_of(hash)?;
            Some((Credential::new(kind, id).ok()?, EventTime::from_s(i64::from(second))))
        });
        named.collect()
    }

    /// Brings a fact to the credential's findings, and where it was seen.
    #[cold]
    fn state(
        &mut self,
        number: u32,
        seen: (Action, Observation),
        place: Option<CompactString>,
        time: EventTime,
    ) {
        let detection = Detection::new(seen);
        if self.params.profile.disabled.has(detection.detector()) {
            return;
        }
        let at = self.open_findings_of(number);
        let open = at.and_then(|at| self.open_findings.get_mut(at));
        let news = open.zip(place).map(|(open, at)| open.add_place(detection.detector(), at));
        self.on_detection(number, detection, time, news.unwrap_or(false));
    }

    /// The hashes of networks where one user appears at many places.
    pub(super) fn hash_shared_networks(&mut self) {
        let asns = &self.params.profile.session.shared_asns;
        let seed = self.seed.features();
        let hash = |asn: &u32| super::feature_extraction::asn_hash(*asn, seed);
        self.shared_networks = asns.iter().map(hash).collect();
    }
}

const _: () = assert!(Aspect::Network as usize == 0 && Aspect::Agent as usize == 2);
