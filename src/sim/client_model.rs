//! How a client looks: from where, with what, to which endpoints, at what cost; and how that
//! changes honestly over the days.
//!
//! All is drawn by client from stated, seeded distributions. Each is chosen; where the data of the
//! trial say nothing of identity, a wide spread is safer than a narrow one.

use super::random::{Random, ms, whole, zipf};
use super::vocabulary::{AGENTS, COUNTRIES, ENDPOINTS, FAR_COUNTRIES, Network, SWEPT, TOOLS};
use crate::model::event::{AuthEvent, Outcome};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

const DAY_MS: f64 = 86_400_000.0;
/// Slots of a table of choices: weights are rounded to 1/64.
const SLOTS: usize = 64;

/// An honest change of how a client looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Version,
    Family,
    Network,
    Endpoint,
}

/// Which kind of client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientHabit {
    /// One to three networks.
    Settled,
    /// A phone behind carrier NAT: another network every few minutes.
    Mobile,
}

/// How a client looks.
#[derive(Clone, Debug)]
pub struct ClientModel {
    pub(crate) habit: ClientHabit,
    pub(crate) country: [u8; 2],
    pub(crate) networks: Vec<Network>,
    network_slots: [u16; SLOTS],
    agents: Vec<(u16, u16)>,
    tool: Option<&'static str>,
    endpoints: Vec<&'static str>,
    endpoint_slots: [u16; SLOTS],
    tokens: [u32; SLOTS],
    /// The share of requests that fail to authenticate.
    pub failure_ratio: f64,
    /// The share of requests that are refused for their rate.
    pub throttled_ratio: f64,
    changes: Vec<(i64, Change)>,
    moves_at: i64,
}

/// Slots for `n` values of falling weight; the later values get at least one each while there is
/// room.
fn slots(n: usize, exponent: f64) -> [u16; SLOTS] {
    let mut slots = [0; SLOTS];
    let weights = zipf(n.max(1), exponent);
    let mut at = 0;
    for (index, weight) in weights.iter().enumerate().rev() {
        let index = u16::try_from(index).unwrap_or(0);
        let wide = (whole((weight * SLOTS as f64).round()) as usize).max(1);
        for slot in slots.iter_mut().skip(at).take(wide) {
            *slot = index;
        }
        at += wide;
    }
    slots
}

impl ClientModel {
    /// A client's honest looks for `days` from `start_ms` on.
    ///
    /// One in ten is mobile. Networks: 1 to 3, with Zipf(1) weights. Endpoints: 1 to 6, likewise.
    /// Agents: 1 or 2. Tokens: lognormal with a median of 200 to 2,000 and a sigma of 1. Failures:
    /// a share of 0 to 1 %. Changes come by chance: a version every 14 days, a new agent family
    /// every 60, a new endpoint every 20; a new network at a rate a day that is 0 for half of the
    /// clients and else lognormal with a median of 0.1 and a sigma of 1, at most 1.
    pub fn honest(days: f64, start_ms: i64, random: &mut Random) -> Self {
        let habit = if random.chance(0.1) { ClientHabit::Mobile } else { ClientHabit::Settled };
        let country = random.one(&COUNTRIES).map_or(*b"US", |country| **country);
        let homes = if habit == ClientHabit::Mobile { 6 } else { 1 + random.below(3) };
        let networks: Vec<_> = (0..homes).map(|_| Network::draw(country, random)).collect();
        let families = 1 + random.below(2);
        let agents = (0..families).map(|_| (agent(random), 0)).collect();
        let mut endpoints: Vec<&'static str> = Vec::new();
        for _ in 0..=random.below(6) {
            let one = random.one(&ENDPOINTS).copied().unwrap_or("/");
            if !endpoints.contains(&one) {
                endpoints.push(one);
            }
        }
        let median = 200.0 * 10.0_f64.powf(random.unit());
        let mut tokens = [0; SLOTS];
        tokens.fill_with(|| whole(random.lognormal(median, 1.0)).max(1));
        let mut guise = Self {
            habit,
            country,
            network_slots: slots(networks.len(), 1.0),
            networks,
            agents,
            tool: None,
            endpoint_slots: slots(endpoints.len(), 1.0),
            endpoints,
            tokens,
            failure_ratio: 0.01 * random.unit() * random.unit(),
            throttled_ratio: 0.0,
            changes: Vec::new(),
            moves_at: start_ms,
        };
        guise.plan_changes(days, start_ms, random);
        guise
    }

