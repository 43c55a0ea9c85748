//! Auth stores: what gateways believe.
//!
//! Carrying out a decision is idempotent by its id, and a store that can compare refuses a decision
//! whose generation is not newer than the one it holds (invariant S-3).
//!
//! There may be several at once. Each has a name, which is in the journal and in metrics, and
//! the kinds of credentials that it receives.

use crate::adapters::egress::Egress;
use crate::adapters::enforce::answer::Pulse;
use crate::adapters::enforce::answer::Reading;
use crate::formats::outbound::security_event::Transmitter;
use crate::model::credential::{Credential, Kind, Kinds};
use crate::model::decision::{Decision, Delivery, EnforcementState, InstanceId, Order};
use std::sync::Arc;

/// The name of the embedded store.
pub const EMBEDDED: &str = "embedded";

/// A store of the configuration.
#[derive(Clone, Debug)]
pub struct Params {
    /// Its name in the journal and in metrics: `redis`, or of which there may be several
    /// `webhook.NAME`.
    pub name: String,
    /// The kinds that it receives. Default: every kind.
    pub kinds: Kinds,
    /// The kind of store.
    pub of: KindOfStore,
}

/// The kind of a store of the configuration.
#[derive(Clone, Debug)]
pub enum KindOfStore {
    /// Redis.
    Redis(Box<super::redis::store::Params>),
    /// A webhook.
    Webhook(super::webhook::Params),
    /// An OAuth 2.0 authorization server.
    OAuth(super::oauth::Params),
    /// A Shared Signals receiver.
    SharedSignals(Box<super::shared_signals::Params>),
}

/// Why a store can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthStoreError {
    /// Redis.
    #[error(transparent)]
    Redis(#[from] crate::adapters::redis_connection::ServerAddressError),
}

impl Params {
    /// Whether all instances can write it, follow each other through it and count the tokens of the revocation
    /// limit in it.
    pub const fn can_be_shared(&self) -> bool {
        matches!(self.of, KindOfStore::Redis(_))
    }
}

/// A place that gateways believe.
#[derive(Clone, Debug)]
pub struct AuthStore {
    name: Arc<str>,
    kinds: Kinds,
    door: Door,
}

#[derive(Clone, Debug)]
enum Door {
    /// In this process, on this disk.
    Embedded(super::embedded::store::EmbeddedStore),
    /// Redis.
    Redis(super::redis::store::RedisStore),
    /// A webhook.
    Webhook(super::webhook::WebhookStore),
    /// An OAuth 2.0 authorization server.
    OAuth(super::oauth::OAuthStore),
    /// A Shared Signals receiver.
    SharedSignals(Box<super::shared_signals::SharedSignalsStore>),
}

impl AuthStore {
    /// The embedded store, which receives every credential.
    pub fn embedded(store: super::embedded::store::EmbeddedStore) -> Self {
        Self { name: EMBEDDED.into(), kinds: Kinds::ALL, door: Door::Embedded(store) }
    }

    /// Sets a store up; it connects when it is first used. `epoch` differs for each process, `instance` for each
    /// instance.
    ///
    /// # Errors
    /// When its parameters can't be used.
    pub fn open(
        params: Params,
        (epoch, instance): (&str, InstanceId),
        egress: &Egress,
    ) -> Result<Self, AuthStoreError> {
        let egress = egress.clone();
        let door = match params.of {
            KindOfStore::Redis(redis) => {
                let store = super::redis::store::RedisStore::new(*redis, epoch)?;
                Door::Redis(store.of_instance(instance))
            }
            KindOfStore::Webhook(webhook) => {
                Door::Webhook(super::webhook::WebhookStore::new(webhook, egress))
            }
            KindOfStore::OAuth(oauth) => Door::OAuth(super::oauth::OAuthStore::new(oauth, egress)),
            KindOfStore::SharedSignals(receiver) => Door::SharedSignals(Box::new(
                super::shared_signals::SharedSignalsStore::new(*receiver, egress),
            )),
        };
        Ok(Self { name: params.name.into(), kinds: params.kinds, door })
    }

