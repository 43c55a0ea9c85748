//! `session`: a session that is used at two places by turns, or longer than it may live.
//!
//! ```text
//!  DE ──▶ BR ──▶ DE ──▶ BR     each within half an hour of the last: two places at once
//!  DE ──▶ BR                   a journey, or a tunnel switched on: nothing
//!  DE, another network         a phone that leaves the house: the same place
//! ```
//! Two uses are at different places if their countries differ, or both agent and network do. It takes
//! two returns, so that no single switch of a tunnel is one. Two places by turns alert; where country and
//! agent differ at each turn, two people hold the session, and it may be ended. Coordinates are not
//! known, hence no speed of travel.
//!
//! Cost: a comparison of one word by event of a session.

use super::evidence::{CERTAIN_NATS, Evidence, grouped};
use crate::model::credential::{Kind, Kinds};
use crate::model::finding::{Action, Measure};
use crate::model::proof::Country;
use crate::stats::codec::{Codec, Input};

/// Parameters of a session that isn't used as one.
#[derive(Clone, Debug)]
pub struct Params {
    /// The kinds that are sessions. Default: `session`.
    pub kinds: Kinds,
    /// How soon a return must follow. Unit: minutes. Default: 30.
    pub return_min: u16,
    /// The least returns. Range: 1 to 15. Default: 2.
    pub returns_min: u8,
    /// The action that two places with two agents by turns justify. Default: revoke, as one logs in again.
    pub action: Action,
    /// The longest pause between two uses; none: any. Unit: seconds.
    pub idle_s_max: Option<u32>,
    /// The longest life; none: any. Unit: seconds.
    pub age_s_max: Option<u32>,
    /// Autonomous systems where one user appears at many places: carriers, tunnels. Uses from there
    /// have no place.
    pub shared_asns: Vec<u32>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            kinds: Kinds::of([Kind::Session]),
            return_min: 30,
            returns_min: 2,
            action: Action::Revoke,
            idle_s_max: None,
            age_s_max: None,
            shared_asns: Vec::new(),
        }
    }
}

/// A place in 28 bits: country, agent and network; 0: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// Where a use came from: its country, and hashes of agent and network (0: unknown). Nowhere without
    /// a country and without the two others.
    pub const fn new(country: Country, agent: u32, network: u32) -> Self {
        let agent = if agent == 0 { 0 } else { 1 + agent % 1023 };
        let network = if network == 0 { 0 } else { 1 + network % 255 };
        Self((country.number() as u32) << 18 | agent << 8 | network)
    }

    fn country(self) -> Country {
        Country::from_number(u16::try_from(self.0 >> 18).unwrap_or(0))
    }

    const fn agent(self) -> u32 {
        self.0 >> 8 & 0x3ff
    }

    const fn network(self) -> u32 {
        self.0 & 0xff
    }

    /// Whether the countries differ, both being known.
    fn is_abroad(self, other: Self) -> bool {
        let (here, there) = (self.country().number(), other.country().number());
        here != there && here != 0 && there != 0
    }

    fn differs(one: u32, other: u32) -> bool {
        one != other && one != 0 && other != 0
    }

    fn is_other_agent(self, other: Self) -> bool {
        Self::differs(self.agent(), other.agent())
    }

    /// Whether these are two places.
    fn is_far(self, other: Self) -> bool {
        self.is_abroad(other)
            || self.is_other_agent(other) && Self::differs(self.network(), other.network())
    }
}

/// Where a session was used. Shape: 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    /// The place, and in the highest 4 bits how often it returned.
    here: u32,
    /// The place before; in its highest bit whether the agent differed at each turn.
    before: u32,
    /// The minute (since 1970, modulo 65,536) of the last change of place.
    left: u16,
}

const PLACE: u32 = (1 << 28) - 1;
const OTHER_AGENT: u32 = 1 << 31;
/// The first layout of checkpoints that knows traces.
const TRACES_SINCE: u16 = 7;

/// A session that isn't used as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Odd {
    /// At two places by turns.
    TwoPlaces {
        /// Where it was before.
        before: Country,
        /// Where it is now.
        now: Country,
        /// How often it came back.
        returns: u8,
        /// Whether another agent used it at each of them.
        other_agent: bool,
    },
    /// Used again after a longer pause than is allowed.
    Idle {
        /// How long. Unit: seconds.
        idle_s: u32,
        /// The longest allowed. Unit: seconds.
        most_s: u32,
    },
    /// Older than is allowed.
    Old {
        /// How old. Unit: seconds.
        age_s: u32,
        /// The oldest allowed. Unit: seconds.
        most_s: u32,
    },
}

