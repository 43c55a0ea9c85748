//! The tenants that a partition tells apart, by number, and what each takes of the fleet.

use super::tenant_minutes::{BUSIEST_MAX, MinuteTotals, TenantTotals};
use crate::detect::tenant_flood::{DAY_MINUTES, Season, Taken, Usual};
use crate::stats::codec::{Codec, Input};
use compact_str::CompactString;
use hashbrown::HashMap;

/// How many a partition tells apart; credentials of further ones have none. It bounds what made-up
/// tenants can cost.
const TENANTS_MAX: u16 = u16::MAX;

/// The number of no tenant.
pub const NO_TENANT: u16 = u16::MAX;

/// The fleet's usual requests move by one part of so many with each minute. Chosen: about a day.
const FLEET_LEARNS: f32 = 1.0 / DAY_MINUTES as f32;

/// What a tenant does in the running minute.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    requests: u32,
    busiest: u32,
    busiest_requests: u32,
}

/// A tenant that made requests in the minute that ended.
#[derive(Clone, Copy, Debug)]
pub struct Busy {
    /// Its number.
    pub tenant: u16,
    /// What it took.
    pub taken: Taken,
    /// What is usual for it.
    pub usual: Usual,
    /// The number of its busiest credential.
    pub busiest: u32,
}

/// The tenants, numbered in the order in which they were first seen.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    names: Vec<CompactString>,
    numbers: HashMap<CompactString, u16>,
    running: Vec<Running>,
    seasons: Vec<Season>,
    fleet: u64,
    /// Everybody's requests in a usual minute, of any hour.
    usual_fleet: f32,
    /// How many minutes that was learned from.
    minutes: u32,
}

impl Tenants {
    /// The number of that tenant, now or from now on.
    pub fn number_of(&mut self, tenant: &str) -> u16 {
        if let Some(number) = self.numbers.get(tenant) {
            return *number;
        }
        let number = u16::try_from(self.names.len()).unwrap_or(TENANTS_MAX);
        if number < TENANTS_MAX {
            self.names.push(CompactString::new(tenant));
            self.numbers.insert(CompactString::new(tenant), number);
            self.running.push(Running::default());
            self.seasons.push(Season::default());
        }
        number
    }

    /// The tenant of that number.
    pub fn name(&self, number: u16) -> Option<&CompactString> {
        self.names.get(usize::from(number))
    }

    /// Counts a request of the credential of `number`, its `in_minute`th of the minute.
    pub fn count(&mut self, tenant: u16, number: u32, in_minute: u32) {
        self.fleet += 1;
        if let Some(running) = self.running.get_mut(usize::from(tenant)) {
            running.requests += 1;
            if in_minute > running.busiest_requests {
                (running.busiest, running.busiest_requests) = (number, in_minute);
            }
        }
    }

    /// Ends `minute` (since 1970): `each` gets who was busy, before the minute is learned. Minutes
    /// in which the whole fleet is silent teach nothing. Gives what the busiest took, and usually take.
    pub fn minute_ends(&mut self, minute: u32, mut each: impl FnMut(Busy)) -> Option<MinuteTotals> {
        let fleet = std::mem::take(&mut self.fleet);
        let totals = (fleet > 0 || self.minutes > 0).then(|| self.totals(minute, fleet));
        if fleet == 0 {
            return totals;
        }
        self.minutes = self.minutes.saturating_add(1);
        let learns = FLEET_LEARNS.max(1.0 / self.minutes as f32);
        self.usual_fleet += learns * (fleet as f32 - self.usual_fleet);
        let running = self.running.iter_mut();
        for (tenant, (season, running)) in (0..).zip(self.seasons.iter_mut().zip(running)) {
            let Running { requests, busiest, .. } = std::mem::take(running);
            let taken = Taken { requests: requests.into(), fleet };
            if requests > 0 {
                each(Busy { tenant, taken, usual: season.usual(minute), busiest });
            }
            season.learn(minute, taken);
        }
        totals
    }

