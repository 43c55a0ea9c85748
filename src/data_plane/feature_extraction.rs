//! From an event's texts to hashes: what the detectors compare, in a few words of memory.
//!
//! The hashes are seeded, so that no one can choose a user agent or a path that collides with a
//! known one. They need not be strong: a sender sees no answer that depends on one.

use crate::model::event::AuthEvent;
use crate::model::features::{CostUnit, Facts, RequestCost};
use std::net::IpAddr;

/// The most bytes of a text that tell it from others. Chosen: what differs later is rare.
const TEXT_BYTES_MAX: usize = 96;
/// The most segments of a path that make its class. Chosen: deeper ones name single things.
const SEGMENTS_MAX: usize = 4;

/// The seed of the hashes.
#[derive(Clone, Copy)]
pub(crate) struct Seed(pub(crate) u64, pub(crate) u64);

/// The features of `event`.
pub(crate) fn facts_of(event: &AuthEvent<'_>, seed: Seed) -> Facts {
    let prefix = event.ip.map_or(0, |ip| network_hash(ip, seed));
    let network = event.asn.map_or(prefix, |asn| asn_hash(asn, seed));
    let country = event.country.map_or(0, |name| number(u64::from(u16::from_be_bytes(name)), seed));
    let agent = event.user_agent.as_deref().map_or(0, |agent| agent_family(agent, seed));
    let endpoint = event
        .endpoint
        .as_deref()
        .map_or(0, |path| endpoint_class(event.method.as_deref().unwrap_or(""), path, seed));
    let endpoint = event.model.as_deref().map_or(endpoint, |model| of_model(endpoint, model));
    Facts { values: [network, country, agent, endpoint], prefix, cost: cost_of(event) }
}

/// The hash of the /24 or /48 of an address.
pub(crate) fn network_hash(address: IpAddr, seed: Seed) -> u32 {
    number(prefix_of(address), seed)
}

/// The hash of an autonomous system.
pub(crate) fn asn_hash(asn: u32, seed: Seed) -> u32 {
    number(u64::from(asn) | 1 << 62, seed)
}

/// The /24 of an address of version 4, the /48 of one of version 6.
fn prefix_of(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => 1 << 63 | u64::try_from(ip.to_bits() >> 80).unwrap_or(0),
    }
}

/// A seeded hash of a number that is never 0.
fn number(value: u64, seed: Seed) -> u32 {
    finish(mix(seed.0, value))
}

/// The user agent without digits and their punctuation, so that a new version is no new client.
fn agent_family(agent: &str, seed: Seed) -> u32 {
    let mut letters = [0; TEXT_BYTES_MAX];
    let mut count = 0;
    for byte in agent.bytes().take(TEXT_BYTES_MAX) {
        // Overwritten by the next one unless it is a letter.
        if let Some(slot) = letters.get_mut(count) {
            *slot = byte | 0x20;
        }
        count += usize::from(byte.is_ascii_alphabetic());
    }
    finish(fold(seed.1, letters.get(..count).unwrap_or(&letters)))
}

/// Method and path, each segment that holds a digit taken for an id, the query left out.
fn endpoint_class(method: &str, path: &str, seed: Seed) -> u32 {
    let mut hash = fold(seed.1, method.as_bytes().get(..16).unwrap_or(method.as_bytes()));
    let path = path.as_bytes().get(..TEXT_BYTES_MAX).unwrap_or(path.as_bytes());
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    let path = path.get(..end).unwrap_or(path);
    let segments = path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty());
    for segment in segments.take(SEGMENTS_MAX) {
        let names_one = segment.iter().any(u8::is_ascii_digit) && !is_version(segment);
        hash = fold(hash, if names_one { b"*" } else { segment });
    }
    finish(hash)
}

/// The class of an endpoint at which several models answer: each is a class of its own, whatever its case.
fn of_model(endpoint: u32, model: &str) -> u32 {
    let mut lower = [0; TEXT_BYTES_MAX];
    for (slot, byte) in lower.iter_mut().zip(model.bytes()) {
        *slot = byte.to_ascii_lowercase();
    }
    let length = model.len().min(TEXT_BYTES_MAX);
    finish(fold(u64::from(endpoint), lower.get(..length).unwrap_or(&lower)))
}

/// The cost in money where it is known, else in tokens.
fn cost_of(event: &AuthEvent<'_>) -> RequestCost {
    // A gateway that doesn't know a model's price says 0.
    event.spend.filter(|spend| spend.micros() > 0 || event.tokens.is_none()).map_or_else(
        || RequestCost::new(event.tokens.unwrap_or(0), CostUnit::Tokens),
        |spend| RequestCost::new(spend.micros(), CostUnit::MoneyMicros),
    )
}

