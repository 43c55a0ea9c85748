//! `reuse`: a refresh token that was used up comes back, so one of two who hold the grant is a thief.
//!
//! ```text
//!  grant   R1 ──▶ R2 ──▶ R3          each refresh token is used once, for the next one
//!               ╰─ R1 again          after R2 was used: the grant is ended, all its tokens with it
//! ```
//! Source: RFC 9700, 4.14.2. Honest clients repeat themselves, so these are no reuse: the same client
//! within the grace (two tabs, a race of retries), and the same client while the successor was never used
//! (the response was lost). The same client: no other agent, and not another network in another country. One who
//! holds an *old* token could otherwise end a live grant by showing it; that is why an operator can let
//! it alert only.
//!
//! The live token was handed out and, as a rule, not used yet when an older one comes back. Servers that say
//! what they hand out (reason `issued`, which is no use) let it end with its grant; of others it is known at its
//! first use alone, and ends then.
//!
//! A grant whose tokens never changed says nothing of this: its server doesn't rotate them. A server's
//! refusal with the reason `reused` says so itself.
//!
//! Cost: one look-up by event of a refresh token.

use super::evidence::{CERTAIN_NATS, Evidence, grouped};
use crate::model::event::{Outcome, Reason};
use crate::model::features::{Aspect, Facts};
use crate::model::finding::{Action, Measure};
use crate::model::time::EventTime;
use crate::stats::codec::{Codec, Input};

/// Parameters of a reuse.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// How long the same client may repeat itself. Unit: milliseconds. Default: 30,000.
    pub grace_ms: i64,
    /// The action that a reuse justifies, of each token of the grant. Default: revoke.
    pub action: Action,
}

impl Default for Params {
    fn default() -> Self {
        Self { grace_ms: 30_000, action: Action::Revoke }
    }
}

/// Who used a token, by hashes; 0: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    agent: u32,
    network: u32,
    country: u32,
}

impl Client {
    /// The client of an event.
    pub fn of(facts: &Facts) -> Self {
        let of = |aspect: Aspect| facts.values.get(aspect as usize).copied().unwrap_or(0);
        Self {
            agent: of(Aspect::Agent),
            network: of(Aspect::Network),
            country: of(Aspect::Country),
        }
    }

    fn is_same(self, other: Self) -> bool {
        let differs = |one: u32, other: u32| one != other && one != 0 && other != 0;
        // Without a country, another network is no other place: phones change networks.
        let elsewhere =
            differs(self.network, other.network) && differs(self.country, other.country);
        !differs(self.agent, other.agent) && !elsewhere
    }
}

/// One token of a grant, as last used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Token {
    /// The hash of the credential; 0: none.
    hash: u64,
    at: EventTime,
    by: Client,
}

/// So many access tokens of a grant are remembered: those that end with it at once. Others end at their next
/// use. Chosen: more than are alive where each lives for an hour.
const ACCESS_MAX: usize = 8;

/// The grant of one family. Shape: 160 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    newest: Token,
    before: Token,
    /// The hash of the refresh token that was handed out last; 0: none.
    issued: u64,
    /// The newest access tokens by their hashes, in a ring; 0: none.
    access: [u64; ACCESS_MAX],
    next: u8,
    /// When it was ended.
    ended: Option<EventTime>,
}

/// A use of a refresh token.
#[derive(Clone, Copy, Debug)]
pub struct Refresh {
    /// The hash of the token as a credential.
    pub hash: u64,
    /// When.
    pub time: EventTime,
    /// By whom.
    pub by: Client,
    /// The server's answer; the caller was verified.
    pub outcome: Outcome,
    /// The server's reason.
    pub reason: Option<Reason>,
    /// When the token was last used before, where that is known. Unit: seconds since 1970.
    pub used_at: Option<u32>,
}

/// A token of a grant that is no longer good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reuse {
    /// It was used up before. Since the use before, where that is known. Unit: seconds.
    UsedUp(Option<f64>),
    /// Its grant was ended so long before. Unit: seconds.
    Ended(f64),
}

impl Grant {
    /// When it was ended.
    pub const fn ended(&self) -> Option<EventTime> {
        self.ended
    }

    /// Takes it that a refresh token was handed out.
    pub const fn set_issued(&mut self, hash: u64) {
        self.issued = hash;
    }

    /// Takes a use of an access token that belongs to it.
    pub fn add_access(&mut self, hash: u64) {
        if self.access.contains(&hash) {
            return;
        }
        let place = usize::from(self.next) % ACCESS_MAX;
        if let Some(slot) = self.access.get_mut(place) {
            *slot = hash;
        }
        self.next = self.next.wrapping_add(1);
    }

