//! The reports of instances to each other through Redis: who they are, and what they know.

use super::store::RedisStore;
use super::token::INSTANCES_KEY;
use crate::control_plane::instance_summary::InstanceSummary;
use crate::control_plane::roster::KnownInstance;
use crate::formats::storage::instance_summary;
use crate::model::decision::InstanceId;
use crate::model::registration::Registration;
use ::redis::RedisError;

/// Another instance, and its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The instance; none: it did not say who it is, or not so that it can be read.
    pub known: Option<KnownInstance>,
    /// How long ago. Unit: milliseconds.
    pub age_ms: u64,
    /// Its part of the fleet, as far as that can be read.
    pub summary: InstanceSummary,
}

impl Reported {
    /// One bad report must not hide the others.
    fn read((age_ms, text): (u64, Vec<u8>)) -> Self {
        let read = std::str::from_utf8(&text).ok().and_then(instance_summary::decode);
        let (summary, registration) = read.unwrap_or_default();
        let known = registration.map(|registration| KnownInstance { registration, age_ms });
        Self { known, age_ms, summary }
    }
}

impl RedisStore {
    /// Reports to the others what an instance is and knows; gives what each of them reported last, of those
    /// that were heard of within ten minutes.
    ///
    /// # Errors
    /// When Redis can't be asked.
    pub async fn share(
        &self,
        registration: &Registration,
        summary: &InstanceSummary,
    ) -> Result<Vec<Reported>, RedisError> {
        let told = instance_summary::encode(summary, registration);
        let told = self.exchange(registration.instance, told).await?;
        Ok(told.into_iter().map(Reported::read).collect())
    }

    /// Reports that an instance leaves.
    ///
    /// # Errors
    /// When Redis can't be asked.
    pub async fn leave(&self, instance: InstanceId) -> Result<(), RedisError> {
        self.exchange(instance, String::new()).await.map(drop)
    }

    async fn exchange(
        &self,
        instance: InstanceId,
        told: String,
    ) -> Result<Vec<(u64, Vec<u8>)>, RedisError> {
        let (mut live, number) = self.link.connection().await?;
        let mut invocation = self.scripts.fleet.prepare_invoke();
        invocation.key(INSTANCES_KEY).arg(instance.to_string()).arg(told);
        self.noted(invocation.invoke_async(&mut live).await, number).await
    }
}