impl Trace {
    /// Takes a use at `place` in that second.
    pub fn record(&mut self, place: Place, second: u32, params: &Params) -> Option<(Action, Odd)> {
        if place == Place::default() {
            return None;
        }
        let (here, before) = (Place(self.here & PLACE), Place(self.before & PLACE));
        if here == place {
            return None;
        }
        let returns = u8::try_from(self.here >> 28).unwrap_or(0);
        if here == Place::default() || !here.is_far(place) {
            self.here = place.0 | u32::from(returns) << 28;
            return None;
        }
        let minute = u16::try_from((second / 60) & 0xffff).unwrap_or(0);
        // Uses may come out of order.
        let apart = minute.wrapping_sub(self.left);
        let is_soon = apart.min(apart.wrapping_neg()) <= params.return_min;
        let is_return = before != Place::default() && !before.is_far(place) && is_soon;
        // A third place between takes no return back.
        let returns = match (is_return, is_soon) {
            (true, _) => (returns + 1).min(15),
            (false, true) => returns,
            (false, false) => 0,
        };
        let held = returns == 0 || self.before & OTHER_AGENT != 0;
        let other_agent = held && here.is_other_agent(place);
        self.here = place.0 | u32::from(returns) << 28;
        self.before = here.0 | if other_agent { OTHER_AGENT } else { 0 };
        self.left = minute;
        if returns < params.returns_min {
            return None;
        }
        let (before, now) = (here.country(), place.country());
        let two_people = other_agent && here.is_abroad(place);
        let action = if two_people { params.action } else { params.action.min(Action::Alert) };
        Some((action, Odd::TwoPlaces { before, now, returns, other_agent }))
    }
}

impl Codec for Trace {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.here, self.before).encode(out);
        self.left.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        if input.version() < TRACES_SINCE {
            return Some(Self::default());
        }
        let (here, before) = Codec::decode(input)?;
        Some(Self { here, before, left: Codec::decode(input)? })
    }
}

impl Codec for Odd {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::TwoPlaces { before, now, returns, other_agent } => {
                out.push(0);
                (before, now).encode(out);
                (returns, other_agent).encode(out);
            }
            Self::Idle { idle_s, most_s } => {
                out.push(1);
                (idle_s, most_s).encode(out);
            }
            Self::Old { age_s, most_s } => {
                out.push(2);
                (age_s, most_s).encode(out);
            }
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        match u8::decode(input)? {
            0 => {
                let (before, now) = Codec::decode(input)?;
                let (returns, other_agent) = Codec::decode(input)?;
                Some(Self::TwoPlaces { before, now, returns, other_agent })
            }
            kind => {
                let (value, most_s) = Codec::decode(input)?;
                match kind {
                    1 => Some(Self::Idle { idle_s: value, most_s }),
                    2 => Some(Self::Old { age_s: value, most_s }),
                    _ => None,
                }
            }
        }
    }
}

/// Evaluates the ages of a session: `idle_s` since its last use, `age_s` since it was issued.
pub fn evaluate_age(idle_s: u32, age_s: u32, params: &Params) -> Option<(Action, Odd)> {
    let over = |value: u32, most: Option<u32>| most.filter(|most| value > *most);
    let odd = match (over(age_s, params.age_s_max), over(idle_s, params.idle_s_max)) {
        (Some(most_s), _) => Odd::Old { age_s, most_s },
        (None, Some(most_s)) => Odd::Idle { idle_s, most_s },
        (None, None) => return None,
    };
    Some((Action::Alert, odd))
}

impl Evidence for Odd {
    fn strength(&self) -> f64 {
        match self {
            Self::TwoPlaces { returns, .. } => f64::from(*returns),
            Self::Idle { idle_s, most_s } => f64::from(*idle_s) / f64::from((*most_s).max(1)),
            Self::Old { age_s, most_s } => f64::from(*age_s) / f64::from((*most_s).max(1)),
        }
    }

    fn evidence_nats(&self) -> f64 {
        CERTAIN_NATS
    }

    fn summary(&self) -> String {
        let minutes = |seconds: &u32| grouped(f64::from(*seconds) / 60.0);
        match self {
            Self::TwoPlaces { before, now, returns, other_agent } => {
                let places = if before == now {
                    "on two networks".to_owned()
                } else {
                    format!("in {} and {}", before.code(), now.code())
                };
                let agents = if *other_agent { ", by another agent at each" } else { "" };
                format!("is used {places} by turns ({returns} returns){agents}")
            }
            Self::Idle { idle_s, most_s } => format!(
                "was accepted after {} minutes without use; {} are allowed",
                minutes(idle_s),
                minutes(most_s)
            ),
            Self::Old { age_s, most_s } => format!(
                "was accepted {} minutes after it began; {} are allowed",
                minutes(age_s),
                minutes(most_s)
            ),
        }
    }

