//! Revocations that wait for people to agree.
//!
//! **Invariants.** One secret has one voice, and only one that may operate now. A revocation is ordered
//! only if as many voices as were asked for when it began to wait agreed in time; a single no ends it. Later
//! settings change neither the number nor the time of what waits, but for one that asks for no approval any
//! more: then nothing waits. A vote that comes too late changes nothing.

use crate::model::credential::Credential;
use crate::model::decision::{ApprovalTerms, Decision, DecisionId, Vote};
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::collections::{BTreeMap, VecDeque};

/// How many may wait at once; beyond it no one is asked and the suspension stays one. Chosen: more
/// than people can look at.
const WAITING_MAX: usize = 10_000;

/// How many votes are kept that came before the decision that they are on. Chosen.
const EARLY_MAX: usize = 1_000;

/// For how long a late vote is answered as late. Unit: milliseconds. Chosen: a day.
const LATE_MS: i64 = 86_400_000;

/// The people who have to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// How many people have to agree to a revocation; 0: none. Default: 0.
    pub required_approvers: u8,
    /// How long they may take. Unit: milliseconds. Default: 1 h.
    pub timeout_ms: i64,
}

impl Default for Params {
    fn default() -> Self {
        Self { required_approvers: 0, timeout_ms: 3_600_000 }
    }
}

/// How the account of a token begins; the fingerprint of its secret follows.
pub const TOKEN: &str = "token:";
/// How the account of a user of this machine begins.
const USER: &str = "uid:";

/// The tokens that may operate now: the account of each secret, by the token's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators(BTreeMap<CompactString, CompactString>);

impl FromIterator<(CompactString, CompactString)> for Operators {
    fn from_iter<I: IntoIterator<Item = (CompactString, CompactString)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Operators {
    /// Returns whose voice an account has; none if it may not operate now. Older journals hold the names
    /// of tokens.
    fn voice<'a>(&'a self, account: &'a str) -> Option<&'a str> {
        if account.starts_with(USER) {
            return Some(account);
        }
        if account.starts_with(TOKEN) {
            return self.0.values().find(|secret| *secret == account).map(CompactString::as_str);
        }
        self.0.get(account).map(CompactString::as_str)
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
    #[error(
        "it is a pending approval, and you have agreed already: someone else has to, with a token of \
         their own"
    )]
    Already,
}

/// A revocation that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingApproval {
    /// The decision that was lowered to a suspension meanwhile.
    pub decision: Decision,
    /// How many people have to agree.
    pub people: u8,
    /// Until when they may.
    pub until: EventTime,
    /// The people who have agreed: the account, and the name people read.
    pub agreed: Vec<(CompactString, CompactString)>,
    /// The newest voice that was given at this instance: when, and by which account.
    pub newest_here: Option<(EventTime, CompactString)>,
}

impl PendingApproval {
    /// Leaves only those who may operate now, one of each secret.
    fn keep_voices(&mut self, operators: Option<&Operators>) {
        let Some(operators) = operators else { return };
        let mut heard: Vec<String> = Vec::new();
        self.agreed.retain(|(account, _)| match operators.voice(account) {
            Some(voice) if heard.iter().any(|one| one == voice) => false,
            Some(voice) => {
                heard.push(voice.to_owned());
                true
            }
            None => false,
        });
    }

    /// How many more people have to agree.
    pub fn missing(&self) -> u8 {
        self.people.saturating_sub(u8::try_from(self.agreed.len()).unwrap_or(u8::MAX))
    }
}

/// The result of a vote.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// More people have to agree; so many.
    Waits(u8),
    /// It was rejected; the suspension ends by itself.
    Rejected,
    /// Enough agreed: the revocation is due.
    Agreed(Box<PendingApproval>),
}

/// The revocations that wait, by the decision's id.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    waiting: BTreeMap<DecisionId, PendingApproval>,
    /// Votes of other instances that came before the decision that they are on.
    early: VecDeque<Vote>,
}

