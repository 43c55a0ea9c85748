//! `tripline test`: a user's own scenarios, as a check of their configuration.
//!
//! A scenario says how credentials are used and what is expected; it runs through the same engine
//! as the daemon, in event time.

use super::expectation::Outcome;
use super::format::{Scenario, Use};
use super::timeline::{Step, moments_of, steps_of};
use crate::adapters::sources::file::{Layout, Records};
use crate::adapters::storage::key_material;
use crate::cli::scenario::story::ScenarioResult;
use crate::config::loader;
use crate::config::loader::LoadError;
use crate::config::settings::Settings;
use crate::control_plane::policy::budget::Budgets;
use crate::data_plane::batch::Batch;
use crate::engine::{Engine, Output};
use crate::formats::events::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::AuthEvent;
use crate::model::signal::Signal;
use crate::model::time::EventTime;
use std::borrow::Cow;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// When scenarios begin: 2027-01-04T00:00:00Z, a Monday.
const START: EventTime = EventTime::from_s(1_798_934_400);
/// The most requests of a scenario. Chosen: a minute of a engine.
const REQUESTS_MAX: u64 = 50_000_000;
/// How far from the start a use may end. Unit: milliseconds. Chosen: ten years.
const SPAN_MS_MAX: i64 = 10 * 366 * 86_400_000;
/// Events applied at once.
const BATCH: usize = 256;

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The scenario has a mistake.
    #[error("{}: {message}", path.display())]
    Mistake {
        /// In which file.
        path: PathBuf,
        /// The mistake, and where it is.
        message: String,
    },
    /// Its configuration has mistakes.
    #[error(transparent)]
    Settings(#[from] LoadError),
}

