//! Tenants' shares of the fleet, over the partitions and the instances that count them.
//!
//! ```text
//!  partition: a minute ended -> its busiest tenants --\
//!  partition: ...            -> ...                  --+--> the instance's minute --> the fleet's minute
//!  other instances: their minutes ------------------------------------------------/
//! ```
//! Partitions and instances each tell only who takes most, or usually does. So a sum may be short by one
//! part in [`BUSIEST_MAX`] + 1 of all requests at each of these two steps, and so may what is usual.
//!
//! **Does not** open findings: those of `tenant_flood` are a partition's, from its own events alone.

use crate::detect::tenant_flood::{self, Flood, Taken, Usual};
use crate::model::finding::Action;
use crate::model::signal::{BUSIEST_MAX, MinuteTotals, ShardId, TenantTotals};
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::collections::BTreeMap;

/// How many minutes that ended are reported to others, and kept.
pub const MINUTES_MAX: usize = 2;
/// How long it is remembered what is usual at a place that fell silent. Unit: minutes. Chosen: one that
/// went to another instance counts twice for no longer.
const REMEMBERED_MINUTES: u32 = 15;
/// How old a minute may be that is reported of. Unit: minutes.
const OF_LATE_MINUTES: u32 = 3;
/// How long after its end all are given to report a minute. Unit: seconds. Chosen: lateness of
/// events, a tick, and some rounds of the instances.
const GRACE_S: i64 = 15;
/// The most partitions that are reported. Chosen: far more than one instance reads.
const PLACES_MAX: usize = 10_000;

/// By minute since 1970.
pub type Minutes = BTreeMap<u32, MinuteTotals>;

fn keep_busiest(totals: &mut MinuteTotals) {
    if totals.tenants.len() > BUSIEST_MAX {
        let kept = totals.busiest().into_iter().map(|(tenant, of)| (tenant.clone(), of));
        totals.tenants = kept.collect();
    }
}

fn usual_alone(totals: &MinuteTotals) -> MinuteTotals {
    let usual = |(tenant, of): (&CompactString, &TenantTotals)| {
        (tenant.clone(), TenantTotals { requests: 0, ..*of })
    };
    let tenants = totals.tenants.iter().map(usual).collect();
    MinuteTotals { requests: 0, usual: totals.usual, tenants }
}

fn taken(totals: &MinuteTotals, of: TenantTotals) -> Taken {
    Taken { requests: of.requests, fleet: totals.requests }
}

fn usual(totals: &MinuteTotals, of: TenantTotals) -> Usual {
    let share = of.usual as f64 / totals.usual.max(1) as f64;
    Usual { share: share.min(1.0), minutes: of.watched_minutes }
}

/// The tenants' shares of a minute of the whole fleet.
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
    /// Its share.
    pub taken: Taken,
    /// Its usual share.
    pub usual: Usual,
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

impl Ranking {
    /// The most that a tenant's credentials together took of the limit of their sum, in requests a
    /// minute; 0 where there is no such limit. A tenant that is not among the busiest is not looked at.
    pub fn limit_ratio(&self, sums: &BTreeMap<String, u32>) -> f64 {
        let of = |one: &Ranked| {
            let limit = sums.get(one.tenant.as_str()).filter(|limit| **limit > 0)?;
            Some(one.taken.requests as f64 / f64::from(*limit))
        };
        self.tenants.iter().filter_map(of).fold(0.0, f64::max)
    }
}

/// The minutes that ended recently.
#[derive(Clone, Debug, Default)]
pub struct TenantMinutes {
    own: BTreeMap<u32, BTreeMap<ShardId, MinuteTotals>>,
    /// The usual share of its last report, and that minute: a place that falls silent reports nothing.
    usual: BTreeMap<ShardId, (u32, MinuteTotals)>,
    others: Minutes,
}

impl TenantMinutes {
    /// Records the counts of `place` in `minute` (since 1970), at `now`. A repeated report of this
    /// instance replaces what was reported before; of a partition that moves between instances both may tell.
    /// Minutes of the past say nothing of the fleet now.
    pub fn record(&mut self, place: ShardId, minute: u32, totals: MinuteTotals, now: EventTime) {
        let newest = minute_of(now);
        let of_late = newest.saturating_sub(OF_LATE_MINUTES)..=newest;
        self.own.retain(|minute, _| of_late.contains(minute));
        if !of_late.contains(&minute) {
            return;
        }
        let places = self.own.entry(minute).or_default();
        if places.len() < PLACES_MAX || places.contains_key(&place) {
            self.usual.retain(|_, (told, _)| *told + REMEMBERED_MINUTES > newest);
            self.usual.insert(place.clone(), (minute, usual_alone(&totals)));
            places.insert(place, totals);
        }
    }

    /// The counts of a minute at all places of this instance; of a silent one the usual counts.
    fn counted(&self, minute: u32) -> impl Iterator<Item = &MinuteTotals> {
        let told = self.own.get(&minute);
        let is_silent = move |place: &ShardId| told.is_none_or(|told| !told.contains_key(place));
        let silent =
            self.usual.iter().filter(move |(place, (at, _))| *at < minute && is_silent(place));
        told.into_iter().flat_map(BTreeMap::values).chain(silent.map(|(_, (_, usual))| usual))
    }

