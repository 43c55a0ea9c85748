//! The format of scenario files.

use crate::config::units::{DURATIONS, RATES, duration_of, rate_of};
use crate::model::credential::{Credential, Kind};
use crate::model::decision::{Order, Safeguard};
use crate::model::event::Outcome;
use crate::model::finding::{Action, Detector};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::net::IpAddr;
use std::path::PathBuf;

/// A scenario: how credentials are used, and what is expected of tripline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its purpose, in a sentence.
    #[serde(default)]
    pub about: String,
    /// The configuration that is tried; none: the defaults. A path from the scenario's folder.
    pub config: Option<PathBuf>,
    /// Whether it is taken for proven that actions keep to their budgets, as after some weeks of
    /// your own traffic. Default: true; false tries the first day.
    #[serde(default = "yes")]
    pub proven: bool,
    /// Recorded events in the configuration's format. Paths from the scenario's folder.
    #[serde(default)]
    pub events: Vec<PathBuf>,
    /// Stretches of use.
    #[serde(default, rename = "use")]
    pub uses: Vec<Use>,
    /// Reports of leaked secrets.
    #[serde(default, rename = "leak")]
    pub leaks: Vec<LeakReport>,
    /// Canaries.
    #[serde(default, rename = "canary")]
    pub canaries: Vec<Canary>,
    /// Credentials that are taken out of service.
    #[serde(default)]
    pub out_of_service: Vec<Moment>,
    /// Credentials that a person puts back into service.
    #[serde(default, rename = "restore")]
    pub restores: Vec<Moment>,
    /// The expectations.
    #[serde(rename = "expect")]
    pub expectations: Vec<Expectation>,
}

/// A stretch of use of one credential.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// Whose: `kind:id`, or the id of an API key.
    #[serde(deserialize_with = "credential")]
    pub credential: Credential,
    /// When it begins, from the start of the scenario. Unit: milliseconds.
    #[serde(default, deserialize_with = "duration")]
    pub from: i64,
    /// How long it lasts. Unit: milliseconds.
    #[serde(deserialize_with = "duration")]
    pub lasts: i64,
    /// How fast. Unit: requests per minute.
    #[serde(deserialize_with = "rate")]
    pub rate: u32,
    /// The tenant.
    pub tenant: Option<String>,
    /// The outcome at the gateway.
    #[serde(default, deserialize_with = "outcome")]
    pub outcome: Outcome,
    /// The gateway's reason for it.
    pub reason: Option<String>,
    /// Whether the caller holds the credential. Default: as the outcome implies.
    pub verified: Option<bool>,
    /// Where it comes from.
    pub ip: Option<IpAddr>,
    /// How many networks it comes from, counted up from the /24 of `ip`.
    #[serde(default = "one")]
    pub networks: u32,
    /// The country, two capitals.
    #[serde(default, deserialize_with = "country")]
    pub country: Option<[u8; 2]>,
    /// The user agent.
    pub user_agent: Option<String>,
    /// The endpoint.
    pub endpoint: Option<String>,
    /// The cost of each request.
    pub tokens: Option<u64>,
    /// When the credential was issued, from the start of the scenario. Unit: milliseconds.
    #[serde(default, deserialize_with = "moment_if")]
    pub issued: Option<i64>,
    /// When it ends by itself, from the start of the scenario. Unit: milliseconds.
    #[serde(default, deserialize_with = "moment_if")]
    pub expires: Option<i64>,
    /// The grant that it belongs to.
    pub family: Option<String>,
    /// The authority that issued it.
    pub issuer: Option<String>,
    /// The gateway that answers.
    pub gateway: Option<String>,
}

/// A report that the secret of a credential leaked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakReport {
    /// Whose: `kind:id`, or the id of an API key.
    #[serde(deserialize_with = "credential")]
    pub credential: Credential,
    /// When it comes, from the start of the scenario. Unit: milliseconds.
    #[serde(default, deserialize_with = "duration")]
    pub at: i64,
    /// Where the secret was found.
    #[serde(default = "somewhere")]
    pub place: String,
    /// Whether it proves that the secret is this credential's. Default: true.
    #[serde(default = "yes")]
    pub proof: bool,
}

