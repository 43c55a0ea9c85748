//! The tenants that a partition reports apart, by number, and what each takes of the fleet.
//!
//! **Invariant** M-1: they are bounded, too. When there are too many, one goes that no credential
//! belongs to and that has no rule in the configuration; while there is none such, a new tenant gets
//! no number, which is counted. So made-up tenants displace each other alone, and a tenant with rules
//! always has a number.

use crate::detect::tenant_flood::{DAY_MINUTES, Season, Taken, Usual};
use crate::model::signal::{BUSIEST_MAX, MinuteTotals, TenantTotals};
use crate::stats::codec::{Codec, Input, count};
use compact_str::CompactString;
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// The number of no tenant.
pub const NO_TENANT: u16 = u16::MAX;
/// How many tenants there may be without a rule. Chosen: leaves numbers for those with one.
const WITHOUT_RULES_MAX: usize = 60_000;
/// How many tenants there may be in any case.
const ALL_MAX: usize = NO_TENANT as usize;
/// The least number of tenants, however little memory there is.
const LEAST: usize = 64;
/// How many are looked at to find one to go.
const CANDIDATES: usize = 64;
/// The size of a tenant: its entry and its place in the index, which is between half and all full.
/// Unit: bytes.
const TENANT_BYTES: usize = size_of::<Option<Tenant>>() + 64;

/// The fleet's usual requests move by one part of so many with each minute. Chosen: about a day.
const FLEET_LEARNS: f32 = 1.0 / DAY_MINUTES as f32;

/// A tenant's running minute.
#[derive(Clone, Copy, Debug, Default)]
struct RunningTotals {
    requests: u32,
    busiest: u32,
    busiest_requests: u32,
}

/// A tenant that made requests in the minute that ended.
#[derive(Clone, Copy, Debug)]
pub struct Busy {
    /// Its number.
    pub tenant: u16,
    /// Its share.
    pub taken: Taken,
    /// Its usual share.
    pub usual: Usual,
    /// The number of its busiest credential.
    pub busiest: u32,
}

/// One tenant.
#[derive(Clone, Debug, Default)]
struct Tenant {
    name: CompactString,
    running: RunningTotals,
    season: Season,
    /// How many credentials that are remembered belong to it.
    credentials: u32,
    /// Whether the configuration names it.
    has_rules: bool,
}

/// The tenants by number.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    all: Vec<Option<Tenant>>,
    free: BTreeSet<u16>,
    numbers: HashMap<CompactString, u16>,
    bytes_max: usize,
    /// Where it is looked for one to go.
    hand: usize,
    fleet: u64,
    /// Everybody's requests in a usual minute, of any hour.
    usual_fleet: f32,
    /// How many minutes that was learned from.
    minutes: u32,
}

impl Tenants {
    /// None yet, and at most so many bytes of them.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// The same, with at most so many bytes of them from now on.
    #[must_use]
    pub fn within(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// The number of that tenant, now or from now on; `None` where there is no room for it.
    /// `has_rules`: whether the configuration names it.
    pub fn number_of(&mut self, name: &str, has_rules: bool) -> Option<u16> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let most = (self.bytes_max / TENANT_BYTES).clamp(LEAST, WITHOUT_RULES_MAX);
        if self.numbers.len() >= if has_rules { ALL_MAX } else { most } {
            self.displace()?;
        }
        let number = if let Some(number) = self.free.pop_first() {
            number
        } else {
            self.all.push(None);
            u16::try_from(self.all.len() - 1).ok()?
        };
        let name = CompactString::new(name);
        if let Some(slot) = self.all.get_mut(usize::from(number)) {
            *slot = Some(Tenant { name: name.clone(), has_rules, ..Tenant::default() });
        }
        self.numbers.insert(name, number);
        Some(number)
    }