    /// What those took of the running minute that take most, or usually do. A partition that was not
    /// watched for a day does not know what is usual, and says nothing of it.
    fn totals(&self, minute: u32, fleet: u64) -> MinuteTotals {
        let knows = self.minutes >= DAY_MINUTES;
        let usual_fleet = if knows { f64::from(self.usual_fleet) } else { 0.0 };
        let of = |(at, (running, season)): (usize, (&Running, &Season))| {
            let usual = season.usual(minute);
            let totals = TenantTotals {
                requests: running.requests.into(),
                usual: counted(usual.share * usual_fleet),
                watched_minutes: usual.minutes.min(self.minutes),
            };
            (at, totals)
        };
        let all = self.running.iter().zip(&self.seasons).enumerate().map(of);
        let weight = |totals: &TenantTotals| totals.requests.max(totals.usual);
        let mut busiest: Vec<_> = all.filter(|(_, totals)| weight(totals) > 0).collect();
        if busiest.len() > BUSIEST_MAX {
            busiest.select_nth_unstable_by_key(BUSIEST_MAX, |(at, totals)| {
                (std::cmp::Reverse(weight(totals)), *at)
            });
            busiest.truncate(BUSIEST_MAX);
        }
        let named =
            |(at, totals): (usize, TenantTotals)| Some((self.names.get(at)?.clone(), totals));
        MinuteTotals {
            requests: fleet,
            usual: counted(usual_fleet),
            tenants: busiest.into_iter().filter_map(named).collect(),
        }
    }
}

/// The nearest count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
fn counted(requests: f64) -> u64 {
    requests.round().max(0.0) as u64
}

crate::codec!(Running { requests, busiest, busiest_requests });

impl Codec for Tenants {
    fn encode(&self, out: &mut Vec<u8>) {
        self.names.encode(out);
        self.running.encode(out);
        self.seasons.encode(out);
        self.fleet.encode(out);
        (self.usual_fleet, self.minutes).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let names: Vec<CompactString> = Codec::decode(input)?;
        let (running, seasons): (Vec<_>, Vec<_>) = Codec::decode(input)?;
        let numbers: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
        let (known, fleet) = (names.len(), Codec::decode(input)?);
        // Layout 1 does not have it: it is learned anew.
        let (usual_fleet, minutes) =
            if input.version() < 2 { (0.0, 0) } else { Codec::decode(input)? };
        let whole = known <= usize::from(TENANTS_MAX)
            && [numbers.len(), running.len(), seasons.len()] == [known; 3];
        whole.then_some(Self { names, numbers, running, seasons, fleet, usual_fleet, minutes })
    }
}

#[cfg(test)]
mod tests {
    use super::{BUSIEST_MAX, Tenants};

    /// Minutes in which the tenants make so many requests.
    fn play(tenants: &mut Tenants, minutes: std::ops::Range<u32>, requests: &[(&str, u32)]) {
        for minute in minutes {
            count(tenants, requests);
            tenants.minute_ends(minute, |_| {});
        }
    }

    fn count(tenants: &mut Tenants, requests: &[(&str, u32)]) {
        for (tenant, times) in requests {
            let number = tenants.number_of(tenant);
            (0..*times).for_each(|n| tenants.count(number, 7, n));
        }
    }

    #[test]
    fn what_is_usual_is_told_of_a_usual_minute_even_in_one_that_is_not() {
        let mut tenants = Tenants::default();
        play(&mut tenants, 0..2000, &[("acme", 30), ("bloom", 10)]);
        let told = tenants.minute_ends(2000, |_| {}).expect("a silent minute");
        assert_eq!((told.requests, told.tenants["bloom"].usual), (0, 10));
        count(&mut tenants, &[("acme", 4000)]);
        let told = tenants.minute_ends(2001, |_| {}).expect("a minute");
        assert_eq!((told.requests, told.usual), (4000, 40));
        let [acme, bloom] = ["acme", "bloom"].map(|name| told.tenants[name]);
        assert_eq!((acme.requests, acme.usual, acme.watched_minutes), (4000, 30, 2000));
        assert_eq!((bloom.requests, bloom.usual), (0, 10), "who is usually there, too");
    }

    #[test]
    fn of_many_tenants_the_busiest_are_told_and_all_requests_are_counted() {
        let mut tenants = Tenants::default();
        let names: Vec<String> = (0..200).map(|n| format!("tenant_{n:03}")).collect();
        let all: Vec<(&str, u32)> = (1..).zip(&names).map(|(n, name)| (&**name, n)).collect();
        count(&mut tenants, &all);
        let told = tenants.minute_ends(5, |_| {}).expect("a minute");
        assert_eq!((told.requests, told.tenants.len()), (20_100, BUSIEST_MAX));
        assert!(
            told.tenants.contains_key("tenant_199") && !told.tenants.contains_key("tenant_149")
        );
        assert!(told.usual == 0, "what is usual is not known on the first day");
        assert!(Tenants::default().minute_ends(6, |_| {}).is_none(), "nobody was ever here");
    }
}
