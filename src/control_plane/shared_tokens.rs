//! Revocations that wait for a token of the revocation limit which all instances share.
//!
//! The control plane never waits for the store that counts for all of them. A revocation takes a
//! token of this instance's own revocation limit and asks for a shared one; the host asks the store and brings
//! the answer back as an input with its time, upon which the finding is judged as of then.
//!
//! **Invariant.** A finding has at most one open request. Requests are bounded by the tokens of this
//! instance's revocation limit, and each ends: by its answer, or after `ANSWER_WAIT_MS` as if it were refused.

use super::policy::revocation_limit::Allowed;
use crate::model::decision::{TokenAnswer, TokenGrant};
use crate::model::finding::FindingId;
use crate::model::signal::Signal;
use crate::model::time::EventTime;
use compact_str::CompactString;

/// How long an answer is waited for. Unit: milliseconds. Chosen: twice the default response time-out
/// of Redis, and well below what a thief can do.
const ANSWER_WAIT_MS: i64 = 1_000;
/// How long a store that did not answer is not asked again; its revocations are refused at once.
/// Unit: milliseconds. Chosen.
const SILENCE_MS: i64 = 1_000;

/// A revocation that asks all instances together for a token of the revocation limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// Whose credential it is.
    pub tenant: Option<CompactString>,
    /// How many are allowed in an hour.
    pub allowed: Allowed,
    /// For which finding: all instances that act on it need one token together.
    pub finding: FindingId,
}

/// A finding whose revocation waits for a token.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) signal: Signal,
    /// Whose token of this instance's revocation limit was taken, and when: the credential may move to another
    /// tenant meanwhile.
    pub(super) tenant: Option<CompactString>,
    /// See `tenant`.
    pub(super) asked: EventTime,
    /// Whether its finding has closed meanwhile.
    pub(super) closed: bool,
}

/// The open requests.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedTokens {
    pending: Vec<Pending>,
    requests: Vec<TokenRequest>,
    silent_until: Option<EventTime>,
}

impl SharedTokens {
    /// Whether the store did not answer recently.
    pub(super) fn is_silent(&self, now: EventTime) -> bool {
        self.silent_until.is_some_and(|until| now < until)
    }

    /// Asks for a token for the finding of `signal`.
    pub(super) fn request(&mut self, signal: &Signal, allowed: Allowed, now: EventTime) {
        let finding = &signal.finding;
        let tenant = finding.tenant.clone();
        let request = TokenRequest { tenant: tenant.clone(), allowed, finding: finding.id };
        self.requests.push(request);
        self.pending.push(Pending { signal: signal.clone(), tenant, asked: now, closed: false });
    }

    /// Returns the pending revocation of a finding.
    pub(super) fn of(&mut self, finding: FindingId) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| pending.signal.finding.id == finding)
    }

    /// Ends the request of the answer; none if it has ended before.
    pub(super) fn end(&mut self, answer: &TokenAnswer) -> Option<Pending> {
        let is_of = |pending: &Pending| pending.signal.finding.id == answer.finding;
        let index = self.pending.iter().position(is_of)?;
        if answer.grant == TokenGrant::Unanswered {
            self.silent_until = Some(answer.at.plus_ms(SILENCE_MS));
        }
        Some(self.pending.remove(index))
    }

    /// Returns the answer "none came" for the first request that has waited for too long.
    pub(super) fn overdue(&self, now: EventTime) -> Option<TokenAnswer> {
        let first = self.pending.first()?;
        let overdue = now.ms_since(first.asked) >= ANSWER_WAIT_MS;
        let finding = first.signal.finding.id;
        overdue.then_some(TokenAnswer { finding, grant: TokenGrant::Unanswered, at: now })
    }

    /// When the first request has waited for too long.
    pub(super) fn next_deadline(&self) -> Option<EventTime> {
        self.pending.first().map(|first| first.asked.plus_ms(ANSWER_WAIT_MS))
    }

    /// Whether the request of a finding is open.
    pub(super) fn is_pending(&self, finding: FindingId) -> bool {
        self.pending.iter().any(|pending| pending.signal.finding.id == finding)
    }

    /// Takes the requests that the host has to send.
    pub(super) fn take_requests(&mut self) -> Vec<TokenRequest> {
        std::mem::take(&mut self.requests)
    }
}