impl Approvals {
    /// Lets a decision wait. Where too many do, only what a person ordered still waits.
    pub fn wait(&mut self, waiting: PendingApproval, by_person: bool) {
        if by_person || self.waiting.len() < WAITING_MAX {
            let id = waiting.decision.id;
            self.waiting.insert(id, waiting);
            let (now, later) = std::mem::take(&mut self.early)
                .into_iter()
                .partition::<VecDeque<_>, _>(|vote| vote.decision == id);
            self.early = later;
            for vote in now {
                self.recover(&vote);
            }
        }
    }

    /// Takes a vote that was given at another instance. Returns the revocation if enough agreed with it and the
    /// newest voice was given here: of all instances one orders it. One that comes before the decision that it
    /// is on is kept for that.
    ///
    /// # Errors
    /// Why it changes nothing, or not yet.
    pub fn on_followed(
        &mut self,
        vote: &Vote,
        operators: Option<&Operators>,
    ) -> Result<Option<Box<PendingApproval>>, NoVote> {
        let voted = (vote.at, vote.account.clone());
        match self.count(vote, operators) {
            Ok(Outcome::Agreed(waiting)) => {
                Ok(Some(waiting).filter(|it| it.newest_here.as_ref().is_some_and(|at| *at > voted)))
            }
            Ok(Outcome::Waits(_) | Outcome::Rejected) => Ok(None),
            Err(NoVote::NotWaiting) => {
                self.early.truncate(EARLY_MAX - 1);
                self.early.push_front(vote.clone());
                Err(NoVote::NotWaiting)
            }
            Err(no_vote) => Err(no_vote),
        }
    }

    /// Takes a vote of an account that may operate. `operators`: the tokens that may; none: it is not known,
    /// and every account has a voice.
    ///
    /// # Errors
    /// Why it changes nothing.
    pub fn vote(&mut self, vote: &Vote, operators: Option<&Operators>) -> Result<Outcome, NoVote> {
        let outcome = self.count(vote, operators)?;
        if let Some(waiting) = self.waiting.get_mut(&vote.decision) {
            let here = Some((vote.at, vote.account.clone()));
            waiting.newest_here = waiting.newest_here.take().max(here);
        }
        Ok(outcome)
    }

    fn count(&mut self, vote: &Vote, operators: Option<&Operators>) -> Result<Outcome, NoVote> {
        let waiting = self.waiting.get_mut(&vote.decision).ok_or(NoVote::NotWaiting)?;
        if vote.at >= waiting.until {
            return Err(NoVote::TooLate);
        }
        if !vote.agrees {
            self.waiting.remove(&vote.decision);
            return Ok(Outcome::Rejected);
        }
        let voice = |account: &CompactString| match operators {
            Some(operators) => operators.voice(account).map(str::to_owned),
            None => Some(account.to_string()),
        };
        let own = voice(&vote.account).unwrap_or_else(|| vote.account.to_string());
        if waiting.agreed.iter().any(|(account, _)| voice(account).as_ref() == Some(&own)) {
            return Err(NoVote::Already);
        }
        waiting.agreed.push((vote.account.clone(), vote.by.clone()));
        let mut counted = waiting.clone();
        counted.keep_voices(operators);
        match counted.missing() {
            0 => {
                self.waiting.remove(&vote.decision);
                Ok(Outcome::Agreed(Box::new(counted)))
            }
            missing => Ok(Outcome::Waits(missing)),
        }
    }

    /// Takes back a vote of the journal. The outcome of it is there too, so it ends nothing by
    /// itself but where it was a no.
    pub fn recover(&mut self, vote: &Vote) {
        if !vote.agrees {
            self.waiting.remove(&vote.decision);
        } else if let Some(waiting) = self.waiting.get_mut(&vote.decision)
            && vote.at < waiting.until
        {
            waiting.agreed.push((vote.account.clone(), vote.by.clone()));
        }
    }

    /// Takes back the settings under which a decision of the journal began to wait.
    pub fn set_terms(&mut self, terms: &ApprovalTerms) {
        if let Some(waiting) = self.waiting.get_mut(&terms.decision) {
            (waiting.people, waiting.until) = (terms.people, terms.until);
        }
    }

