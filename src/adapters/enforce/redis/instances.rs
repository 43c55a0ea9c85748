//! Summaries of instances, exchanged through Redis.

use super::store::RedisStore;
use super::token::INSTANCES_KEY;
use crate::control_plane::instance_summary::InstanceSummary;
use crate::formats::storage::instance_summary;
use ::redis::RedisError;

/// How old what another instance reported may be. Unit: milliseconds. Chosen: some of its rounds.
const YOUNG_MS: u32 = 10_000;

impl RedisStore {
    /// Reports to the others what `instance` knows; gives what each of them reported recently.
    ///
    /// # Errors
    /// When Redis can't be asked.
    pub async fn share(
        &self,
        instance: &str,
        summary: &InstanceSummary,
    ) -> Result<Vec<InstanceSummary>, RedisError> {
        let (mut live, number) = self.link.connection().await?;
        let mut invocation = self.scripts.fleet.prepare_invoke();
        invocation
            .key(INSTANCES_KEY)
            .arg(instance)
            .arg(instance_summary::encode(summary))
            .arg(YOUNG_MS);
        let told: Vec<String> =
            self.noted(invocation.invoke_async(&mut live).await, number).await?;
        Ok(told.iter().filter_map(|one| instance_summary::decode(one)).collect())
    }
}