    /// Forgets one that no credential belongs to and that has no rule.
    fn displace(&mut self) -> Option<()> {
        let goes = |tenant: &Tenant| tenant.credentials == 0 && !tenant.has_rules;
        for _ in 0..CANDIDATES.min(self.all.len()) {
            let at = self.hand;
            self.hand = (at + 1) % self.all.len();
            if let Some(tenant) = self.all.get_mut(at)?.take_if(|tenant| goes(tenant)) {
                self.numbers.remove(&tenant.name);
                self.free.insert(u16::try_from(at).ok()?);
                return Some(());
            }
        }
        None
    }

    /// A credential belongs to that tenant from now on.
    pub fn hold(&mut self, number: u16) {
        if let Some(tenant) = self.get_mut(number) {
            tenant.credentials = tenant.credentials.saturating_add(1);
        }
    }

    /// A credential of that tenant is forgotten, or belongs to another one.
    pub fn release(&mut self, number: u16) {
        if let Some(tenant) = self.get_mut(number) {
            tenant.credentials = tenant.credentials.saturating_sub(1);
        }
    }

    /// Which tenants the configuration names.
    pub fn set_rules(&mut self, has_rules: impl Fn(&str) -> bool) {
        for tenant in self.all.iter_mut().flatten() {
            tenant.has_rules = has_rules(&tenant.name);
        }
    }

    /// The memory that they take. Unit: bytes.
    pub const fn bytes(&self) -> usize {
        self.all.len() * TENANT_BYTES
    }

    fn get_mut(&mut self, number: u16) -> Option<&mut Tenant> {
        self.all.get_mut(usize::from(number))?.as_mut()
    }

    /// The tenant of that number.
    pub fn name(&self, number: u16) -> Option<&CompactString> {
        self.all.get(usize::from(number))?.as_ref().map(|tenant| &tenant.name)
    }

