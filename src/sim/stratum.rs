//! Kinds of client, each of which is reported by itself: what holds of the busy says little of the rest.

use super::activity::Activity;
use crate::model::finding::Action;
use crate::model::time::EventTime;
use std::collections::BTreeMap;

const DAY_MS: f64 = 86_400_000.0;

/// A kind of client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stratum {
    /// New, and used in few windows of ten minutes.
    NewSparse,
    /// New, and used in many.
    NewBusy,
    /// No longer new, and used in few windows of ten minutes.
    Sparse,
    /// No longer new, and used in many.
    #[default]
    Busy,
}

impl Stratum {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::NewSparse, Self::NewBusy, Self::Sparse, Self::Busy];

    /// That of a client, while it is new or later.
    pub const fn of(is_new: bool, is_sparse: bool) -> Self {
        match (is_new, is_sparse) {
            (true, true) => Self::NewSparse,
            (true, false) => Self::NewBusy,
            (false, true) => Self::Sparse,
            (false, false) => Self::Busy,
        }
    }

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewSparse => "new, sparse",
            Self::NewBusy => "new, busy",
            Self::Sparse => "sparse",
            Self::Busy => "busy",
        }
    }

    /// Whether it is about clients that are new.
    pub const fn is_new(self) -> bool {
        matches!(self, Self::NewSparse | Self::NewBusy)
    }
}

/// How long clients of one kind were watched, and how often an action was justified on honest use.
#[derive(Clone, Debug, Default)]
pub struct Exposure {
    /// Unit: days.
    pub days: f64,
    /// How many.
    pub credentials: u64,
    /// Incidents that justified each action or a more severe one.
    pub alarms: [u64; Action::ALL.len()],
}

/// The exposure by kind of client.
#[derive(Clone, Debug, Default)]
pub struct Exposures(pub BTreeMap<Stratum, Exposure>);

impl Exposures {
    /// Adds the life of a client, new until `mature`.
    pub fn add(&mut self, activity: &Activity, mature: EventTime) {
        let sparse = activity.is_sparse();
        let days = |from: EventTime, to: EventTime| to.ms_since(from).max(0) as f64 / DAY_MS;
        let new_until = mature.min(activity.last);
        for (is_new, days) in
            [(true, days(activity.first, new_until)), (false, days(mature, activity.last))]
        {
            if is_new || days > 0.0 {
                let exposure = self.0.entry(Stratum::of(is_new, sparse)).or_default();
                exposure.days += days;
                exposure.credentials += 1;
            }
        }
    }

    /// Adds an incident that justified `action` on such a client.
    pub fn record(&mut self, stratum: Stratum, action: Action) {
        let exposure = self.0.entry(stratum).or_default();
        if let Some(alarms) = exposure.alarms.get_mut(action as usize) {
            *alarms += 1;
        }
    }

    /// Adds what was watched elsewhere.
    pub fn merge(&mut self, other: Self) {
        for (stratum, more) in other.0 {
            let sum = self.0.entry(stratum).or_default();
            sum.days += more.days;
            sum.credentials += more.credentials;
            for (sum, more) in sum.alarms.iter_mut().zip(more.alarms) {
                *sum += more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exposures, Stratum};
    use crate::model::finding::Action;
    use crate::model::time::EventTime;
    use crate::sim::activity::tests::used;

    #[test]
    fn days_are_split_where_a_client_is_no_longer_new() {
        let mut exposures = Exposures::default();
        let mature = EventTime::from_s(86_400);
        exposures.add(&used(0..=288), mature);
        exposures.add(&used([0, 432]), mature);
        for stratum in [Stratum::NewBusy, Stratum::Busy, Stratum::Busy] {
            exposures.record(stratum, Action::Alert);
        }
        let of = |stratum: Stratum| {
            let found = exposures.0.get(&stratum);
            found.map(|one| (one.days, one.alarms[Action::Alert as usize]))
        };
        assert_eq!(of(Stratum::NewBusy), Some((1.0, 1)));
        assert_eq!(of(Stratum::Busy), Some((1.0, 2)));
        assert_eq!(of(Stratum::NewSparse), Some((1.0, 0)));
        assert_eq!(of(Stratum::Sparse), Some((2.0, 0)));
    }
}
