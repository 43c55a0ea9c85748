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
}

impl Decoder {
    /// The names of all formats.
    pub const FORMATS: [&str; 4] = ["native", "cloudtrail", "access_log", "mapping"];

    /// Its format's name.
    pub const fn format(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CloudTrail => "cloudtrail",
            Self::AccessLog(_) => "access_log",
            Self::Mapping(_) => "mapping",
        }
    }

    /// Whether a file of this format is one document rather than lines.
    pub const fn reads_documents(&self) -> bool {
        matches!(self, Self::CloudTrail)
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
        }
    }
}