    /// Takes what the other instances counted together.
    pub fn merge_others(&mut self, others: Minutes) {
        self.others = others;
    }

    /// This instance's counts of the newest minutes.
    pub fn own(&self) -> Minutes {
        let newest = self.own.iter().rev().take(MINUTES_MAX);
        newest.map(|(minute, _)| (*minute, together(self.counted(*minute)))).collect()
    }

    /// The newest minute of the whole fleet of which all have had time to tell, at `now`; none if
    /// no one reported it.
    fn newest(&self, now: EventTime) -> Option<(u32, MinuteTotals)> {
        let minute = minute_of(now.plus_ms(-GRACE_S * 1000)).checked_sub(1)?;
        let all = together(self.counted(minute).chain(self.others.get(&minute)));
        (all.requests > 0).then_some((minute, all))
    }

    /// The tenants' shares of that minute. Without `params` none floods; nor does one that makes no more
    /// requests than usual, and takes more only as others are silent.
    pub fn ranking(
        &self,
        now: EventTime,
        params: Option<&tenant_flood::Params>,
    ) -> Option<Ranking> {
        let (minute, all) = self.newest(now)?;
        let ranked = |(tenant, of): (&CompactString, TenantTotals)| {
            let (taken, usual) = (taken(&all, of), usual(&all, of));
            let flood = params
                .filter(|params| of.requests as f64 >= params.observe_ratio * of.usual as f64)
                .and_then(|params| tenant_flood::evaluate(taken, usual, params));
            Ranked { tenant: tenant.clone(), taken, usual, flood }
        };
        let mut tenants: Vec<Ranked> = all.busiest().into_iter().map(ranked).collect();
        tenants.sort_by_key(|one| std::cmp::Reverse(one.taken.requests));
        Some(Ranking { minute, requests: all.requests, tenants })
    }
}

fn together<'a>(parts: impl Iterator<Item = &'a MinuteTotals>) -> MinuteTotals {
    let mut all = MinuteTotals::default();
    for part in parts {
        all.merge(part);
    }
    keep_busiest(&mut all);
    all
}

