//! The inputs of every decoder besides the record.

use super::address::TrustedProxies;
use super::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;

/// The inputs of a decoder besides the record.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The bounds of a record.
    pub limits: &'a Limits,
    /// The substitute for secrets.
    pub fingerprints: &'a Fingerprinter,
    /// Which hops of a list of addresses are proxies.
    pub proxies: &'a TrustedProxies,
}
