//! Records as they are understood: what `check --sample` shows, and the guess at a format where most are refused.

use crate::adapters::clock;
use crate::adapters::sources::file::{Layout, Records};
use crate::adapters::storage::key_material::KEY_BYTES;
use crate::config::sections::catalog;
use crate::config::settings::Settings;
use crate::formats::events::access_log::AccessLog;
use crate::formats::events::decoder::{Decoder, Format};
use crate::formats::events::refusal::{Limits, Refusal};
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::AuthEvent;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// How many records are shown.
const SHOWN: u64 = 5;
/// By how many records a format is guessed.
const GUESSED_BY: usize = 50;

/// Reads a file as records of a source, and says how they are understood.
///
/// # Errors
/// When it can't be read.
pub(super) fn describe(settings: &Settings, path: &Path) -> io::Result<Sample> {
    let mut sample = Sample::default();
    let limits = Limits::at(clock::now());
    let (fingerprints, is_own) = fingerprints(settings);
    sample.has_own_key = is_own;
    let decoder = &settings.decoder;
    let mut records = Records::of_format(path, &decoder.format, |raw| raw)?;
    while records
        .decode_on(decoder, (&limits, &fingerprints), |line, answer| sample.add(line, &answer))?
    {
    }
    if sample.is_mostly_refused() {
        sample.guess = guess(path, decoder.format.as_str());
        let others = settings.sources.decoders.iter();
        let others = others.filter(|(name, _)| **name != settings.decoder_source);
        for (name, other) in others {
            let mut records = Records::of_format(path, &other.format, |raw| raw)?;
            let mut events = 0;
            records.decode_on(other, (&limits, &fingerprints), |_, it| {
                events += u64::from(it.is_ok());
            })?;
            if events > 0 {
                sample.others.push(name.clone());
            }
        }
    }
    Ok(sample)
}

/// The fingerprints that the daemon makes, where its key is there and may be read; and whether it was.
fn fingerprints(settings: &Settings) -> (Fingerprinter, bool) {
    let path = settings.fingerprint_key_file.clone();
    let path = path.unwrap_or_else(|| settings.data_dir.join("fingerprint.key"));
    let key = std::fs::read(path).ok().filter(|key| key.len() >= KEY_BYTES);
    let is_own = key.is_some();
    let key = key.unwrap_or_else(|| vec![0; KEY_BYTES]);
    (Fingerprinter::new(key).with_random_ids(settings.random_ids), is_own)
}

/// How the records of a file are understood.
#[derive(Debug, Default)]
pub(super) struct Sample {
    text: String,
    shown: u64,
    events: u64,
    verified: u64,
    refused: BTreeMap<&'static str, (u64, u64, Refusal)>,
    guess: Option<&'static str>,
    /// Other sources of the configuration that read it.
    others: Vec<String>,
    /// Whether fingerprints are those that the daemon makes.
    has_own_key: bool,
    has_fingerprints: bool,
}

impl Sample {
    fn add(&mut self, line: u64, answer: &Result<AuthEvent<'_>, Refusal>) {
        match answer {
            Ok(event) => {
                self.events += 1;
                self.verified += u64::from(event.verified);
                self.has_fingerprints |= event.held_secret;
            }
            Err(refusal) => {
                self.refused.entry(refusal.as_str()).or_insert((0, line, *refusal)).0 += 1;
            }
        }
        if self.shown < SHOWN {
            self.shown += 1;
            self.text.push_str(&match answer {
                Ok(event) => shown(line, event),
                Err(refusal) => {
                    format!("{line}: refused, {}: {}\n", refusal.as_str(), refusal.remedy())
                }
            });
        }
    }

    fn refused(&self) -> u64 {
        self.refused.values().map(|(count, ..)| count).sum()
    }

    fn is_mostly_refused(&self) -> bool {
        self.refused() > self.events
    }

    /// Whether the source reads nothing of it.
    pub(super) const fn is_blind(&self) -> bool {
        self.events == 0
    }