/// Reads and runs a scenario; gives what became of each expectation.
///
/// # Errors
/// When it can't be run.
pub fn run(path: &Path) -> Result<Vec<Outcome>, ScenarioError> {
    let read = |source| ScenarioError::Read { path: path.to_owned(), source };
    let mistake = |message| ScenarioError::Mistake { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let scenario: Scenario = toml::from_str(&text).map_err(|error| mistake(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut settings = match &scenario.config {
        Some(config) => loader::load(&folder.join(config))?,
        None => loader::defaults(loader::environment()).map_err(LoadError::from)?,
    };
    if scenario.proven {
        settings.control.budgets = Budgets::NONE;
    }
    check(&scenario).map_err(mistake)?;
    let requests: u64 = scenario.uses.iter().map(requests_of).sum();
    if requests > REQUESTS_MAX {
        return Err(mistake(format!("{requests} requests are too many; at most {REQUESTS_MAX}")));
    }
    let mut batch = Batch::default();
    for file in &scenario.events {
        recorded(&folder.join(file), &settings, &mut batch)?;
    }
    let start = batch.rows().iter().map(|row| row.time).min().unwrap_or(START);
    for (seed, stretch) in (1..).zip(&scenario.uses) {
        invent(stretch, start, seed, &mut batch);
    }
    batch.sort_by_time();
    batch.number_from(0);
    let story = play(&batch, steps_of(&scenario, start), &settings);
    Ok(scenario
        .expectations
        .iter()
        .map(|one| super::expectation::judge(one, &story, start))
        .collect())
}

/// Runs the events in order of time, and each step before the events of its time.
fn play(batch: &Batch, steps: Vec<Step>, settings: &Settings) -> ScenarioResult {
    let partition = Arc::new(settings.partition.clone());
    let control = Arc::new(settings.control.clone());
    let mut engine = Engine::new(partition, control, key_material::REPLAY_SEED);
    let mut story = ScenarioResult::default();
    let mut record = |output| match output {
        Output::Signal(signal) => {
            let Signal { finding, .. } = *signal;
            story.findings.insert(finding.id, finding);
        }
        Output::Decision(decision) => story.decisions.push(*decision),
    };
    let mut begin = 0;
    for step in steps {
        let end = batch.rows().partition_point(|row| row.time < step.at);
        for piece in batch.pieces_of(begin..end, BATCH) {
            engine.apply(&piece, &mut record);
        }
        step.apply(&mut engine, &mut record);
        begin = end;
    }
    for piece in batch.pieces_of(begin..batch.len(), BATCH) {
        engine.apply(&piece, &mut record);
    }
    story
}

/// Rejects expectations that can't be meant: they would come true, or be left out, unnoticed.
fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.expectations.is_empty() {
        return Err("nothing is expected: write at least one [[expect]]".to_owned());
    }
    for stretch in &scenario.uses {
        let credential = &stretch.credential;
        let ends = stretch.from.checked_add(stretch.lasts);
        if ends.is_none_or(|ends| !(0..=SPAN_MS_MAX).contains(&ends)) {
            return Err(format!("{credential}: a use must end within 10 years of the start"));
        }
        if stretch.networks > 1 && stretch.ip.is_none() {
            return Err(format!(
                "{credential}: networks are counted up from `ip`, which is missing"
            ));
        }
        if stretch.networks == 0 {
            return Err(format!("{credential}: networks must be 1 or more"));
        }
        if requests_of(stretch) == 0 {
            return Err(format!("{credential}: so short a use, at that rate, makes no request"));
        }
        let span = -SPAN_MS_MAX..=SPAN_MS_MAX;
        let far = |ms: &i64| !span.contains(ms);
        if stretch.issued.iter().chain(&stretch.expires).any(far) {
            return Err(format!(
                "{credential}: `issued` and `expires` must lie within 10 years of the start"
            ));
        }
    }
    for (at, credential) in moments_of(scenario) {
        if at > SPAN_MS_MAX {
            return Err(format!("{credential}: all must happen within 10 years of the start"));
        }
    }
    for one in &scenario.expectations {
        let credential = &one.credential;
        let used = |stretch: &Use| stretch.credential == *credential;
        let is_named = scenario.uses.iter().any(used)
            || moments_of(scenario).any(|(_, named)| named == credential);
        if scenario.events.is_empty() && !is_named {
            return Err(format!("{credential}: expected in [[expect]], but never used"));
        }
        let of_decision = one.carried_out.is_some() || one.held_by.is_some();
        if of_decision && one.decision.is_none() {
            return Err(format!("{credential}: carried_out and held_by need a decision"));
        }
        let of_finding = one.finding.is_some() || one.action.is_some();
        let kinds = [of_finding, one.decision.is_some(), one.at_most.is_some()];
        if kinds.into_iter().filter(|is| *is).count() > 1 {
            return Err(format!(
                "{credential}: expect a finding, a decision or at_most, each in its own [[expect]]"
            ));
        }
    }
    Ok(())
}

fn requests_of(stretch: &Use) -> u64 {
    let lasts = u64::try_from(stretch.lasts).unwrap_or(0);
    lasts.saturating_mul(u64::from(stretch.rate)) / 60_000
}

/// A number in 0..1 that looks random. Source: the finalizer of `SplitMix64`.
fn scattered(seed: u64, n: u64) -> f64 {
    let mut z = (seed << 40 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

/// Lays out a stretch of use: one request in each of equal spans, somewhere in it.
fn invent(stretch: &Use, start: EventTime, seed: u64, batch: &mut Batch) {
    let id = Cow::Borrowed(stretch.credential.id());
    let mut event = AuthEvent::new(start, id);
    event.kind = stretch.credential.kind();
    event.tenant = stretch.tenant.as_deref().map(Cow::Borrowed);
    event.set_outcome(stretch.outcome);
    event.verified = stretch.verified.unwrap_or(event.verified);
    event.reason = stretch.reason.as_deref().map(Cow::Borrowed);
    event.issued = stretch.issued.map(|ms| start.plus_ms(ms));
    event.expires = stretch.expires.map(|ms| start.plus_ms(ms));
    event.family = stretch.family.as_deref().map(Cow::Borrowed);
    event.issuer = stretch.issuer.as_deref().map(Cow::Borrowed);
    event.gateway = stretch.gateway.as_deref().map(Cow::Borrowed);
    event.country = stretch.country;
    event.user_agent = stretch.user_agent.as_deref().map(Cow::Borrowed);
    event.endpoint = stretch.endpoint.as_deref().map(Cow::Borrowed);
    event.tokens = stretch.tokens;
    let gap_ms = 60_000.0 / f64::from(stretch.rate);
    for n in 0..requests_of(stretch) {
        #[expect(clippy::cast_possible_truncation, reason = "within the scenario")]
        let ms = ((n as f64 + scattered(seed, n)) * gap_ms) as i64;
        event.time = start.plus_ms(stretch.from + ms);
        let turn = u32::try_from(n % u64::from(stretch.networks.max(1))).unwrap_or(0);
        event.ip = stretch.ip.map(|ip| neighbour(ip, turn));
        batch.push(&event, 0, key_material::REPLAY_SEED);
    }
}

/// An address in the network that is so many /24 or /48 further on.
fn neighbour(ip: IpAddr, networks: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::from(ip.to_bits().wrapping_add(networks << 8).to_be_bytes()),
        IpAddr::V6(ip) => {
            IpAddr::from(ip.to_bits().wrapping_add(u128::from(networks) << 80).to_be_bytes())
        }
    }
}

fn recorded(path: &Path, settings: &Settings, batch: &mut Batch) -> Result<(), ScenarioError> {
    let read = |source| ScenarioError::Read { path: path.to_owned(), source };
    let documents = settings.decoder.format.reads_documents();
    let layout = if documents { Layout::Document } else { Layout::Lines };
    let limits = Limits { time_max: EventTime::MAX, ..Limits::default() };
    let key = key_material::replay_key(settings.fingerprint_key_file.as_deref()).map_err(read)?;
    let fingerprints = Fingerprinter::new(key).with_random_ids(settings.random_ids);
    let bytes_max = limits.record_bytes_max;
    let mut records = Records::open(path, layout, bytes_max, |raw| raw).map_err(read)?;
    let mut refused = None;
    let mut go_on = true;
    while go_on {
        go_on = records
            .read_on(|line, record| match record {
                Ok(record) => {
                    settings.decoder.decode(record, &limits, &fingerprints, &mut |it| match it {
                        Ok(event) => batch.push(&event, 0, key_material::REPLAY_SEED),
                        Err(refusal) => {
                            refused.get_or_insert((line, refusal));
                        }
                    });
                }
                Err(refusal) => {
                    refused.get_or_insert((line, refusal));
                }
            })
            .map_err(read)?;
    }
    match refused {
        None => Ok(()),
        Some((line, refusal)) => Err(ScenarioError::Mistake {
            path: path.to_owned(),
            message: format!("line {line} is refused: {}", refusal.as_str()),
        }),
    }
}
