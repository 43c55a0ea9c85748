//! The tenants that a partition tells apart, by number, and what each takes of the fleet.

use super::tenant_minutes::{self, BUSIEST_MAX, Share};
use crate::detect::tenant_flood::{Minute, Season};
use crate::stats::codec::{Codec, Input};
use compact_str::CompactString;
use hashbrown::HashMap;

/// How many a partition tells apart; credentials of further ones have none. It bounds what made-up
/// tenants can cost.
const TENANTS_MAX: u16 = u16::MAX;

/// The number of no tenant.
pub const NO_TENANT: u16 = u16::MAX;

/// What a tenant does in the running minute.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    requests: u32,
    busiest: u32,
    busiest_requests: u32,
}

/// A tenant that made requests in the minute that ended.
#[derive(Clone, Debug)]
pub struct Busy<'a> {
    /// What is usual for it.
    pub season: &'a Season,
    /// Its number.
    pub tenant: u16,
    /// The minute.
    pub minute: Minute,
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
    /// in which the whole fleet is silent teach nothing. Gives who was busiest.
    pub fn minute_ends(
        &mut self,
        minute: u32,
        mut each: impl FnMut(Busy<'_>),
    ) -> Option<tenant_minutes::Minute> {
        let fleet = std::mem::take(&mut self.fleet);
        if fleet == 0 {
            return None;
        }
        let busiest = self.busiest(minute, fleet);
        let running = self.running.iter_mut();
        for (tenant, (season, running)) in (0..).zip(self.seasons.iter_mut().zip(running)) {
            let Running { requests, busiest, .. } = std::mem::take(running);
            let ended = Minute { minute, requests, fleet };
            if requests > 0 {
                each(Busy { season, tenant, minute: ended, busiest });
            }
            season.learn(ended);
        }
        Some(busiest)
    }

    /// The busiest of the running minute.
    fn busiest(&self, minute: u32, fleet: u64) -> tenant_minutes::Minute {
        let mut busy: Vec<usize> = (0..self.running.len()).collect();
        let requests = |at: &usize| self.running.get(*at).map_or(0, |running| running.requests);
        busy.retain(|at| requests(at) > 0);
        if busy.len() > BUSIEST_MAX {
            busy.select_nth_unstable_by_key(BUSIEST_MAX, |at| std::cmp::Reverse(requests(at)));
            busy.truncate(BUSIEST_MAX);
        }
        let of = |at: usize| {
            let (name, season) = (self.names.get(at)?.clone(), self.seasons.get(at)?);
            let usual = season.usual_share(minute) * fleet as f64;
            let share = Share {
                requests: requests(&at).into(),
                usual: counted(usual),
                watched_min: season.minutes(),
            };
            Some((name, share))
        };
        tenant_minutes::Minute {
            requests: fleet,
            tenants: busy.into_iter().filter_map(of).collect(),
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
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let names: Vec<CompactString> = Codec::decode(input)?;
        let (running, seasons): (Vec<_>, Vec<_>) = Codec::decode(input)?;
        let numbers: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
        let (known, fleet) = (names.len(), Codec::decode(input)?);
        let whole = known <= usize::from(TENANTS_MAX)
            && [numbers.len(), running.len(), seasons.len()] == [known; 3];
        whole.then_some(Self { names, numbers, running, seasons, fleet })
    }
}