/// `v1`, `v2beta` and the like, which name an interface and no single thing.
fn is_version(segment: &[u8]) -> bool {
    segment.len() <= 8 && matches!(segment, [b'v', b'0'..=b'9', ..])
}

/// Takes in bytes, eight at a time, and how many there were.
/// Source: multiply and fold, as of FNV-1a, on words.
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let step = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ (product >> 32)
    };
    let hash = words.iter().fold(hash, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
    step(hash, last | (bytes.len() as u64) << 56)
}

/// Source: the finalizer of `SplitMix64` (Steele et al., 2014).
const fn mix(seed: u64, value: u64) -> u64 {
    let mixed = seed ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// The upper bits of a hash, never 0.
fn finish(hash: u64) -> u32 {
    u32::try_from(mix(hash, hash) >> 32).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::{Seed, facts_of};
    use crate::model::event::AuthEvent;
    use crate::model::features::{CostUnit, Facts, RequestCost};
    use crate::model::money::Money;
    use crate::model::time::EventTime;
    use std::borrow::Cow;

    fn facts(change: impl FnOnce(&mut AuthEvent<'static>)) -> Facts {
        let mut event = AuthEvent::new(EventTime::from_ms(0), Cow::Borrowed("k"));
        change(&mut event);
        facts_of(&event, Seed(3, 4))
    }

    fn endpoint(path: &'static str) -> u32 {
        facts(|event| event.endpoint = Some(path.into())).values[3]
    }

    fn agent(agent: &'static str) -> u32 {
        facts(|event| event.user_agent = Some(agent.into())).values[2]
    }

    fn network(ip: &str, asn: Option<u32>) -> u32 {
        let ip = ip.parse().ok();
        facts(|event| (event.ip, event.asn) = (ip, asn)).values[0]
    }

    #[test]
    fn what_is_not_said_is_no_value() {
        assert_eq!(facts(|_| ()), Facts::default());
    }

    #[test]
    fn a_network_is_the_autonomous_system_else_the_prefix() {
        assert_eq!(network("203.0.113.7", None), network("203.0.113.250", None));
        assert_ne!(network("203.0.113.7", None), network("203.0.114.7", None));
        assert_eq!(network("203.0.113.7", Some(64500)), network("198.51.100.9", Some(64500)));
        assert_eq!(network("2001:db8:1:2::3", None), network("2001:db8:1:9::4", None));
        assert_eq!(network("::ffff:203.0.113.7", None), network("203.0.113.9", None));
    }

    #[test]
    fn a_new_version_is_no_new_client() {
        assert_eq!(agent("openai-python/1.54"), agent("openai-python/2.0.1"));
        assert_ne!(agent("openai-python/1.54"), agent("curl/8.1"));
    }

    #[test]
    fn an_endpoint_class_leaves_ids_and_queries_out() {
        assert_eq!(endpoint("/v1/users/17/keys?x=1"), endpoint("/v1/users/42/keys"));
        assert_ne!(endpoint("/v1/users/17/keys"), endpoint("/v2/users/17/keys"));
        assert_ne!(endpoint("/v1/chat"), endpoint("/v1/models"));
    }

    #[test]
    fn each_model_of_an_endpoint_is_a_class_of_its_own() {
        let model = |name: &'static str| {
            let set = |event: &mut AuthEvent<'static>| {
                (event.endpoint, event.model) = (Some("/v1/chat".into()), Some(name.into()));
            };
            facts(set).values[3]
        };
        assert_eq!(model("gpt-4o"), model("GPT-4o"));
        assert_ne!(model("gpt-4o"), model("gpt-4.1"));
        assert_ne!(model("gpt-4o"), endpoint("/v1/chat"));
    }

    #[test]
    fn a_cost_is_money_where_it_is_known_else_tokens() {
        let of = |tokens, spend: Option<f64>| {
            let spend = spend.and_then(Money::of);
            facts(|event| (event.tokens, event.spend) = (tokens, spend)).cost
        };
        let tokens = of(Some(1_000), None);
        assert_eq!((tokens.amount(), tokens.unit()), (1_000, CostUnit::Tokens));
        let money = of(Some(1_000), Some(0.02));
        assert_eq!((money.amount(), money.unit()), (20_000, CostUnit::MoneyMicros));
        assert_eq!(of(Some(1_000), Some(0.0)), tokens, "a price that is not known");
        assert_eq!(of(Some(u64::MAX), None).amount(), (1 << 31) - 1);
        assert_eq!(of(None, None), RequestCost::default());
    }
}
