//! What every decoder needs besides the record.

use super::address::TrustedProxies;
use super::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;

/// What a decoder needs besides the record.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What a record may be at the most.
    pub limits: &'a Limits,
    /// What stands for secrets.
    pub fingerprints: &'a Fingerprinter,
    /// Which hops of a list of addresses are proxies.
    pub proxies: &'a TrustedProxies,
}