/// The minute (since 1970) in which a time lies.
fn minute_of(at: EventTime) -> u32 {
    u32::try_from(at.ms().div_euclid(60_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{BUSIEST_MAX, MinuteTotals, ShardId, TenantMinutes, TenantTotals};
    use crate::detect::tenant_flood::Params;
    use crate::model::finding::Action;
    use crate::model::time::EventTime;
    use std::collections::BTreeMap;

    const M: u32 = 28_333_333;

    /// So many requests where so many are usual; of all, and of tenants.
    fn minute((requests, usual): (u64, u64), tenants: &[(&str, u64, u64)]) -> MinuteTotals {
        let of = |(name, requests, usual): &(&str, u64, u64)| {
            let (requests, usual) = (*requests, *usual);
            ((*name).into(), TenantTotals { requests, usual, watched_minutes: 5000 })
        };
        MinuteTotals { requests, usual, tenants: tenants.iter().map(of).collect() }
    }

    fn at(minute: u32, second: i64) -> EventTime {
        EventTime::from_s(i64::from(minute) * 60 + second)
    }

    fn told(parts: impl IntoIterator<Item = MinuteTotals>) -> TenantMinutes {
        let mut minutes = TenantMinutes::default();
        for (slot, part) in parts.into_iter().enumerate() {
            minutes.record(ShardId::Slot(slot), M, part, at(M + 1, 5));
        }
        minutes
    }

    #[test]
    fn a_tenant_that_floods_through_many_partitions_is_seen_in_their_sum() {
        let part = minute((400, 120), &[("acme", 312, 6), ("bloom", 80, 100)]);
        let alone = told([part.clone()]).ranking(at(M + 1, 15), Some(&Params::default()));
        assert!(alone.expect("a minute").flood_ratio() < 1e-9, "too few in one partition");
        let minutes = told(std::iter::repeat_n(part, 16));
        let all = minutes.ranking(at(M + 1, 15), Some(&Params::default())).expect("a minute");
        assert_eq!((all.minute, all.requests), (M, 6400));
        let [acme, bloom] = [&all.tenants[0], &all.tenants[1]];
        assert_eq!((acme.tenant.as_str(), acme.taken.requests), ("acme", 4992));
        let (action, flood) = acme.flood.expect("it floods");
        assert_eq!((action, flood.requests), (Action::Alert, 4992));
        assert!((flood.usual_share - 0.05).abs() < 1e-9 && (flood.ratio - 15.6).abs() < 1e-9);
        assert!((all.flood_ratio() - 15.6).abs() < 1e-9);
        assert_eq!((bloom.tenant.as_str(), bloom.flood), ("bloom", None));
        let sums = [("acme", 2496), ("bloom", 0), ("gone", 1)];
        let sums = sums.map(|(name, limit)| (name.to_owned(), limit)).into();
        assert!((all.limit_ratio(&sums) - 2.0).abs() < 1e-9, "of the sum over partitions");
        assert!(all.limit_ratio(&BTreeMap::new()) < 1e-9);
        let off = minutes.ranking(at(M + 1, 15), None).expect("a minute");
        assert!(off.flood_ratio() < 1e-9 && off.tenants.len() == 2);
    }

    #[test]
    fn a_tenant_that_floods_a_partition_of_its_own_is_seen_in_the_sum() {
        let own = minute((10_000, 100), &[("acme", 10_000, 100)]);
        let others = std::iter::repeat_n(minute((100, 100), &[("bloom", 100, 100)]), 19);
        let minutes = told(std::iter::once(own).chain(others));
        let all = minutes.ranking(at(M + 1, 15), Some(&Params::default())).expect("a minute");
        let (_, flood) = all.tenants[0].flood.expect("it floods");
        assert!((flood.usual_share - 0.05).abs() < 1e-9, "five of a hundred are usual");
        assert!(flood.ratio > 16.0, "{}", flood.ratio);
    }

    #[test]
    fn a_tenant_that_moves_to_another_partition_does_not_flood() {
        let before = minute((100, 1000), &[("acme", 0, 900)]);
        let after = minute((1000, 100), &[("acme", 900, 0)]);
        let all = told([before, after]).ranking(at(M + 1, 15), Some(&Params::default()));
        assert!(all.expect("a minute").flood_ratio() < 1e-9);
    }

    #[test]
    fn nor_does_one_that_leaves_a_partition_silent() {
        let mut minutes = TenantMinutes::default();
        let [left, taken] = [ShardId::Slot(0), ShardId::Slot(1)];
        let before = minute((1000, 1000), &[("acme", 900, 900)]);
        minutes.record(left, M - 1, before, at(M, 5));
        let after = minute((1000, 100), &[("acme", 900, 0)]);
        minutes.record(taken, M, after, at(M + 1, 5));
        let all = minutes.ranking(at(M + 1, 15), Some(&Params::default())).expect("a minute");
        assert_eq!((all.requests, all.tenants[0].flood), (1000, None));
        assert!(all.tenants[0].usual.share > 0.8);
    }

    #[test]
    fn a_tenant_that_goes_on_while_others_fall_silent_does_not_flood() {
        let part = minute((2000, 10_000), &[("acme", 0, 8000), ("bloom", 2000, 2000)]);
        let all = told([part]).ranking(at(M + 1, 15), Some(&Params::default())).expect("a minute");
        assert_eq!((all.tenants[0].tenant.as_str(), all.tenants[0].flood), ("bloom", None));
    }

    #[test]
    fn a_minute_is_shown_once_all_have_had_time_to_tell_and_until_the_next_one_is() {
        let minutes = told([minute((10, 10), &[("acme", 10, 0)])]);
        assert_eq!(minutes.ranking(at(M + 1, 14), None), None);
        assert!(minutes.ranking(at(M + 1, 15), None).is_some());
        assert!(minutes.ranking(at(M + 2, 14), None).is_some());
        assert_eq!(minutes.ranking(at(M + 2, 15), None), None);
    }

    #[test]
    fn what_is_told_again_counts_once_and_what_others_count_adds_to_it() {
        let mut minutes = TenantMinutes::default();
        for requests in [9, 10] {
            let part = minute((requests, 1), &[("acme", requests, 0)]);
            minutes.record(ShardId::Kafka("auth".to_owned(), 3), M, part, at(M + 1, 0));
        }
        minutes.merge_others([(M, minute((90, 9), &[("acme", 5, 7), ("bloom", 85, 60)]))].into());
        let (_, all) = minutes.newest(at(M + 1, 20)).expect("a minute");
        assert_eq!(all, minute((100, 10), &[("acme", 15, 7), ("bloom", 85, 60)]));
        let own = [(M, minute((10, 1), &[("acme", 10, 0)]))].into();
        assert_eq!(minutes.own(), own, "others tell for themselves");
    }

    #[test]
    fn the_past_and_the_future_have_no_say() {
        let mut minutes = TenantMinutes::default();
        for (told, now) in [(M - 60, M), (M + 5, M), (M - 4, M)] {
            minutes.record(ShardId::Slot(0), told, minute((10, 10), &[]), at(now, 0));
        }
        assert!(minutes.own().is_empty());
    }

    #[test]
    fn only_the_busiest_are_told_and_all_requests_are_counted() {
        let names: Vec<String> = (0..200).map(|n| format!("tenant_{n:03}")).collect();
        let tenants: Vec<(&str, u64, u64)> =
            (1..).zip(&names).map(|(n, name)| (&**name, n, 0)).collect();
        let own = told([minute((20_100, 20_100), &tenants)]).own().remove(&M).expect("a minute");
        assert_eq!((own.requests, own.tenants.len()), (20_100, BUSIEST_MAX));
        assert!(own.tenants.contains_key("tenant_199") && !own.tenants.contains_key("tenant_149"));
    }
}