    /// Returns the settings under which a decision waits; none if it does not.
    pub fn terms(&self, decision: DecisionId) -> Option<ApprovalTerms> {
        let waiting = self.waiting.get(&decision)?;
        Some(ApprovalTerms { decision, people: waiting.people, until: waiting.until })
    }

    /// Lets nothing wait any more: no approval is asked for.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// A decision that may wait is made again under another id: its voices stay.
    pub fn on_made_again(&mut self, before: DecisionId, decision: &Decision) {
        if let Some(waiting) = self.waiting.remove(&before) {
            let waiting = PendingApproval { decision: decision.clone(), ..waiting };
            self.waiting.insert(decision.id, waiting);
        }
    }

    /// Forgets what waits about a credential: something else was ordered.
    pub fn drop_of(&mut self, credential: &Credential) {
        self.waiting.retain(|_, waiting| waiting.decision.credential != *credential);
    }

    /// Forgets what waited for too long, a while after: until then a voter hears that they
    /// are late.
    pub fn forget(&mut self, now: EventTime) {
        self.waiting.retain(|_, waiting| now.ms_since(waiting.until) < LATE_MS);
    }

    /// Returns the decision that waits about a credential at `now`.
    pub fn of(&self, credential: &Credential, now: EventTime) -> Option<DecisionId> {
        let waits = |waiting: &&PendingApproval| {
            waiting.decision.credential == *credential && now < waiting.until
        };
        self.waiting.values().find(waits).map(|waiting| waiting.decision.id)
    }

    /// How many wait at `now`.
    pub fn len_at(&self, now: EventTime) -> usize {
        self.waiting.values().filter(|waiting| now < waiting.until).count()
    }

    /// Returns what still waits at `now`, oldest first, with the voices that count.
    pub fn waiting(&self, now: EventTime, operators: Option<&Operators>) -> Vec<PendingApproval> {
        let mut found: Vec<PendingApproval> =
            self.waiting.values().filter(|waiting| now < waiting.until).cloned().collect();
        for waiting in &mut found {
            waiting.keep_voices(operators);
        }
        found.sort_by_key(|waiting| waiting.until);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Approvals, LATE_MS, NoVote, Operators, Outcome, PendingApproval, WAITING_MAX};
    use crate::model::credential::Credential;
    use crate::model::decision::{
        ApprovalTerms, Decision, DecisionId, Generation, Mode, Order, Safeguard, Vote,
    };
    use crate::model::finding::Action;
    use crate::model::time::EventTime;

    fn at(ms: i64) -> EventTime {
        EventTime::from_ms(ms)
    }

    fn decision() -> Decision {
        let credential = Credential::parse("k").expect("valid");
        let order = Order::Act(Action::Suspend);
        Decision {
            id: DecisionId::of(&credential, Generation(1), at(0), (None, order)),
            finding: None,
            credential,
            tenant: None,
            generation: Generation(1),
            base: Generation(0),
            origin: None,
            wanted: Action::Revoke,
            order,
            mode: Mode::Revoke,
            carried_out: true,
            held_by: vec![Safeguard::Approval],
            until: None,
            at: at(0),
            expires: None,
            by: "tripline".into(),
            reason: String::new(),
            evidence: Vec::new(),
        }
    }

    fn waiting(people: u8) -> (Approvals, DecisionId) {
        let (mut approvals, decision) = (Approvals::default(), decision());
        let id = decision.id;
        approvals.wait(
            PendingApproval {
                decision,
                people,
                until: at(1_000),
                agreed: vec![],
                newest_here: None,
            },
            false,
        );
        (approvals, id)
    }

    fn vote(decision: DecisionId, account: &str) -> Vote {
        let (by, reason) = (account.into(), "leaked".to_owned());
        Vote { decision, agrees: true, account: account.into(), by, reason, at: at(10) }
    }

    fn operators(known: &[(&str, &str)]) -> Operators {
        known.iter().map(|(name, account)| ((*name).into(), (*account).into())).collect()
    }

