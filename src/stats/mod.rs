//! Numbers in, numbers out: the formulas, each with its source.
//!
//! **Does not** know the model: no credential, no event time, no action.

pub mod beta_binomial;
pub mod bound;
pub mod codec;
pub mod compact;
pub mod cusum;
pub mod decay;
pub mod dispersion;
pub mod distinct;
pub mod doorkeeper;
pub mod novelty;
pub mod quantile;
pub mod rate;
pub mod tail;
