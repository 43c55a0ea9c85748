//! Values that a credential was used with, and that have yet to prove themselves.
//!
//! A surprising network, country, user agent or endpoint is no longer new after half an hour (see
//! [`super::familiarity`]), so that who moves is reported once. For what takes a credential out of service it
//! is as good as new until it was used on [`PROVEN_DAYS`] days before on which nothing was suspicious: a
//! thief who shows his network a day ahead gains nothing by it.
//!
//! ```text
//!  new: 30 min ---- unproven: used on 7 days ---- known
//!                     ^ a suspicion: that day doesn't count
//! ```

use super::novel::{Graduate, Novel};
use crate::model::features::{Aspect, Facts};

/// On how many days of UTC a surprising value must be used to be known. Chosen.
pub const PROVEN_DAYS: u8 = 7;
/// How many values of a credential can be unproven at once; the one not used for longest makes room.
/// Chosen.
const VALUES: usize = 6;

/// One value. Shape: 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Value {
    /// The aspect and 24 bits of hash, see [`key`]; 0: the place is free.
    key: u32,
    /// The day (since 1970) on which it was last used.
    day: u16,
    /// On how many days it was used, that of its first use included.
    days: u8,
    /// Whether its newest day is one of them.
    counted: bool,
}

/// The unproven values of one credential. Shape: 52 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnprovenValues {
    values: [Value; VALUES],
    /// The newest day (since 1970) on which something was suspicious.
    suspicious: u16,
}

/// The day of that second, since 1970.
pub fn day_of(second: u32) -> u16 {
    u16::try_from(second / 86_400).unwrap_or(u16::MAX)
}

const fn key((aspect, hash): Graduate) -> u32 {
    (aspect as u32 + 1) << 24 | (hash & 0x00ff_ffff)
}

impl UnprovenValues {
    /// Which of the values of an event that are `unknown` are unproven, rather than new.
    pub fn among(&self, unknown: Novel, facts: &Facts) -> Novel {
        unknown.filter(facts, |aspect, hash| {
            let sought = key((aspect, hash));
            self.values.iter().any(|value| value.key == sought)
        })
    }

    /// Takes a value that is no longer new, on that day. It finds no place where all others were used
    /// later than it.
    pub fn add(&mut self, graduate: Graduate, day: u16) {
        let key = key(graduate);
        if self.values.iter().any(|value| value.key == key) {
            return;
        }
        let least =
            self.values.iter_mut().min_by_key(|value| (value.key != 0, value.day, value.days));
        if let Some(place) = least.filter(|place| place.key == 0 || place.day < day) {
            let counted = self.suspicious != day;
            *place = Value { key, day, days: u8::from(counted), counted };
        }
    }

    /// Counts a use of these unproven values on that day; takes out those that have proven themselves.
    pub fn record(&mut self, used: Novel, facts: &Facts, day: u16) -> Novel {
        let (mut proven, counted) = (Novel::default(), self.suspicious != day);
        for (aspect, hash) in Aspect::ALL.into_iter().zip(facts.values) {
            let sought = key((aspect, hash));
            let found = self.values.iter_mut().find(|value| value.key == sought);
            let Some(value) = found.filter(|value| used.has(aspect) && value.day < day) else {
                continue;
            };
            if value.days >= PROVEN_DAYS {
                *value = Value::default();
                proven = proven.and(aspect);
            } else {
                let days = value.days + u8::from(counted);
                *value = Value { day, days, counted, ..*value };
            }
        }
        proven
    }

    /// Something is suspicious on that day: it counts for no value.
    pub fn suspect(&mut self, day: u16) {
        self.suspicious = day;
        for value in self.values.iter_mut().filter(|value| value.day == day && value.counted) {
            (value.days, value.counted) = (value.days.saturating_sub(1), false);
        }
    }
}

crate::codec!(Value { key, day, days, counted });
crate::codec!(UnprovenValues { values, suspicious });

#[cfg(test)]
mod tests {
    use super::{Facts, Novel, PROVEN_DAYS, UnprovenValues, VALUES};
    use crate::model::features::Aspect;

    fn from(network: u32) -> Facts {
        Facts { values: [network, 0, 0, 0], ..Facts::default() }
    }

    fn network() -> Novel {
        Novel::default().and(Aspect::Network)
    }

    fn seen_on(day: u16) -> UnprovenValues {
        let mut values = UnprovenValues::default();
        values.add((Aspect::Network, 7), day);
        values
    }

    #[test]
    fn a_value_is_known_after_seven_days_of_use_however_often_it_is_used() {
        let mut values = seen_on(100);
        for day in 100..100 + u16::from(PROVEN_DAYS) {
            for _ in 0..50 {
                assert!(values.record(network(), &from(7), day).is_empty());
            }
            assert_eq!(values.among(network(), &from(7)), network());
        }
        assert_eq!(values.record(network(), &from(7), 107), network());
        assert!(values.among(network(), &from(7)).is_empty());
    }

    #[test]
    fn days_on_which_it_is_not_used_or_something_is_suspicious_prove_nothing() {
        let mut values = seen_on(100);
        for day in 101..120 {
            values.record(network(), &from(7), day);
            values.suspect(day);
            values.suspect(day);
            values.record(network(), &from(7), day);
        }
        for day in 300..306 {
            assert!(values.record(network(), &from(7), day).is_empty(), "{day}");
        }
        let proven = values.record(network(), &from(7), 306);
        assert_eq!(proven, network(), "seven days with the first");
    }

    #[test]
    fn another_value_and_another_aspect_are_not_it() {
        let values = seen_on(100);
        assert!(values.among(network(), &from(8)).is_empty());
        let agent = Facts { values: [0, 0, 7, 0], ..Facts::default() };
        assert!(values.among(Novel::default().and(Aspect::Agent), &agent).is_empty());
    }

    #[test]
    fn a_value_that_was_not_used_lately_makes_room_and_none_of_today_does() {
        let mut values = seen_on(100);
        for hash in 0..9 {
            values.add((Aspect::Endpoint, 20 + hash), 101);
        }
        assert!(values.among(network(), &from(7)).is_empty());
        let endpoint = |hash| Facts { values: [0, 0, 0, hash], ..Facts::default() };
        let kept = (20..29).filter(|hash| {
            !values.among(Novel::default().and(Aspect::Endpoint), &endpoint(*hash)).is_empty()
        });
        assert_eq!(kept.count(), VALUES);
    }
}
