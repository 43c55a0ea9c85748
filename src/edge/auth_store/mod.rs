//! Auth stores: what gateways believe.
//!
//! Carrying out a decision is idempotent by its id, and a store refuses a decision whose
//! generation is not newer than the one it holds (invariant S-3).

pub mod embedded;
pub mod redis;
pub mod template;

use crate::model::decision::{Decision, Delivery};

/// A place that gateways believe.
#[derive(Clone, Debug)]
pub enum AuthStore {
    /// In this process, on this disk.
    Embedded(embedded::EmbeddedStore),
    /// Redis.
    Redis(redis::RedisStore),
}

impl AuthStore {
    /// Its name in the journal and in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Redis(_) => "redis",
        }
    }

    /// Carries out a decision; safe to repeat.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        match self {
            Self::Embedded(store) => store.carry_out(decision).await,
            Self::Redis(store) => store.carry_out(decision).await,
        }
    }
}
