//! What members know of their parts of the fleet, told to each other through Redis.

use super::store::RedisStore;
use super::token::MEMBERS_KEY;
use crate::control_plane::instance_summary::MemberSummary;
use crate::formats::storage::instance_summary;
use ::redis::RedisError;

/// How old what another member told may be. Unit: milliseconds. Chosen: some of its rounds.
const YOUNG_MS: u32 = 10_000;

impl RedisStore {
    /// Tells the others what `member` knows; gives what each of them told recently.
    ///
    /// # Errors
    /// When Redis can't be asked.
    pub async fn share(
        &self,
        member: &str,
        summary: &MemberSummary,
    ) -> Result<Vec<MemberSummary>, RedisError> {
        let (mut live, number) = self.link.connection().await?;
        let mut invocation = self.scripts.fleet.prepare_invoke();
        invocation
            .key(MEMBERS_KEY)
            .arg(member)
            .arg(instance_summary::encode(summary))
            .arg(YOUNG_MS);
        let told: Vec<String> =
            self.noted(invocation.invoke_async(&mut live).await, number).await?;
        Ok(told.iter().filter_map(|one| instance_summary::decode(one)).collect())
    }
}
