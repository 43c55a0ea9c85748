//! The revocation limit that all instances share, counted in Redis by one script.

use super::store::RedisStore;
use crate::control_plane::policy::revocation_limit::Allowed;
use crate::model::decision::TokenGrant;
use crate::model::finding::FindingId;
use ::redis::RedisError;

/// The tokens of all instances. In braces, so that those of all and of a tenant share a hash slot.
const TOKENS_KEY: &str = "tripline:{breaker}:";
/// The summary of each instance's part of the fleet.
pub(super) const INSTANCES_KEY: &str = "tripline:{breaker}:members";

impl RedisStore {
    /// Takes a token for `finding`; the same finding takes one, however often it is asked.
    pub async fn take_token(
        &self,
        tenant: Option<&str>,
        allowed: Allowed,
        finding: FindingId,
    ) -> TokenGrant {
        match self.token(tenant, allowed, finding).await {
            Ok(1) => TokenGrant::Granted,
            Ok(_) => TokenGrant::Refused,
            Err(error) => {
                tracing::warn!(%error, "the request to Redis for a token of the revocation limit \
                    failed");
                TokenGrant::Unanswered
            }
        }
    }

    async fn token(
        &self,
        tenant: Option<&str>,
        allowed: Allowed,
        finding: FindingId,
    ) -> Result<u64, RedisError> {
        let (mut live, number) = self.link.connection().await?;
        let mut invocation = self.scripts.token.prepare_invoke();
        invocation.key(format!("{TOKENS_KEY}all"));
        if let Some(tenant) = tenant {
            invocation.key(format!("{TOKENS_KEY}tenant:{tenant}"));
        }
        invocation.arg(finding.to_string()).arg(allowed.for_all).arg(allowed.for_tenant);
        self.noted(invocation.invoke_async(&mut live).await, number).await
    }
}
