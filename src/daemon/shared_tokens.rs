//! The revocation limit that all instances share, counted in a store that all of them ask.

use crate::adapters::channels::{ControlMessage, ControlPlane};
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::redis::store::RedisStore;
use crate::control_plane::policy::revocation_limit;
use crate::control_plane::shared_tokens::TokenRequest;
use crate::model::time::EventTime;
use tokio::runtime::Handle;

/// Asks the store that all instances share for tokens, and brings the answers to the control plane.
#[derive(Debug)]
pub(super) struct SharedRevocationLimit {
    /// The store that counts for all instances.
    pub(super) store: RedisStore,
    /// Where the answers go.
    pub(super) control: ControlPlane,
    /// The receiver of their answers.
    pub(super) runtime: Handle,
}

/// Returns the first store that can count for all instances, where there are several; then nothing
/// needs to be divided.
pub(super) fn shared_among(
    stores: &[AuthStore],
    params: &mut revocation_limit::Params,
) -> Option<RedisStore> {
    let store = stores.iter().find_map(AuthStore::shared).filter(|_| params.instances > 1)?;
    (params.instances, params.shared) = (1, true);
    Some(store)
}

impl SharedRevocationLimit {
    /// Asks for a token for a finding whose events `arrived` then; waits for nothing.
    pub(super) fn ask(&self, request: TokenRequest, arrived: EventTime) {
        let (store, control) = (self.store.clone(), self.control.clone());
        self.runtime.spawn(async move {
            let TokenRequest { tenant, allowed, finding } = request;
            let grant = store.take_token(tenant.as_deref(), allowed, finding).await;
            // The control plane may have ended.
            let _ended = control.send(ControlMessage::Token(finding, grant, arrived)).await;
        });
    }
}