    /// The tokens that are remembered, each once, by their hashes: the refresh token that is good, the last two
    /// that were used, the access tokens, the newest first. Older refresh tokens are used up.
    pub fn tokens(&self) -> impl Iterator<Item = u64> {
        let issued = if self.issued == self.newest.hash { 0 } else { self.issued };
        let refresh = [issued, self.newest.hash, self.before.hash];
        let (newer, older) = self.access.split_at(usize::from(self.next) % ACCESS_MAX);
        let access = newer.iter().rev().chain(older.iter().rev()).copied();
        refresh.into_iter().chain(access).filter(|hash| *hash != 0)
    }

    /// Ends it.
    pub fn end(&mut self, at: EventTime) {
        self.ended.get_or_insert(at);
    }

    /// Takes back that it was ended, as a person restored one of its tokens.
    pub const fn restore(&mut self) {
        self.ended = None;
    }

    /// Takes a use; gives the reuse that it proves. Whether the grant is to be ended, the caller decides by
    /// the action.
    pub fn record(&mut self, refresh: &Refresh, params: &Params) -> Option<(Action, Reuse)> {
        let Refresh { hash, time, by, outcome, reason, used_at } = *refresh;
        let says_reused = outcome == Outcome::Rejected && reason == Some(Reason::Reused);
        if !says_reused && outcome != Outcome::Accepted {
            return None;
        }
        let rotates = self.before.hash != 0;
        let seen = [self.newest, self.before].into_iter().find(|token| token.hash == hash);
        let Some(seen) = seen else {
            if used_at.is_none() && !says_reused {
                (self.before, self.newest) = (self.newest, Token { hash, at: time, by });
                return None;
            }
            // Two tokens back or more, or a server that knows more than we do. One that is no newer than its
            // last use was delivered again.
            let apart_s = used_at.map(|used_at| i64::from(time.second()) - i64::from(used_at));
            let is_repeated = apart_s.is_some_and(|apart_s| {
                apart_s <= 0 || apart_s * 1000 <= params.grace_ms && by.is_same(self.newest.by)
            });
            if is_repeated {
                return None;
            }
            let is_old = used_at.is_some() && rotates;
            let action = if is_old { params.action } else { params.action.min(Action::Alert) };
            return (is_old || says_reused).then_some((action, Reuse::UsedUp(None)));
        };
        if !rotates && !says_reused {
            return None;
        }
        let apart_ms = time.ms_since(seen.at).abs();
        let repeats = apart_ms <= params.grace_ms || hash == self.newest.hash;
        if repeats && by.is_same(seen.by) {
            return None;
        }
        Some((params.action, Reuse::UsedUp(Some(apart_ms as f64 / 1000.0))))
    }
}

impl Evidence for Reuse {
    fn strength(&self) -> f64 {
        match self {
            Self::UsedUp(apart_s) => apart_s.unwrap_or(0.0),
            Self::Ended(ago_s) => *ago_s,
        }
    }

    fn evidence_nats(&self) -> f64 {
        CERTAIN_NATS
    }

    fn summary(&self) -> String {
        match self {
            Self::UsedUp(Some(apart_s)) => {
                let after = if *apart_s < 1.0 {
                    "within a second of its use".to_owned()
                } else {
                    format!("{} s after its use", grouped(*apart_s))
                };
                format!(
                    "belongs to a grant of which a used-up refresh token came back {after}, from another \
                     client or too late for a repeated request"
                )
            }
            Self::UsedUp(None) => {
                "belongs to a grant of which a refresh token came back that was used up before"
                    .to_owned()
            }
            Self::Ended(ago_s) => format!(
                "belongs to a grant that was ended {} s before, as a used-up refresh token came back",
                grouped(*ago_s)
            ),
        }
    }

    fn measures(&self) -> Vec<Measure> {
        match self {
            Self::UsedUp(Some(apart_s)) => vec![Measure::new("apart_s", *apart_s)],
            Self::UsedUp(None) => vec![Measure::new("used_up", 1.0)],
            Self::Ended(ago_s) => vec![Measure::new("grant_ended_s", *ago_s)],
        }
    }
}

impl Codec for Reuse {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::UsedUp(apart_s) => (0_u8, apart_s).encode(out),
            Self::Ended(ago_s) => (1_u8, Some(ago_s)).encode(out),
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        match Codec::decode(input)? {
            (0_u8, apart_s) => Some(Self::UsedUp(apart_s)),
            (1, Some(ago_s)) => Some(Self::Ended(ago_s)),
            _ => None,
        }
    }
}

crate::codec!(Client { agent, network, country });
crate::codec!(Token { hash, at, by });
crate::codec!(Grant { newest, before, issued, access, next, ended });

#[cfg(test)]
mod tests {
    use super::{Action, Client, EventTime, Grant, Outcome, Params, Reason, Refresh};
    use std::collections::BTreeMap;

    const OWNER: Client = Client { agent: 1, network: 1, country: 1 };
    const THIEF: Client = Client { agent: 2, network: 2, country: 2 };