/// A credential that no one has a reason to use.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Whose: `kind:id`, or the id of an API key.
    #[serde(deserialize_with = "credential")]
    pub credential: Credential,
    /// Since when, from the start of the scenario. Unit: milliseconds.
    #[serde(default, deserialize_with = "duration")]
    pub from: i64,
}

/// When something is done to a credential.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Whose: `kind:id`, or the id of an API key.
    #[serde(deserialize_with = "credential")]
    pub credential: Credential,
    /// When, from the start of the scenario. Unit: milliseconds.
    #[serde(deserialize_with = "duration")]
    pub at: i64,
}

/// The expectation about one credential.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Whose: `kind:id`, or the id of an API key.
    #[serde(deserialize_with = "credential")]
    pub credential: Credential,
    /// A finding by this detector.
    #[serde(default, deserialize_with = "detector")]
    pub finding: Option<Detector>,
    /// That justifies at least this.
    #[serde(default, deserialize_with = "action")]
    pub action: Option<Action>,
    /// A decision of this order.
    #[serde(default, deserialize_with = "order")]
    pub decision: Option<Order>,
    /// That is carried out, or not.
    pub carried_out: Option<bool>,
    /// That is held by these safeguards and no others.
    #[serde(default, deserialize_with = "safeguards")]
    pub held_by: Option<Vec<Safeguard>>,
    /// No finding justifies more than this.
    #[serde(default, deserialize_with = "action")]
    pub at_most: Option<Action>,
    /// Since when it counts, from the start of the scenario. Unit: milliseconds.
    #[serde(default, deserialize_with = "duration")]
    pub after: i64,
    /// How long after that at the latest. Unit: milliseconds.
    #[serde(default, deserialize_with = "duration_if")]
    pub within: Option<i64>,
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

fn somewhere() -> String {
    "a report".to_owned()
}

fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Option<T>,
    remedy: &str,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom(format_args!("\"{text}\": {remedy}")))
}

fn credential<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Credential, D::Error> {
    let parse = |text: &str| {
        let (kind, id) = match text.split_once(':') {
            Some((kind, id)) => (Kind::parse(kind)?, id),
            None => (Kind::ApiKey, text),
        };
        Credential::new(kind, id).ok()
    };
    read(deserializer, parse, "write kind:id, or the id of an API key")
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    read(deserializer, duration_of, DURATIONS)
}

fn duration_if<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    duration(deserializer).map(Some)
}

/// A time from the start of the scenario, which may lie before it.
fn moment_if<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let parse = |text: &str| match text.strip_prefix('-') {
        Some(before) => duration_of(before).map(|ms| -ms),
        None => duration_of(text),
    };
    let remedy = format!("{DURATIONS}, with a minus for a time before the start");
    read(deserializer, parse, &remedy).map(Some)
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read(deserializer, |text| rate_of(text).filter(|rate| *rate > 0), RATES)
}

fn outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
    read(deserializer, Outcome::parse, "write accepted, rejected or throttled")
}

fn country<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 2]>, D::Error> {
    let parse = |text: &str| text.as_bytes().try_into().ok();
    read(deserializer, parse, "write two capitals, DE say").map(Some)
}

fn detector<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Detector>, D::Error> {
    let names = Detector::ALL.map(Detector::as_str).join(", ");
    read(deserializer, Detector::parse, &format!("write one of {names}")).map(Some)
}

fn action<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Action>, D::Error> {
    let names = Action::ALL.map(Action::as_str).join(", ");
    read(deserializer, Action::parse, &format!("write one of {names}")).map(Some)
}

fn order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Order>, D::Error> {
    let names = Order::ALL.map(Order::as_str).join(", ");
    read(deserializer, Order::parse, &format!("write one of {names}")).map(Some)
}

fn safeguards<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Safeguard>>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = Safeguard::ALL.map(Safeguard::as_str).join(", ");
    let parse = |name: &String| {
        Safeguard::parse(name)
            .ok_or_else(|| D::Error::custom(format_args!("\"{name}\": write some of {known}")))
    };
    names.iter().map(parse).collect::<Result<_, _>>().map(Some)
}