    /// Counts a request of the credential of `number`, its `in_minute`th of the minute.
    pub fn count(&mut self, tenant: u16, number: u32, in_minute: u32) {
        self.fleet += 1;
        if let Some(Tenant { running, .. }) = self.get_mut(tenant) {
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
        for (number, tenant) in (0..).zip(&mut self.all) {
            let Some(Tenant { running, season, .. }) = tenant else { continue };
            let RunningTotals { requests, busiest, .. } = std::mem::take(running);
            let taken = Taken { requests: requests.into(), fleet };
            if requests > 0 {
                each(Busy { tenant: number, taken, usual: season.usual(minute), busiest });
            }
            season.learn(minute, taken);
        }
        totals
    }

    /// The shares of the running minute of the largest, now or usually. A partition that was not
    /// watched for a day does not know what is usual, and says nothing of it.
    fn totals(&self, minute: u32, fleet: u64) -> MinuteTotals {
        let knows = self.minutes >= DAY_MINUTES;
        let usual_fleet = if knows { f64::from(self.usual_fleet) } else { 0.0 };
        let of = |(at, tenant): (usize, &Option<Tenant>)| {
            let Tenant { running, season, .. } = tenant.as_ref()?;
            let usual = season.usual(minute);
            let totals = TenantTotals {
                requests: running.requests.into(),
                usual: counted(usual.share * usual_fleet),
                watched_minutes: usual.minutes.min(self.minutes),
            };
            Some((at, totals))
        };
        let all = self.all.iter().enumerate().filter_map(of);
        let weight = |totals: &TenantTotals| totals.requests.max(totals.usual);
        let mut busiest: Vec<_> = all.filter(|(_, totals)| weight(totals) > 0).collect();
        if busiest.len() > BUSIEST_MAX {
            busiest.select_nth_unstable_by_key(BUSIEST_MAX, |(at, totals)| {
                (std::cmp::Reverse(weight(totals)), *at)
            });
            busiest.truncate(BUSIEST_MAX);
        }
        let named = |(at, totals): (usize, TenantTotals)| {
            Some((self.all.get(at)?.as_ref()?.name.clone(), totals))
        };
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

crate::codec!(RunningTotals { requests, busiest, busiest_requests });

impl Codec for Tenants {
    fn encode(&self, out: &mut Vec<u8>) {
        // A number that is free has an empty name.
        let nobody = Tenant::default();
        let all = || self.all.iter().map(|tenant| tenant.as_ref().unwrap_or(&nobody));
        all().map(|tenant| tenant.name.clone()).collect::<Vec<_>>().encode(out);
        all().map(|tenant| tenant.running).collect::<Vec<_>>().encode(out);
        all().map(|tenant| tenant.season.clone()).collect::<Vec<_>>().encode(out);
        self.fleet.encode(out);
        (self.usual_fleet, self.minutes).encode(out);
        count(self.hand).encode(out);
    }

    /// Without what the configuration and the credentials say of them.
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let names: Vec<CompactString> = Codec::decode(input)?;
        let (running, seasons): (Vec<RunningTotals>, Vec<Season>) = Codec::decode(input)?;
        let mut tenants = Self { fleet: Codec::decode(input)?, ..Self::default() };
        // Layout 1 does not have it: it is learned again.
        if input.version() >= 2 {
            (tenants.usual_fleet, tenants.minutes) = Codec::decode(input)?;
        }
        if input.version() >= 3 {
            tenants.hand = usize::try_from(u32::decode(input)?).ok()?;
        }
        if names.len() > ALL_MAX || [running.len(), seasons.len()] != [names.len(); 2] {
            return None;
        }
        let each = names.into_iter().zip(running).zip(seasons);
        for (number, ((name, running), season)) in (0..).zip(each) {
            if name.is_empty() {
                tenants.free.insert(number);
                tenants.all.push(None);
                continue;
            }
            tenants.numbers.insert(name.clone(), number).is_none().then_some(())?;
            tenants.all.push(Some(Tenant { name, running, season, ..Tenant::default() }));
        }
        (tenants.hand == 0 || tenants.hand < tenants.all.len()).then_some(tenants)
    }
}

#[cfg(test)]
mod tests {
    use super::{BUSIEST_MAX, CompactString, LEAST, Tenants};

    /// Minutes in which the tenants make so many requests.
    fn play(tenants: &mut Tenants, minutes: std::ops::Range<u32>, requests: &[(&str, u32)]) {
        for minute in minutes {
            count(tenants, requests);
            tenants.minute_ends(minute, |_| {});
        }
    }

    fn count(tenants: &mut Tenants, requests: &[(&str, u32)]) {
        for (tenant, times) in requests {
            let number = tenants.number_of(tenant, false).expect("there is room");
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
        let mut tenants = Tenants::new(1 << 20);
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

    #[test]
    fn made_up_tenants_displace_each_other_and_no_tenant_with_credentials_or_rules() {
        let mut tenants = Tenants::new(0);
        let used = tenants.number_of("used", false).expect("room");
        tenants.hold(used);
        let ruled = tenants.number_of("ruled", true).expect("room");
        for n in 0..100_000 {
            let number = tenants.number_of(&format!("made_up_{n}"), false);
            assert!(number.is_some_and(|number| number != used && number != ruled), "{n}");
        }
        assert!(tenants.all.len() <= LEAST && tenants.numbers.len() <= LEAST);
        assert_eq!(tenants.number_of("used", false), Some(used));
        assert_eq!(tenants.name(ruled).map(CompactString::as_str), Some("ruled"));
        // Once all have credentials there is no room, but for one with rules.
        for number in 0..64 {
            tenants.hold(number);
        }
        assert_eq!(tenants.number_of("new", false), None);
        assert!(tenants.number_of("new_with_rules", true).is_some());
        tenants.release(used);
        tenants.set_rules(|name| name == "used");
        tenants.release(ruled);
        let numbers: Vec<_> = (0..4).map(|n| tenants.number_of(&format!("b{n}"), false)).collect();
        assert!(numbers.contains(&None) || !numbers.contains(&Some(used)), "{numbers:?}");
    }
}
