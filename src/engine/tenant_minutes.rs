//! What tenants take of the fleet, over the partitions and the members that count them.
//!
//! ```text
//!  partition: a minute ended -> its busiest tenants --\
//!  partition: ...            -> ...                  --+--> the member's minute --> the fleet's minute
//!  other members: their minutes ------------------------------------------------/
//! ```
//! Each tells its busiest only, so a sum is short by what a tenant did where it was not among these:
//! at most one part in [`BUSIEST_MAX`] + 1 of all requests.
//!
//! **Does not** open findings: those of `tenant_flood` are a partition's, from its own events alone.

use crate::detect::tenant_flood::{self, Flood};
use crate::model::finding::Action;
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::collections::BTreeMap;

/// How many tenants one partition or member tells of. Chosen: who takes a fiftieth is among them.
pub const BUSIEST_MAX: usize = 50;
/// How many minutes that ended are told to others, and kept.
pub const MINUTES_MAX: usize = 2;
/// How old a minute may be that is told of. Unit: minutes.
const OF_LATE_MIN: u32 = 3;
/// How long after its end all are given to tell of a minute. Unit: seconds. Chosen: lateness of
/// events, a tick, and some rounds of the members.
const GRACE_S: i64 = 15;
/// The most partitions that are told of. Chosen: far more than one member reads.
const PLACES_MAX: usize = 10_000;

/// What a tenant did in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Its requests.
    pub requests: u64,
    /// How many are usual at this hour of the week, of as many requests of all.
    pub usual: u64,
    /// How many minutes it was watched before, where for longest.
    pub watched_min: u32,
}

/// A minute of all tenants. Those of partitions and members add up, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Everybody's requests, also of credentials without a tenant.
    pub requests: u64,
    /// The busiest tenants.
    pub tenants: BTreeMap<CompactString, Share>,
}

/// By minute since 1970.
pub type Minutes = BTreeMap<u32, Minute>;

impl Minute {
    /// Adds what others counted of the same minute.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        for (tenant, share) in &other.tenants {
            let own = self.tenants.entry(tenant.clone()).or_default();
            own.requests = own.requests.saturating_add(share.requests);
            own.usual = own.usual.saturating_add(share.usual);
            own.watched_min = own.watched_min.max(share.watched_min);
        }
    }

    /// The busiest, first; of equals by name.
    pub fn busiest(&self) -> Vec<(&CompactString, Share)> {
        let mut all: Vec<_> = self.tenants.iter().map(|(tenant, share)| (tenant, *share)).collect();
        all.sort_by_key(|(tenant, share)| (std::cmp::Reverse(share.requests), *tenant));
        all.truncate(BUSIEST_MAX);
        all
    }

    fn keep_busiest(&mut self) {
        if self.tenants.len() > BUSIEST_MAX {
            let kept = self.busiest().into_iter().map(|(tenant, share)| (tenant.clone(), share));
            self.tenants = kept.collect();
        }
    }

    /// Whether a tenant takes far more than usual, and what is to be done about that.
    fn flood(&self, share: Share, params: &tenant_flood::Params) -> Option<(Action, Flood)> {
        let usual_share = share.usual as f64 / self.requests.max(1) as f64;
        let taken = tenant_flood::Taken { requests: share.requests, fleet: self.requests };
        tenant_flood::weigh(taken, (usual_share, share.watched_min), params)
    }
}

/// Who took what of a minute of the whole fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The minute, since 1970.
    pub minute: u32,
    /// Everybody's requests.
    pub requests: u64,
    /// The busiest tenants, first.
    pub tenants: Vec<Ranked>,
}

/// A tenant among the busiest.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Its name.
    pub tenant: CompactString,
    /// What it did.
    pub share: Share,
    /// Whether that is far more than usual, and what is to be done about it.
    pub flood: Option<(Action, Flood)>,
}

impl Ranking {
    /// The greatest share of a tenant that floods, over what is usual for it; 0 if none does.
    pub fn flood_ratio(&self) -> f64 {
        let floods = self.tenants.iter().filter_map(|one| one.flood);
        floods.map(|(_, flood)| flood.ratio).fold(0.0, f64::max)
    }
}

/// The minutes that ended of late.
#[derive(Clone, Debug, Default)]
pub struct TenantMinutes {
    own: BTreeMap<u32, BTreeMap<String, Minute>>,
    others: Minutes,
}

impl TenantMinutes {
    /// Notes what the partition `place` counted in `minute`, at `now`. What is told again replaces
    /// what was told before. Minutes of the past say nothing of the fleet now.
    pub fn note(&mut self, place: String, minute: u32, counted: Minute, now: EventTime) {
        let newest = minute_of(now);
        let of_late = newest.saturating_sub(OF_LATE_MIN)..=newest;
        self.own.retain(|minute, _| of_late.contains(minute));
        if !of_late.contains(&minute) {
            return;
        }
        let places = self.own.entry(minute).or_default();
        if places.len() < PLACES_MAX || places.contains_key(&place) {
            places.insert(place, counted);
        }
    }

    /// Takes what the other members counted together.
    pub fn hear(&mut self, others: Minutes) {
        self.others = others;
    }

    /// What this member counted, of the newest minutes.
    pub fn own(&self) -> Minutes {
        let newest = self.own.iter().rev().take(MINUTES_MAX);
        newest.map(|(minute, places)| (*minute, together(places.values()))).collect()
    }

    /// The newest minute of the whole fleet of which all have had time to tell, at `now`; none if
    /// nobody told of it.
    fn newest(&self, now: EventTime) -> Option<(u32, Minute)> {
        let minute = minute_of(now.plus_ms(-GRACE_S * 1000)).checked_sub(1)?;
        let own = self.own.get(&minute).into_iter().flat_map(BTreeMap::values);
        let all = together(own.chain(self.others.get(&minute)));
        (all.requests > 0).then_some((minute, all))
    }