    /// As text: the first records, all refusals, and what would follow.
    pub(super) fn table(&self, settings: &Settings) -> String {
        let (source, format) = (&settings.decoder_source, settings.decoder.format.as_str());
        let mut text = format!("as records of the source {source} ({format}):\n{}", self.text);
        let (events, refused) = (self.events, self.refused());
        let _written = writeln!(text, "{events} records read, {refused} refused");
        for (reason, (count, line, refusal)) in &self.refused {
            let remedy = refusal.remedy();
            let _written = writeln!(text, "  {reason}: {count}, the first is {line}: {remedy}");
        }
        if let Some(format) = self.guess {
            let _written = writeln!(
                text,
                "this looks like the format {format}: --format {format}, or format = \"{format}\" in its section"
            );
        }
        if !self.others.is_empty() {
            let others = self.others.join(", ");
            let _written = writeln!(text, "as records of {others} it is read: --source NAME");
        }
        if self.has_fingerprints && !self.has_own_key {
            text.push_str(
                "the daemon will name these secrets by other fingerprints: its key is not here\n",
            );
        }
        let severe = settings.control.modes.most_severe();
        let follows = match (self.events, self.verified) {
            (0, _) => "nothing would be watched".to_owned(),
            (_, 0) => {
                "no record shows that its caller holds the credential: at most alerts. Say which \
                       do, as `verified` of the source, or by --verified 2xx"
                    .to_owned()
            }
            (events, verified) => {
                format!(
                    "{verified} of {events} count as uses; by mode, that leads to {severe} at most"
                )
            }
        };
        let _written = writeln!(text, "{follows}");
        text
    }
}

/// An event, field by field.
fn shown(line: u64, event: &AuthEvent<'_>) -> String {
    let mut text = format!("{line}: {}:{} at {}\n", event.kind, event.credential, event.time);
    let counts = if event.verified { "counts as a use" } else { "doesn't count as a use" };
    let _written = writeln!(text, "   {}, {counts}", event.outcome.as_str());
    let country = event.country.map(|code| String::from_utf8_lossy(&code).into_owned());
    let fields = [
        ("status", event.status.map(|status| status.to_string())),
        ("reason", event.reason.as_deref().map(str::to_owned)),
        ("ip", event.ip.map(|ip| ip.to_string())),
        ("asn", event.asn.map(|asn| asn.to_string())),
        ("country", country),
        ("user_agent", event.user_agent.as_deref().map(str::to_owned)),
        ("method", event.method.as_deref().map(str::to_owned)),
        ("endpoint", event.endpoint.as_deref().map(str::to_owned)),
        ("tenant", event.tenant.as_deref().map(str::to_owned)),
        ("subject", event.subject.as_deref().map(str::to_owned)),
        ("id", event.id.as_deref().map(str::to_owned)),
        ("model", event.model.as_deref().map(str::to_owned)),
        ("tokens", event.tokens.map(|tokens| tokens.to_string())),
        ("spend", event.spend.map(|spend| spend.units().to_string())),
        ("issued", event.issued.map(|issued| issued.to_string())),
        ("expires", event.expires.map(|expires| expires.to_string())),
        ("family", event.family.as_deref().map(str::to_owned)),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            let _written = writeln!(text, "   {name:<11}{value}");
        }
    }
    for field in event.repairs.iter() {
        let _written = writeln!(
            text,
            "   {:<11}could not be read as it was: repaired, or left out",
            field.as_str()
        );
    }
    if event.held_secret {
        text.push_str("   a secret was replaced by its fingerprint\n");
    }
    text
}

/// The format that reads the first records of a file best, if it is another one.
pub(super) fn guess(path: &Path, current: &str) -> Option<&'static str> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let layout = Layout::Lines;
    let limits = Limits::default();
    let mut records = Records::open(path, layout, limits.record_bytes_max, |raw| raw).ok()?;
    while lines.len() < GUESSED_BY
        && records
            .read_on(|_, record| lines.extend(record.ok().map(<[u8]>::to_vec)))
            .unwrap_or(false)
    {}
    lines.truncate(GUESSED_BY);
    let fingerprints = Fingerprinter::new(vec![0; 32]);
    let scored = catalog::names().filter(|name| !matches!(*name, "mapping")).map(|name| {
        let decoder = Decoder::from(format_of(name));
        let mut score = 0;
        for line in &lines {
            decoder.decode(line, &limits, &fingerprints, &mut |answer| {
                // A request without a credential is of the format all the same.
                score += match answer {
                    Ok(_) => 2,
                    Err(Refusal::NoCredential) => 1,
                    Err(_) => 0,
                };
            });
        }
        (score, name)
    });
    let (score, name) = scored.max_by_key(|(score, name)| (*score, *name != "native"))?;
    (name != current && score >= lines.len().max(1)).then_some(name)
}

fn format_of(name: &str) -> Format {
    match (name, catalog::format(name)) {
        (_, Some(format)) => Format::Mapping(Box::new(format.mapping.clone())),
        ("cloudtrail", None) => Format::CloudTrail,
        ("access_log", None) => Format::AccessLog(AccessLog::default()),
        (_, None) => Format::Native,
    }
}