    /// Uses of tokens as (token, second, client), all accepted; the most severe action.
    fn most(uses: &[(u64, i64, Client)]) -> Option<Action> {
        let mut grant = Grant::default();
        let mut used = BTreeMap::new();
        let found = uses.iter().filter_map(|(hash, second, by)| {
            let refresh = Refresh {
                hash: *hash,
                time: EventTime::from_s(1_700_000_000 + second),
                by: *by,
                outcome: Outcome::Accepted,
                reason: None,
                used_at: used.get(hash).copied(),
            };
            used.insert(*hash, refresh.time.second());
            grant.record(&refresh, &Params::default())
        });
        found.map(|(action, _)| action).max()
    }

    #[test]
    fn a_used_up_token_that_comes_back_ends_its_grant() {
        assert_eq!(most(&[(1, 0, OWNER), (2, 3600, OWNER), (3, 7200, OWNER)]), None);
        let stolen = [(1, 0, OWNER), (2, 3600, OWNER), (1, 3700, THIEF)];
        assert_eq!(most(&stolen), Some(Action::Revoke));
        let by_its_owner = [(1, 0, OWNER), (2, 3600, THIEF), (1, 7200, OWNER)];
        assert_eq!(most(&by_its_owner), Some(Action::Revoke), "the thief was first");
        let two_back = [(1, 0, OWNER), (2, 60, OWNER), (3, 120, OWNER), (1, 180, OWNER)];
        assert_eq!(most(&two_back), Some(Action::Revoke));
    }

    #[test]
    fn a_thief_in_the_same_second_is_known_by_client() {
        assert_eq!(most(&[(1, 0, OWNER), (2, 60, OWNER), (2, 60, THIEF)]), Some(Action::Revoke));
    }

    #[test]
    fn races_and_lost_responses_of_one_client_are_no_reuse() {
        assert_eq!(most(&[(1, 0, OWNER), (2, 60, OWNER), (2, 61, OWNER), (2, 62, OWNER)]), None);
        let race = [(1, 0, OWNER), (2, 60, OWNER), (1, 20, OWNER), (3, 90, OWNER)];
        assert_eq!(most(&race), None, "a second tab had the old one");
        assert_eq!(most(&[(1, 0, OWNER), (2, 60, OWNER), (2, 660, OWNER)]), None, "lost");
        let moved = Client { network: 9, ..OWNER };
        assert_eq!(most(&[(1, 0, OWNER), (2, 60, OWNER), (2, 120, moved)]), None, "a phone");
    }

    #[test]
    fn old_tokens_that_one_client_repeats_at_once_or_that_are_delivered_again_are_no_reuse() {
        let at_once = [(1, 0, OWNER), (2, 1, OWNER), (3, 2, OWNER), (1, 5, OWNER)];
        assert_eq!(most(&at_once), None);
        let again = [(1, 0, OWNER), (2, 60, OWNER), (3, 120, OWNER), (1, 0, OWNER), (2, 60, OWNER)];
        assert_eq!(most(&again), None);
        let by_another = [(1, 0, OWNER), (2, 1, OWNER), (3, 2, OWNER), (1, 5, THIEF)];
        assert_eq!(most(&by_another), Some(Action::Revoke));
    }

    #[test]
    fn what_is_not_known_of_a_client_is_held_against_no_one() {
        let unknown = Client::default();
        assert_eq!(most(&[(1, 0, OWNER), (2, 60, OWNER), (2, 65, unknown)]), None);
    }

    #[test]
    fn a_server_that_does_not_rotate_proves_nothing() {
        assert_eq!(most(&[(1, 0, OWNER), (1, 3600, THIEF), (1, 7200, OWNER)]), None);
    }

    #[test]
    fn a_refusal_as_reused_alerts_where_the_first_use_was_not_seen() {
        let mut grant = Grant::default();
        let refresh = Refresh {
            hash: 1,
            time: EventTime::from_s(1_700_000_000),
            by: THIEF,
            outcome: Outcome::Rejected,
            reason: Some(Reason::Reused),
            used_at: None,
        };
        let mut found =
            |refresh: &Refresh| grant.record(refresh, &Params::default()).map(|(action, _)| action);
        assert_eq!(found(&refresh), Some(Action::Alert));
        let accepted = Refresh { outcome: Outcome::Accepted, reason: None, hash: 2, ..refresh };
        assert_eq!(found(&Refresh { by: OWNER, ..accepted }), None);
        assert_eq!(found(&Refresh { hash: 2, ..refresh }), Some(Action::Revoke), "the thief");
        let other = Refresh { reason: Some(Reason::Expired), hash: 2, ..refresh };
        assert_eq!(found(&other), None, "it ended by itself");
    }

    #[test]
    fn a_person_takes_the_end_of_a_grant_back() {
        let mut grant = Grant::default();
        grant.end(EventTime::from_s(5));
        grant.end(EventTime::from_s(9));
        assert_eq!(grant.ended(), Some(EventTime::from_s(5)));
        grant.restore();
        assert_eq!(grant.ended(), None);
    }
}