    /// Who took what of that minute. Without `params` nobody floods.
    pub fn ranking(
        &self,
        now: EventTime,
        params: Option<&tenant_flood::Params>,
    ) -> Option<Ranking> {
        let (minute, all) = self.newest(now)?;
        let ranked = |(tenant, share): (&CompactString, Share)| Ranked {
            tenant: tenant.clone(),
            share,
            flood: params.and_then(|params| all.flood(share, params)),
        };
        let tenants = all.busiest().into_iter().map(ranked).collect();
        Some(Ranking { minute, requests: all.requests, tenants })
    }
}

fn together<'a>(parts: impl Iterator<Item = &'a Minute>) -> Minute {
    let mut all = Minute::default();
    for part in parts {
        all.merge(part);
    }
    all.keep_busiest();
    all
}

/// The minute (since 1970) in which a time lies.
fn minute_of(at: EventTime) -> u32 {
    u32::try_from(at.ms().div_euclid(60_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{BUSIEST_MAX, Minute, Share, TenantMinutes};
    use crate::detect::tenant_flood::Params;
    use crate::model::finding::Action;
    use crate::model::time::EventTime;

    const M: u32 = 28_333_333;

    fn minute(requests: u64, tenants: &[(&str, u64, u64)]) -> Minute {
        let of = |(name, requests, usual): &(&str, u64, u64)| {
            let share = Share { requests: *requests, usual: *usual, watched_min: 5000 };
            ((*name).into(), share)
        };
        Minute { requests, tenants: tenants.iter().map(of).collect() }
    }

    fn at(minute: u32, second: i64) -> EventTime {
        EventTime::from_s(i64::from(minute) * 60 + second)
    }

    #[test]
    fn a_tenant_that_floods_through_many_partitions_is_seen_in_their_sum() {
        let mut minutes = TenantMinutes::default();
        for slot in 0..16 {
            let part = minute(400, &[("acme", 312, 20), ("bloom", 80, 100)]);
            let alone = part.flood(part.tenants["acme"], &Params::default());
            assert_eq!(alone, None, "too few in one partition");
            minutes.note(format!("slot {slot}"), M, part, at(M + 1, 5));
        }
        let (which, all) = minutes.newest(at(M + 1, 15)).expect("a minute");
        assert_eq!((which, all.requests, all.tenants["acme"].requests), (M, 6400, 4992));
        let (action, flood) =
            all.flood(all.tenants["acme"], &Params::default()).expect("it is a flood");
        assert_eq!((action, flood.requests), (Action::Alert, 4992));
        assert!((flood.usual_share - 0.05).abs() < 1e-9 && (flood.ratio - 15.6).abs() < 1e-9);
        assert_eq!(all.flood(all.tenants["bloom"], &Params::default()), None);
        let ranking = minutes.ranking(at(M + 1, 15), Some(&Params::default())).expect("a minute");
        assert_eq!(ranking.tenants[0].tenant, "acme");
        assert!((ranking.flood_ratio() - 15.6).abs() < 1e-9);
        let off = minutes.ranking(at(M + 1, 15), None).expect("a minute");
        assert!(off.flood_ratio() < 1e-9 && off.tenants.len() == 2);
    }

    #[test]
    fn a_minute_is_shown_once_all_have_had_time_to_tell_and_until_the_next_one_is() {
        let mut minutes = TenantMinutes::default();
        minutes.note("a".to_owned(), M, minute(10, &[("acme", 10, 0)]), at(M + 1, 1));
        assert_eq!(minutes.newest(at(M + 1, 14)), None);
        assert!(minutes.newest(at(M + 1, 15)).is_some());
        assert!(minutes.newest(at(M + 2, 14)).is_some());
        assert_eq!(minutes.newest(at(M + 2, 15)), None);
    }

    #[test]
    fn what_is_told_again_counts_once_and_what_others_count_adds_to_it() {
        let mut minutes = TenantMinutes::default();
        for requests in [9, 10] {
            minutes.note(
                "a".to_owned(),
                M,
                minute(requests, &[("acme", requests, 0)]),
                at(M + 1, 0),
            );
        }
        minutes.hear([(M, minute(90, &[("acme", 5, 7), ("bloom", 85, 60)]))].into());
        let (_, all) = minutes.newest(at(M + 1, 20)).expect("a minute");
        assert_eq!(all, minute(100, &[("acme", 15, 7), ("bloom", 85, 60)]));
        assert_eq!(minutes.own(), [(M, minute(10, &[("acme", 10, 0)]))].into(), "only its own");
    }

    #[test]
    fn the_past_and_the_future_have_no_say() {
        let mut minutes = TenantMinutes::default();
        for (told, now) in [(M - 60, M), (M + 5, M), (M - 4, M)] {
            minutes.note("a".to_owned(), told, minute(10, &[]), at(now, 0));
        }
        assert!(minutes.own().is_empty());
    }

    #[test]
    fn only_the_busiest_are_told_and_all_requests_are_counted() {
        let mut minutes = TenantMinutes::default();
        let names: Vec<String> = (0..200).map(|n| format!("tenant_{n:03}")).collect();
        let tenants: Vec<(&str, u64, u64)> =
            (1..).zip(&names).map(|(n, it)| (&**it, n, 0)).collect();
        minutes.note("a".to_owned(), M, minute(20_100, &tenants), at(M + 1, 0));
        let told = minutes.own().remove(&M).expect("a minute");
        assert_eq!((told.requests, told.tenants.len()), (20_100, BUSIEST_MAX));
        assert!(
            told.tenants.contains_key("tenant_199") && !told.tenants.contains_key("tenant_149")
        );
    }
}
