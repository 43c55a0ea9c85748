//! One door to all decoders.

use super::access_log::{self, AccessLog};
use super::mapping::{self, Mapping};
use super::refusal::{Limits, Refusal};
use super::secret::Fingerprinter;
use super::{cloudtrail, native};
use crate::model::event::AuthEvent;

/// How records are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decoder {
    /// The contract.
    #[default]
    Native,
    /// AWS CloudTrail.
    CloudTrail,
    /// Access logs of web servers.
    AccessLog(AccessLog),
    /// An operator's own JSON.
    Mapping(Box<Mapping>),
    /// One of the others, where every credential is a secret as callers send it.
    RawSecrets(Box<Self>),
}

impl Decoder {
    /// The names of all formats.
    pub const FORMATS: [&str; 4] = ["native", "cloudtrail", "access_log", "mapping"];

    /// Its format's name.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CloudTrail => "cloudtrail",
            Self::AccessLog(_) => "access_log",
            Self::Mapping(_) => "mapping",
            Self::RawSecrets(inner) => inner.format(),
        }
    }

    /// How records are read, whatever credentials are.
    pub fn inner(&self) -> &Self {
        match self {
            Self::RawSecrets(inner) => inner,
            Self::Native | Self::CloudTrail | Self::AccessLog(_) | Self::Mapping(_) => self,
        }
    }

    /// The same that takes every credential for a secret, if `raw_secrets`.
    #[must_use]
    pub fn of_raw_secrets(self, raw_secrets: bool) -> Self {
        match (raw_secrets, self) {
            (true, it @ Self::RawSecrets(_)) | (false, it) => it,
            (true, it) => Self::RawSecrets(Box::new(it)),
        }
    }

    /// Whether a file of this format is one document rather than lines.
    pub fn reads_documents(&self) -> bool {
        matches!(self.inner(), Self::CloudTrail)
    }

    /// Decodes one record, with one answer for each event that it holds.
    pub fn decode<'a>(
        &self,
        record: &'a [u8],
        limits: &Limits,
        fingerprints: &Fingerprinter,
        each: &mut impl FnMut(Result<AuthEvent<'a>, Refusal>),
    ) {
        match self {
            Self::Native => each(native::decode(record, limits, fingerprints)),
            Self::CloudTrail => cloudtrail::decode(record, limits, fingerprints, each),
            Self::AccessLog(format) => {
                each(access_log::decode(*format, record, limits, fingerprints));
            }
            Self::Mapping(mapping) => each(mapping::decode(mapping, record, limits, fingerprints)),
            Self::RawSecrets(inner) => {
                inner.decode(record, limits, &fingerprints.for_raw_secrets(), each);
            }
        }
    }
}
