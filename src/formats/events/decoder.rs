//! One door to all decoders.

use super::access_log::{self, AccessLog};
use super::address::TrustedProxies;
use super::context::Context;
use super::mapping::{self, Mapping};
use super::prices::Prices;
use super::refusal::{Limits, Refusal};
use super::syslog::message;
use super::{cloudtrail, native};
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::{AuthEvent, Field};
use std::borrow::Cow;
use std::sync::Arc;

/// How records are laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The contract.
    #[default]
    Native,
    /// AWS CloudTrail.
    CloudTrail,
    /// Access logs of web servers.
    AccessLog(AccessLog),
    /// An operator's own JSON.
    Mapping(Box<Mapping>),
}

impl Format {
    /// The names of those that are no mapping of the catalog.
    pub const NAMES: [&str; 4] = ["native", "cloudtrail", "access_log", "mapping"];

    /// Its name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CloudTrail => "cloudtrail",
            Self::AccessLog(_) => "access_log",
            Self::Mapping(mapping) => mapping.name,
        }
    }

    /// Whether a file of this format is documents rather than lines.
    pub const fn reads_documents(&self) -> bool {
        matches!(self, Self::CloudTrail)
    }
}

/// Changes to decoded events.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecodeCounters {
    /// Events that held a raw secret.
    pub secrets: u64,
    /// Fields that were repaired or left out, in the order of [`Field::ALL`].
    pub repairs: [u64; Field::ALL.len()],
}

impl DecodeCounters {
    /// Counts an event.
    pub fn add(&mut self, event: &AuthEvent<'_>) {
        self.secrets += u64::from(event.held_secret);
        if event.repairs.is_empty() {
            return;
        }
        for field in event.repairs.iter() {
            if let Some(count) = self.repairs.get_mut(field as usize) {
                *count += 1;
            }
        }
    }

    /// The fields that were repaired, and how often.
    pub fn repaired(&self) -> impl Iterator<Item = (Field, u64)> {
        Field::ALL.into_iter().zip(self.repairs).filter(|(_, count)| *count > 0)
    }
}

/// How the records of a source are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// How records are laid out.
    pub format: Format,
    /// Which hops of a list of addresses are proxies.
    pub proxies: TrustedProxies,
    /// Whether every credential is a secret as callers send it, whatever it looks like.
    pub raw_secrets: bool,
    /// The tenant of credentials whose record names none.
    pub tenant: Option<String>,
    /// Whether records have the header of syslog before them.
    pub is_syslog: bool,
    /// Prices of tokens, by model.
    pub prices: Arc<Prices>,
}

impl From<Format> for Decoder {
    fn from(format: Format) -> Self {
        Self { format, ..Self::default() }
    }
}

impl Format {
    /// Which of its records count as uses of their credential, in words; `None`: none does, so that
    /// they justify at most an alert.
    pub const fn counts(&self) -> Option<&'static str> {
        match self {
            Self::Native => Some(
                "whose event says verified, or an outcome of accepted or throttled, or else a status \
                 of 2xx",
            ),
            Self::CloudTrail => Some("that succeeded, or was denied to a known caller"),
            Self::AccessLog(log) => log.verified.counts(),
            Self::Mapping(mapping) => mapping.verified.counts(),
        }
    }
}

impl Decoder {
    /// Whether its credentials are raw secrets as a matter of course.
    pub fn expects_secrets(&self) -> bool {
        let of_mapping = match &self.format {
            Format::Mapping(mapping) => mapping.credential.has_secrets(),
            Format::Native | Format::CloudTrail | Format::AccessLog(_) => false,
        };
        self.raw_secrets || of_mapping
    }

    /// Decodes one record, with one answer for each event that it holds; none where a mapping passes it over.
    pub fn decode<'a>(
        &self,
        record: &'a [u8],
        limits: &Limits,
        fingerprints: &Fingerprinter,
        each: &mut impl FnMut(Result<AuthEvent<'a>, Refusal>),
    ) {
        let raw;
        let fingerprints = if self.raw_secrets {
            raw = fingerprints.for_raw_secrets();
            &raw
        } else {
            fingerprints
        };
        let context = Context { limits, fingerprints, proxies: &self.proxies };
        let each = &mut |answer: Result<AuthEvent<'a>, Refusal>| {
            each(answer.map(|mut event| {
                if event.tenant.is_none() {
                    event.tenant = self.tenant.clone().map(Cow::Owned);
                }
                self.prices.apply(&mut event);
                event
            }));
        };
        let record = if self.is_syslog { message(record) } else { record };
        match &self.format {
            Format::Native => each(native::decode(record, &context)),
            Format::CloudTrail => cloudtrail::decode(record, &context, each),
            Format::AccessLog(format) => each(access_log::decode(*format, record, &context)),
            Format::Mapping(mapping) => mapping::decode(mapping, record, &context, each),
        }
    }
}