    fn plan_changes(&mut self, days: f64, start_ms: i64, random: &mut Random) {
        let moves = if random.chance(0.5) { 0.0 } else { random.lognormal(0.1, 1.0).min(1.0) };
        let rates = [
            (Change::Version, 1.0 / 14.0),
            (Change::Family, 1.0 / 60.0),
            (Change::Endpoint, 1.0 / 20.0),
            (Change::Network, moves),
        ];
        for (change, per_day) in rates {
            let mut day = 0.0;
            loop {
                // A rate of 0 makes the next day infinite.
                day += random.exponential() / per_day;
                if day >= days {
                    break;
                }
                self.changes.push((start_ms + ms(day * DAY_MS), change));
            }
        }
        // The last one comes first out.
        self.changes.sort_by_key(|(at, _)| -at);
    }

    /// The same looks, which change no more.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self { changes: Vec::new(), ..self.clone() }
    }

    /// A thief's looks: one network elsewhere, a tool, the owner's endpoints.
    #[must_use]
    pub fn thief(&self, random: &mut Random) -> Self {
        let country = random.one(&FAR_COUNTRIES).map_or(*b"RU", |country| **country);
        let mut guise = self.clone();
        guise.habit = ClientHabit::Settled;
        guise.country = country;
        guise.networks = vec![Network::draw(country, random)];
        guise.network_slots = [0; SLOTS];
        guise.tool = random.one(&TOOLS).copied();
        guise.changes.clear();
        guise
    }

    /// The same client from that many networks all over the world, evenly.
    #[must_use]
    pub fn spread_out(&self, networks: usize, random: &mut Random) -> Self {
        let mut guise = self.clone();
        let anywhere = |_| {
            let country = random.one(&COUNTRIES).map_or(*b"US", |country| **country);
            Network::draw(country, random)
        };
        guise.networks = (0..networks).map(anywhere).collect();
        guise.network_slots = [u16::MAX; SLOTS];
        guise.habit = ClientHabit::Settled;
        guise.changes.clear();
        guise
    }

    /// The same client, going through 200 endpoints evenly.
    #[must_use]
    pub fn sweeping(&self) -> Self {
        let mut guise = self.clone();
        guise.endpoints = SWEPT.iter().map(String::as_str).collect();
        guise.endpoint_slots = [u16::MAX; SLOTS];
        guise
    }

    /// The same client from one other network of its country.
    #[must_use]
    pub fn moved(&self, random: &mut Random) -> Self {
        let mut guise = self.clone();
        guise.networks = vec![Network::draw(self.country, random)];
        guise.network_slots = [0; SLOTS];
        guise
    }

    /// The same client from one network of a far country.
    #[must_use]
    pub fn abroad(&self, random: &mut Random) -> Self {
        let mut guise = self.moved(random);
        guise.country = random.one(&FAR_COUNTRIES).map_or(*b"RU", |country| **country);
        guise.networks = vec![Network::draw(guise.country, random)];
        guise.habit = ClientHabit::Settled;
        guise.changes.clear();
        guise
    }

    /// The same client from the networks of another, and with its agents.
    #[must_use]
    pub fn at_home_of(&self, other: &Self) -> Self {
        Self {
            habit: ClientHabit::Settled,
            country: other.country,
            networks: other.networks.clone(),
            network_slots: other.network_slots,
            agents: other.agents.clone(),
            ..self.clone()
        }
    }

    /// The same client with an agent of another family.
    #[must_use]
    pub fn rebuilt(&self, random: &mut Random) -> Self {
        let mut guise = self.clone();
        guise.agents = vec![(agent(random), 0)];
        guise
    }

    /// Writes how a request at `time_ms` looks into `event`.
    pub fn dress(&mut self, event: &mut AuthEvent<'static>, time_ms: i64, random: &mut Random) {
        while self.changes.last().is_some_and(|(at, _)| *at <= time_ms) {
            if let Some((_, change)) = self.changes.pop() {
                self.change(change, random);
            }
        }
        if self.habit == ClientHabit::Mobile && self.moves_at <= time_ms {
            self.roam(time_ms, random);
        }
        let bits = random.bits();
        let part = |shift: u32| usize::try_from(bits >> shift & 63).unwrap_or(0);
        let host = u8::try_from(bits >> 24 & 15).unwrap_or(0);
        if let Some(network) = pick(&self.networks, &self.network_slots, part(0), random) {
            event.ip = Some(IpAddr::V4(Ipv4Addr::from_bits(network.prefix | u32::from(host))));
            event.asn = Some(network.asn);
            event.country = Some(network.country);
        }
        let at = usize::from(self.agents.len() > 1 && part(30) == 0);
        let (family, version) = self.agents.get(at).copied().unwrap_or((0, 0));
        let family = AGENTS.get(usize::from(family));
        let agent = family.and_then(|family| family.get(usize::from(version)).copied());
        event.user_agent = self.tool.or(agent).map(Cow::Borrowed);
        event.method = Some(Cow::Borrowed("POST"));
        let endpoint = pick(&self.endpoints, &self.endpoint_slots, part(6), random);
        event.endpoint = endpoint.map(Cow::Borrowed);
        event.tokens = self.tokens.get(part(12)).map(|tokens| u64::from(*tokens));
        let luck = (bits >> 36) as f64 / f64::from(1 << 28);
        let (outcome, status) = if luck < self.failure_ratio {
            (Outcome::Rejected, 401)
        } else if luck < self.failure_ratio + self.throttled_ratio {
            (Outcome::Throttled, 429)
        } else {
            (Outcome::Accepted, 200)
        };
        event.set_outcome(outcome);
        event.status = Some(status);
    }

    fn change(&mut self, change: Change, random: &mut Random) {
        match change {
            Change::Version => {
                if let Some((_, version)) = self.agents.first_mut() {
                    *version = (*version + 1).min(2);
                }
            }
            Change::Family => {
                let new = (agent(random), 0);
                if let Some(first) = self.agents.first_mut() {
                    *first = new;
                }
            }
            Change::Network => {
                // One in ten is abroad; it takes the least used place, or is one more.
                let abroad = random.chance(0.1);
                let country = random.one(&COUNTRIES).filter(|_| abroad);
                let country = country.map_or(self.country, |country| **country);
                let network = Network::draw(country, random);
                if self.networks.len() >= 4 {
                    self.networks.pop();
                }
                self.networks.push(network);
                self.network_slots = slots(self.networks.len(), 1.0);
            }
            Change::Endpoint => {
                if self.endpoints.len() < 12 {
                    self.endpoints.push(random.one(&ENDPOINTS).copied().unwrap_or("/"));
                    self.endpoint_slots = slots(self.endpoints.len(), 1.0);
                }
            }
        }
    }

    /// Another network of the carriers of its country for a while (exponential, 10 min).
    fn roam(&mut self, time_ms: i64, random: &mut Random) {
        let mut network = Network::draw(self.country, random);
        // The operators are few, their networks many.
        network.asn = 1000 + random.below(3) + 10 * u32::from(self.country[0]);
        self.networks = vec![network];
        self.network_slots = [0; SLOTS];
        self.moves_at = time_ms + ms(random.exponential() * 600_000.0);
    }
}

fn agent(random: &mut Random) -> u16 {
    u16::try_from(random.below(8)).unwrap_or(0)
}

/// The value of a slot; where slots say nothing, any value.
fn pick<T: Copy>(
    values: &[T],
    slots: &[u16; SLOTS],
    slot: usize,
    random: &mut Random,
) -> Option<T> {
    match slots.get(slot) {
        Some(&u16::MAX) | None => random.one(values).copied(),
        Some(&index) => values.get(usize::from(index)).copied(),
    }
}
