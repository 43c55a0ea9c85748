//! A tenant that wants to disarm tripline, or to have it act on others: whatever its credentials do, what is
//! proven for other tenants stays what it was.

use proptest::prelude::*;
use tripline::control_plane::policy::budget::{Claim, Proof};
use tripline::control_plane::policy::false_alarms::{Cohort, Counts};
use tripline::model::finding::Action;
use tripline::sim::random::Random;
use tripline::stats::bound::poisson_upper;

const THROTTLE: Claim = Claim::Burst(Action::Throttle);

fn quiet(days: u64) -> Counts {
    Counts { hours: days * 24, ..Counts::default() }
}

/// A tenant's counts as any use of it can make them.
fn any_tenant(days_max: u64, alarms_max: u64) -> impl Strategy<Value = Counts> {
    let alarms = (0..=alarms_max, 0..=alarms_max, 0..=alarms_max, 0..=alarms_max);
    (0..=days_max, alarms).prop_map(|(days, (mild, rate, both, corroborated))| {
        let both = both.min(rate);
        let revoking = corroborated.min(both);
        let open_findings = mild + rate;
        Counts {
            open_findings,
            rate,
            context: both + mild / 2,
            corroborated: revoking + mild / 4,
            justified: [open_findings, open_findings, rate, both, revoking],
            throttles: rate + mild / 3,
            ..quiet(days)
        }
    })
}

fn fleet(tenants: impl IntoIterator<Item = Counts>) -> Cohort {
    let named = (0..).map(|number: usize| format!("t{number:05}").into());
    Cohort { tenants: named.zip(tenants).collect(), ..Cohort::default() }
}

fn with(fleet: &Cohort, name: &str, counts: Counts) -> Cohort {
    let mut fleet = fleet.clone();
    fleet.tenants.insert(name.into(), counts);
    fleet
}

proptest! {
    /// Where no other tenant had a false alarm, every action that is open for a tenant without the hostile
    /// one is open with it.
    #[test]
    fn no_tenant_closes_an_action_for_others(
        others in prop::collection::vec(0_u64..20_000, 0..40),
        own in any_tenant(5000, 3),
        untenanted in any_tenant(5000, 3),
        hostile in any_tenant(1_000_000, 1000),
    ) {
        let mut fleet = fleet(others.into_iter().map(quiet));
        fleet.untenanted = untenanted;
        for (own, asked) in [(own, Some("own")), (quiet(7), None), (quiet(7), Some("a new one"))] {
            let without = with(&fleet, "own", own);
            let with = with(&without, "hostile", hostile);
            let [without, with] = [&without, &with].map(|cohort| Proof::of(cohort, asked));
            for claim in Claim::ALL {
                let (before, after) = (without.certified(claim), with.certified(claim));
                prop_assert!(after <= before * (1.0 + 1e-9), "{claim:?} {before} {after}");
            }
        }
    }

    /// Where others had false alarms too, it is one tenant more that had some, whatever it does.
    #[test]
    fn a_tenant_adds_no_more_than_one_false_alarm_to_those_of_others(
        others in prop::collection::vec(any_tenant(20_000, 2), 3..40),
        hostile in any_tenant(1_000_000, 1000),
    ) {
        let fleet = fleet(others);
        let one = Counts { hours: 0, justified: [1; 5], throttles: 1, ..any_alarm() };
        let (with, one_more) = (with(&fleet, "hostile", hostile), with(&fleet, "hostile", one));
        for asked in [Some("a new one"), None] {
            let (with, one_more) = (Proof::of(&with, asked), Proof::of(&one_more, asked));
            for claim in [THROTTLE, Claim::BuiltInLimit] {
                let (most, after) = (one_more.certified(claim), with.certified(claim));
                prop_assert!(after <= most * (1.0 + 1e-9), "{claim:?} {most} {after}");
            }
        }
    }

    /// What is certified holds whatever one tenant does: it is no less than what the honest ones alone prove,
    /// by own use or with that of all of them.
    #[test]
    fn no_tenant_opens_an_action_for_others(
        honest in prop::collection::vec(any_tenant(20_000, 2), 0..40),
        own in any_tenant(5000, 3),
        hostile in any_tenant(1_000_000, 1000),
    ) {
        let all = with(&with(&fleet(honest.clone()), "own", own), "hostile", hostile);
        let rate = Proof::of(&all, Some("own")).certified(THROTTLE);
        let (seen, expected) = (own.justified(Action::Throttle), rate * own.days());
        let alone = poisson_upper(seen, 0.95);
        let alarmed = honest.iter().filter(|one| one.justified(Action::Throttle) > 0).count();
        let of_all = poisson_upper(seen + alarmed as u64, 0.95);
        let expected_of = |one: &Counts| 1.0 - (-rate * one.days()).exp();
        let of_honest = expected + honest.iter().map(expected_of).sum::<f64>();
        let is_proven = expected >= alone * (1.0 - 1e-9) || of_honest >= of_all * (1.0 - 1e-9);
        prop_assert!(!rate.is_finite() || is_proven, "{rate} {expected} {alone} {of_honest} {of_all}");
    }
}

fn any_alarm() -> Counts {
    Counts { open_findings: 1, rate: 1, context: 1, corroborated: 1, ..Counts::default() }
}

/// The bound on the rate is exact or conservative: of fleets with a known rate of false alarms, no more than
/// 5 % are certified below it.
#[test]
fn of_fleets_with_a_known_rate_no_more_than_one_in_twenty_is_certified_below_it() {
    let mut random = Random::of(7, &[]);
    let mut false_alarms = |mean: f64| {
        // Gaps between them are exponential.
        let (mut sum, mut count) = (0.0, 0);
        loop {
            sum -= random.unit().ln();
            if sum > mean {
                return count;
            }
            count += 1;
        }
    };
    let rate = 1e-3;
    for (tenants, days) in [(30, 20), (30, 300), (8, 3000), (200, 50)] {
        let fleets = 4000;
        let below = (0..fleets).filter(|_| {
            let mut tenant = |days: u64| {
                let count = false_alarms(rate * days as f64);
                let justified = [count, count, count, 0, 0];
                Counts { open_findings: count, rate: count, justified, ..quiet(days) }
            };
            let fleet = fleet((0..tenants).map(|number| tenant(days + number)));
            Proof::of(&fleet, Some("t00000")).certified(THROTTLE) < rate
        });
        let share = below.count() as f64 / f64::from(fleets);
        assert!(share <= 0.055, "{tenants} tenants of {days} days: {share}");
    }
}
