//! Revocations that wait for people to agree.
//!
//! **Invariants.** One person has one voice. A revocation is ordered only if as many people as the
//! configuration asks for agreed in time; a single no ends it. Whatever comes too late changes
//! nothing.

use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId, Vote};
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::collections::BTreeMap;

/// How many may wait at once; beyond it nobody is asked and the suspension stays one. Chosen: more
/// than people can look at.
const WAITING_MAX: usize = 10_000;

/// For how long whoever comes too late is told so. Unit: milliseconds. Chosen: a day.
const LATE_MS: i64 = 86_400_000;

/// Who has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// How many people have to agree to a revocation; 0: none. Default: 0.
    pub people: u8,
    /// How long they may take. Unit: milliseconds. Default: 1 h.
    pub within_ms: i64,
}

impl Default for Params {
    fn default() -> Self {
        Self { people: 0, within_ms: 3_600_000 }
    }
}

/// Why a vote changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVote {
    /// No decision of that id waits for people.
    #[error("no decision of this id waits for approval: it was settled, or never needed any")]
    NotWaiting,
    /// It waited long enough.
    #[error("this came too late: the time to approve it is over, and it was not carried out")]
    TooLate,
    /// That person has agreed already.
    #[error("you have agreed already; someone else has to, with a token of their own")]
    Already,
}

/// A revocation that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The decision that was lowered to a suspension meanwhile.
    pub decision: Decision,
    /// Until when people may agree.
    pub until: EventTime,
    /// Who has agreed: the account, and the name people read.
    pub agreed: Vec<(CompactString, CompactString)>,
}

/// What a vote came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// More people have to agree; so many.
    Waits(u8),
    /// It was rejected; the suspension ends by itself.
    Rejected,
    /// Enough agreed: the revocation is due.
    Agreed(Box<Waiting>),
}

/// The revocations that wait, by the decision's id.
#[derive(Clone, Debug, Default)]
pub struct Approvals(BTreeMap<DecisionId, Waiting>);

impl Approvals {
    /// Lets a decision wait. Where too many do, only what a person ordered still waits.
    pub fn wait(&mut self, waiting: Waiting, by_person: bool) {
        if by_person || self.0.len() < WAITING_MAX {
            self.0.insert(waiting.decision.id, waiting);
        }
    }

    /// Takes a vote.
    ///
    /// # Errors
    /// Why it changes nothing.
    pub fn vote(&mut self, vote: &Vote, params: Params) -> Result<Outcome, NoVote> {
        let waiting = self.0.get_mut(&vote.decision).ok_or(NoVote::NotWaiting)?;
        if vote.at >= waiting.until {
            return Err(NoVote::TooLate);
        }
        if !vote.agrees {
            self.0.remove(&vote.decision);
            return Ok(Outcome::Rejected);
        }
        if waiting.agreed.iter().any(|(account, _)| *account == vote.account) {
            return Err(NoVote::Already);
        }
        waiting.agreed.push((vote.account.clone(), vote.by.clone()));
        let agreed = u8::try_from(waiting.agreed.len()).unwrap_or(u8::MAX);
        match params.people.saturating_sub(agreed) {
            0 => {
                let waiting = self.0.remove(&vote.decision).ok_or(NoVote::NotWaiting)?;
                Ok(Outcome::Agreed(Box::new(waiting)))
            }
            missing => Ok(Outcome::Waits(missing)),
        }
    }

    /// Forgets what waits about a credential: something else was ordered.
    pub fn drop_of(&mut self, credential: &Credential) {
        self.0.retain(|_, waiting| waiting.decision.credential != *credential);
    }

    /// Forgets what waited for too long, a while after: until then whoever comes hears that they
    /// are late.
    pub fn forget(&mut self, now: EventTime) {
        self.0.retain(|_, waiting| now.ms_since(waiting.until) < LATE_MS);
    }

    /// Whether anything waits about a credential at `now`.
    pub fn waits(&self, credential: &Credential, now: EventTime) -> bool {
        self.0
            .values()
            .any(|waiting| waiting.decision.credential == *credential && now < waiting.until)
    }

    /// How many wait at `now`.
    pub fn count(&self, now: EventTime) -> usize {
        self.0.values().filter(|waiting| now < waiting.until).count()
    }

    /// What still waits at `now`, oldest first.
    pub fn waiting(&self, now: EventTime) -> Vec<Waiting> {
        let mut found: Vec<Waiting> =
            self.0.values().filter(|waiting| now < waiting.until).cloned().collect();
        found.sort_by_key(|waiting| waiting.until);
        found
    }
}