    /// Its name in the journal and in metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kinds that it receives.
    pub const fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Whether it receives that credential.
    pub fn takes(&self, credential: &Credential) -> bool {
        self.kinds.has(credential.kind())
    }

    /// Whether it can put a credential of that kind back into service; a pure receiver of
    /// revocations can't.
    pub fn can_restore(&self, kind: Kind) -> bool {
        match &self.door {
            Door::Redis(store) => store.can(Order::Restore, kind),
            Door::Embedded(_) | Door::Webhook(_) => true,
            Door::OAuth(_) | Door::SharedSignals(_) => false,
        }
    }

    /// Whether it can be asked what it holds; a receiver of messages can't.
    pub const fn can_be_read(&self) -> bool {
        match &self.door {
            Door::Embedded(_) | Door::Redis(_) => true,
            Door::Webhook(_) | Door::OAuth(_) | Door::SharedSignals(_) => false,
        }
    }

    /// Its entries about credentials, in their order.
    pub async fn read(&self, wanted: &[EnforcementState]) -> Reading {
        match &self.door {
            Door::Embedded(store) => {
                let (store, wanted) = (store.clone(), wanted.to_vec());
                match tokio::task::spawn_blocking(move || store.read(&wanted)).await {
                    Ok(Ok(held)) => Reading::Held(held),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "the embedded store can't be read");
                        Reading::Unreachable
                    }
                    Err(_) => Reading::Unreachable,
                }
            }
            Door::Redis(store) => store.read(wanted).await,
            Door::Webhook(_) | Door::OAuth(_) | Door::SharedSignals(_) => Reading::Unreachable,
        }
    }

    /// Whether it still has what was written last.
    pub async fn pulse(&self) -> Pulse {
        match &self.door {
            Door::Embedded(store) => {
                let store = store.clone();
                match tokio::task::spawn_blocking(move || store.is_untouched()).await {
                    Ok(Ok(true)) => Pulse::Kept,
                    Ok(Ok(false)) => Pulse::Touched,
                    Ok(Err(_)) | Err(_) => Pulse::Unreachable,
                }
            }
            Door::Webhook(_) | Door::OAuth(_) | Door::SharedSignals(_) => Pulse::Kept,
            Door::Redis(store) => store.pulse().await,
        }
    }

    /// Returns what keeps decisions from it, in its own words, where it said so.
    pub fn fault(&self) -> Option<String> {
        match &self.door {
            Door::Redis(store) => store.fault(),
            Door::Embedded(store) => store.fault(),
            Door::Webhook(_) | Door::OAuth(_) | Door::SharedSignals(_) => None,
        }
    }

    /// The instance that writes it, where others do too.
    pub fn instance(&self) -> InstanceId {
        self.shared().map_or(InstanceId::default(), |store| store.instance())
    }

    /// Whether it is this instance's own.
    pub const fn is_local(&self) -> bool {
        matches!(self.door, Door::Embedded(_))
    }

    /// The store that all instances write, count the tokens of the revocation limit in and follow each other
    /// through, if this one can be.
    pub fn shared(&self) -> Option<super::redis::store::RedisStore> {
        match &self.door {
            Door::Redis(store) => Some(store.clone()),
            Door::Embedded(_) | Door::Webhook(_) | Door::OAuth(_) | Door::SharedSignals(_) => None,
        }
    }

    /// The signer of its messages, where a public key verifies them.
    pub fn transmitter(&self) -> Option<&Transmitter> {
        match &self.door {
            Door::SharedSignals(store) => Some(store.transmitter()),
            Door::Embedded(_) | Door::Redis(_) | Door::Webhook(_) | Door::OAuth(_) => None,
        }
    }

    /// Carries out a decision; safe to repeat.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        match &self.door {
            Door::Embedded(store) => store.carry_out(decision).await,
            Door::Redis(store) => store.carry_out(decision).await,
            Door::Webhook(store) => store.carry_out(decision).await,
            Door::OAuth(store) => store.carry_out(decision).await,
            Door::SharedSignals(store) => store.carry_out(decision).await,
        }
    }
}
