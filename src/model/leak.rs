//! A leaked credential: someone found its secret where it should not be.

use crate::model::credential::Credential;
use compact_str::CompactString;

/// The most names of one leak. Chosen: a dozen spellings of a secret under each of five kinds.
pub const CANDIDATES_MAX: usize = 64;
/// The longest place. Unit: bytes. Chosen: an address of a file in a repository fits.
pub const PLACE_BYTES_MAX: usize = 256;

/// A secret that was found, known by names alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakedSecret {
    /// All names under which it may be known, best first; [`CANDIDATES_MAX`] at most.
    pub candidates: Vec<Credential>,
    /// Where it was found, [`PLACE_BYTES_MAX`] at most; empty where that is not known.
    pub place: CompactString,
    /// Who found it: `github`, `gitlab`, `webhook` or `self`.
    pub reporter: CompactString,
    /// Whether the reporter must have held the secret to name these candidates. Without that a leak
    /// alerts and does nothing else: anyone can write the claims of a JWT.
    pub is_proof: bool,
}

/// The result of a reported leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakOutcome {
    /// One of the candidates is a known credential.
    Known,
    /// None of them is.
    Unknown,
}