    fn measures(&self) -> Vec<Measure> {
        match self {
            Self::TwoPlaces { returns, other_agent, .. } => vec![
                Measure::new("returns", f64::from(*returns)),
                Measure::new("other_agent", f64::from(u8::from(*other_agent))),
            ],
            Self::Idle { idle_s, most_s } => vec![
                Measure::new("idle_s", f64::from(*idle_s)),
                Measure::new("idle_max_s", f64::from(*most_s)),
            ],
            Self::Old { age_s, most_s } => vec![
                Measure::new("age_s", f64::from(*age_s)),
                Measure::new("age_max_s", f64::from(*most_s)),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Country, Odd, Params, Place, Trace, evaluate_age};
    use proptest::prelude::*;

    fn place(country: [u8; 2], agent: u32, network: u32) -> Place {
        Place::new(Country::of(Some(country)), agent, network)
    }

    /// The most severe action of uses at these places, a minute apart.
    fn most(places: impl IntoIterator<Item = Place>, apart_s: u32) -> Option<Action> {
        let (mut trace, params) = (Trace::default(), Params::default());
        let found = (0..)
            .zip(places)
            .filter_map(|(n, place)| trace.record(place, 1_700_000_000 + n * apart_s, &params));
        found.map(|(action, _)| action).max()
    }

    fn turns(one: Place, other: Place, uses: usize) -> Vec<Place> {
        [one, other].into_iter().cycle().take(uses).collect()
    }

    #[test]
    fn two_countries_by_turns_are_two_places_and_with_two_agents_two_people() {
        let (here, there) = (place(*b"DE", 1, 1), place(*b"BR", 2, 2));
        assert_eq!(most(turns(here, there, 3), 60), None, "there and back");
        assert_eq!(most(turns(here, there, 4), 60), Some(Action::Revoke));
        let same_agent = place(*b"BR", 1, 2);
        assert_eq!(most(turns(here, same_agent, 40), 60), Some(Action::Alert), "a tunnel");
    }

    #[test]
    fn a_thief_who_changes_exits_or_whose_uses_come_late_is_at_two_places_all_the_same() {
        let owner = place(*b"DE", 1, 1);
        let exits = [*b"BR", *b"FR", *b"BR"].map(|country| place(country, 2, 2));
        let uses = exits.into_iter().cycle().take(12).flat_map(|exit| [owner, exit]);
        assert_eq!(most(uses, 60), Some(Action::Revoke));
        let (mut trace, params) = (Trace::default(), Params::default());
        let late = (0..12).filter_map(|n| {
            let (at, lag) = if n % 2 == 0 { (owner, 0) } else { (exits[0], 61) };
            trace.record(at, 1_700_000_000 + n * 10 - lag, &params)
        });
        assert_eq!(late.map(|(action, _)| action).max(), Some(Action::Revoke));
    }

    #[test]
    fn a_traveller_and_a_phone_that_changes_networks_are_one_person() {
        let journey = [place(*b"DE", 1, 1), place(*b"FR", 1, 2), place(*b"ES", 1, 3)];
        assert_eq!(most(journey, 3600), None);
        let phone = (0..500).map(|n| place(*b"DE", 1, 1 + n % 7));
        assert_eq!(most(phone, 60), None);
        let commuter = turns(place(*b"DE", 1, 1), place(*b"FR", 1, 2), 30);
        assert_eq!(most(commuter, 8 * 3600), None, "each return comes late");
    }

    #[test]
    fn two_agents_on_two_networks_of_one_country_alert() {
        let (one, other) = (place(*b"DE", 1, 1), place(*b"DE", 2, 2));
        assert_eq!(most(turns(one, other, 4), 60), Some(Action::Alert));
        assert_eq!(most(turns(one, place(*b"DE", 2, 1), 40), 60), None, "two apps of one phone");
    }

    #[test]
    fn a_use_without_a_place_changes_nothing() {
        let (here, there) = (place(*b"DE", 1, 1), place(*b"BR", 2, 2));
        let uses = [here, Place::default(), there, Place::default(), here, there];
        assert_eq!(most(uses, 60), Some(Action::Revoke));
        let unknown = Place::new(Country::default(), 1, 1);
        assert_eq!(most(turns(here, unknown, 50), 60), None);
    }

    #[test]
    fn ages_beyond_the_policy_are_findings_and_without_one_none_are() {
        let params =
            Params { idle_s_max: Some(1800), age_s_max: Some(43_200), ..Params::default() };
        assert_eq!(evaluate_age(1800, 43_200, &params), None);
        let idle = evaluate_age(1801, 3600, &params);
        assert_eq!(idle, Some((Action::Alert, Odd::Idle { idle_s: 1801, most_s: 1800 })));
        let old = evaluate_age(1801, 43_201, &params);
        assert!(matches!(old, Some((Action::Alert, Odd::Old { .. }))));
        assert_eq!(evaluate_age(u32::MAX, u32::MAX, &Params::default()), None);
    }

    proptest! {
        /// Whatever networks a session changes, one agent in one country is one person.
        #[test]
        fn one_agent_in_one_country_is_one_person(networks in prop::collection::vec(0_u32..300, 0..200)) {
            let uses = networks.into_iter().map(|network| place(*b"DE", 7, network));
            prop_assert_eq!(most(uses, 30), None);
        }

        /// One agent is never taken for two people, wherever it is.
        #[test]
        fn one_agent_is_never_ended(uses in prop::collection::vec((0_u16..677, 0_u32..300), 0..200)) {
            let uses = uses.into_iter().map(|(country, network)| {
                Place::new(Country::from_number(country), 7, network)
            });
            prop_assert!(most(uses, 30).unwrap_or(Action::Alert) <= Action::Alert);
        }
    }
}