    #[test]
    fn a_vote_of_the_journal_counts_until_the_waiting_ends_as_it_did_then() {
        let votes = |ms| {
            let (mut approvals, id) = waiting(2);
            approvals.recover(&Vote { at: at(ms), ..vote(id, "ada") });
            approvals.waiting[&id].missing()
        };
        assert_eq!([999, 1_000].map(votes), [1, 2]);
    }

    #[test]
    fn what_waited_is_forgotten_a_while_after_its_end() {
        let left = |ms| {
            let (mut approvals, _) = waiting(2);
            approvals.forget(at(ms));
            approvals.waiting.len()
        };
        assert_eq!([999 + LATE_MS, 1_000 + LATE_MS].map(left), [1, 0]);
    }

    #[test]
    fn only_an_operators_order_waits_beyond_the_bound() {
        let mut approvals = Approvals::default();
        let mut wait = |generation: u64, by_person| {
            let mut decision = decision();
            decision.id = DecisionId::of(
                &decision.credential,
                Generation(generation),
                at(0),
                (None, decision.order),
            );
            let (people, until) = (1, at(1_000));
            let pending =
                PendingApproval { decision, people, until, agreed: vec![], newest_here: None };
            approvals.wait(pending, by_person);
            approvals.waiting.len()
        };
        for generation in 1..=WAITING_MAX {
            wait(generation as u64, false);
        }
        assert_eq!(wait(1_000_000, false), WAITING_MAX);
        assert_eq!(wait(1_000_001, true), WAITING_MAX + 1);
    }

    #[test]
    fn the_name_of_an_older_journal_is_the_voice_of_the_secret_that_has_it_now() {
        let (mut approvals, id) = waiting(2);
        approvals.recover(&vote(id, "ada"));
        let known = operators(&[("ada", "token:fp_1"), ("bob", "token:fp_2")]);
        let again = approvals.vote(&vote(id, "token:fp_1"), Some(&known));
        assert_eq!(again, Err(NoVote::Already));
        let other = approvals.vote(&vote(id, "token:fp_2"), Some(&known));
        assert!(matches!(other, Ok(Outcome::Agreed(_))), "{other:?}");
    }

    #[test]
    fn two_names_of_one_secret_are_one_voice() {
        let (mut approvals, id) = waiting(2);
        let known = operators(&[("ada", "token:fp_1"), ("adele", "token:fp_1")]);
        approvals.recover(&vote(id, "ada"));
        approvals.recover(&vote(id, "adele"));
        let shown = approvals.waiting(at(20), Some(&known));
        assert_eq!((shown[0].agreed.len(), shown[0].missing()), (1, 1));
    }

    #[test]
    fn who_lost_the_right_counts_no_more_and_again_once_it_is_back() {
        let (mut approvals, id) = waiting(3);
        let all = operators(&[("ada", "token:fp_1"), ("bob", "token:fp_2")]);
        let some = operators(&[("bob", "token:fp_2")]);
        assert_eq!(approvals.vote(&vote(id, "token:fp_1"), Some(&all)), Ok(Outcome::Waits(2)));
        assert_eq!(approvals.vote(&vote(id, "token:fp_2"), Some(&some)), Ok(Outcome::Waits(2)));
        let last = approvals.vote(&vote(id, "uid:0"), Some(&all));
        assert!(matches!(last, Ok(Outcome::Agreed(waiting)) if waiting.agreed.len() == 3));
    }

    #[test]
    fn a_journal_restores_terms_and_voices_and_ends_nothing_by_itself() {
        let (mut approvals, id) = waiting(1);
        let terms = ApprovalTerms { decision: id, people: 2, until: at(50) };
        approvals.set_terms(&terms);
        assert_eq!(approvals.terms(id), Some(terms));
        approvals.recover(&vote(id, "uid:1"));
        approvals.recover(&vote(id, "uid:2"));
        assert_eq!(approvals.len_at(at(20)), 1, "what came of it follows in the journal");
        approvals.recover(&Vote { agrees: false, ..vote(id, "uid:3") });
        assert_eq!(approvals.len_at(at(20)), 0);
    }
}
