//! Redis as auth store. What gateways read is described in `docs/redis.md`.
//!
//! One script carries out a transition atomically: it compares decision and generation, runs the
//! operator's own commands or writes the hash, and tells the change stream. A delivery whose
//! answer was lost is repeated and answered `already`.

use super::template::{Command, Template};
use crate::model::credential::Kind;
use crate::model::decision::{Decision, Delivery, Generation, Order, Receipt, Status};
use crate::model::finding::Action;
use crate::model::time::EventTime;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, ErrorKind, RedisError, Script, ServerErrorKind};
use hashbrown::HashMap;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;

/// How long the generation of a restored credential is remembered. Unit: seconds. Default:
/// 30 days: a delivery that is older than that is refused by nothing, and none lasts that long.
const MEMORY_S: i64 = 30 * 86_400;

/// The commands that replace the hash for one kind of credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnCommands {
    /// Out of service for good.
    pub revoke: Vec<Command>,
    /// Out of service for a while.
    pub suspend: Vec<Command>,
    /// Slowed down.
    pub throttle: Vec<Command>,
    /// Back into service.
    pub restore: Vec<Command>,
}

impl OwnCommands {
    fn of(&self, order: Order) -> &[Command] {
        match order {
            Order::Act(Action::Revoke) => &self.revoke,
            Order::Act(Action::Suspend) => &self.suspend,
            Order::Act(Action::Throttle) => &self.throttle,
            Order::Restore => &self.restore,
            Order::Act(Action::Observe | Action::Alert) => &[],
        }
    }
}

/// Where Redis is, and what is written where.
#[derive(Clone, Debug)]
pub struct Params {
    /// `redis://user:password@host:port/db`.
    pub url: SecretString,
    /// The hash of a credential. Default: `tripline:credential:{kind:id}`, braces included, so
    /// that all keys of a credential share a hash slot.
    pub key: Template,
    /// The hash that guards own commands.
    pub guard_key: Template,
    /// The change stream. Default: `tripline:changes`.
    pub stream: String,
    /// The length at which the change stream is cut, roughly. Unit: entries. Default: 100,000.
    pub stream_length_max: u64,
    /// The channel on which changes are published; none if empty. Default: `tripline:changes`.
    pub channel: String,
    /// How long a credential of unknown end is denied by own commands that say `{expires}`.
    /// Unit: seconds. Default: 30 days.
    pub lifetime_default_s: i64,
    /// Own commands by kind.
    pub commands: HashMap<Kind, OwnCommands>,
    /// How long an answer is waited for. Default: 500 ms.
    pub response_timeout: Duration,
}

/// The template of [`Params::key`] where none is configured.
pub const KEY_DEFAULT: &str = "tripline:credential:{{{kind}:{id}}}";
/// The template of [`Params::guard_key`].
pub const GUARD_KEY: &str = "tripline:generation:{{{kind}:{id}}}";
/// The stream and the channel where none is configured.
pub const CHANGES_DEFAULT: &str = "tripline:changes";

/// Redis as auth store.
#[derive(Clone)]
pub struct RedisStore {
    manager: ConnectionManager,
    script: Arc<Script>,
    params: Arc<Params>,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisStore(..)")
    }
}

/// What went wrong with Redis; never holds the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum RedisStoreError {
    /// The URL can't be used.
    #[error("the URL of Redis can't be used; write redis://user:password@host:port/db")]
    Url,
    /// Redis did not answer as it should.
    #[error("Redis said: {0}")]
    Answer(String),
}

impl RedisStore {
    /// Makes a store; connects when it is first used, and again whenever it must.
    ///
    /// # Errors
    /// When the URL can't be used. Must be called within a tokio runtime.
    pub fn new(params: Params) -> Result<Self, RedisStoreError> {
        let client = Client::open(params.url.expose_secret()).map_err(|_| RedisStoreError::Url)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(params.response_timeout))
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_max_delay(Duration::from_secs(1))
            .set_number_of_retries(1);
        let manager =
            client.get_connection_manager_lazy(config).map_err(|_| RedisStoreError::Url)?;
        let script = Arc::new(Script::new(include_str!("transition.lua")));
        Ok(Self { manager, script, params: Arc::new(params) })
    }

    /// Carries out a decision by one script.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        let Some(status) = decision.order.status() else { return Receipt::Already.into() };
        let mut connection = self.manager.clone();
        let answer: Result<String, RedisError> =
            self.invocation(decision, status).invoke_async(&mut connection).await;
        match answer.as_deref() {
            Ok("applied") => Receipt::Applied.into(),
            Ok("already") => Receipt::Already.into(),
            Ok(other) => match other.strip_prefix("stale:").and_then(|held| held.parse().ok()) {
                Some(held) => {
                    Delivery { receipt: Receipt::Stale, held: Some(Generation(held).into()) }
                }
                None => Receipt::Refused.into(),
            },
            Err(error) => receipt_of(error).into(),
        }
    }

    fn invocation(&self, decision: &Decision, status: Status) -> ::redis::ScriptInvocation<'_> {
        let params = &self.params;
        let credential = &decision.credential;
        let own = params.commands.get(&credential.kind());
        let commands: Vec<Vec<String>> = own.map_or_else(Vec::new, |own| {
            let commands = own.of(decision.order).iter();
            commands.map(|command| command.fill(decision, params.lifetime_default_s)).collect()
        });
        let key = if own.is_some() { &params.guard_key } else { &params.key };
        let optional = |time: Option<EventTime>| {
            time.map_or(String::new(), |time| time.ms().div_euclid(1000).to_string())
        };
        let ends = match status {
            Status::Active => Some(decision.at.plus_ms(MEMORY_S * 1000)),
            Status::Revoked => decision.expires,
            Status::Throttled | Status::Suspended => None,
        };
        let mut invocation = self.script.prepare_invoke();
        invocation
            .key(key.fill(decision, params.lifetime_default_s))
            .key(&params.stream)
            .arg(decision.id.to_string())
            .arg(decision.generation.0)
            .arg(status.as_str())
            .arg(credential.kind().as_str())
            .arg(credential.id())
            .arg(&decision.reason)
            .arg(decision.finding.map_or(String::new(), |finding| finding.to_string()))
            .arg(optional(decision.until))
            .arg(optional(Some(decision.at)))
            .arg(optional(ends))
            .arg(params.stream_length_max)
            .arg(&params.channel)
            .arg(u8::from(own.is_none()))
            .arg(serde_json::to_string(&commands).unwrap_or_else(|_| "[]".to_owned()));
        invocation
    }

    /// Asks whether Redis answers.
    ///
    /// # Errors
    /// What Redis or the network said.
    pub async fn ping(&self) -> Result<(), RedisStoreError> {
        let mut connection = self.manager.clone();
        let answer: Result<String, RedisError> =
            ::redis::cmd("PING").query_async(&mut connection).await;
        answer.map(|_| ()).map_err(|error| RedisStoreError::Answer(error.to_string()))
    }
}

/// Whether asking again can help.
#[expect(clippy::wildcard_enum_match_arm, reason = "the list of Redis errors is open")]
fn receipt_of(error: &RedisError) -> Receipt {
    let passing = match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::NoScript
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        ),
        // Another script runs for too long, or memory is full: it may pass.
        _ => matches!(error.code(), Some("BUSY" | "OOM" | "NOREPLICAS" | "MISCONF")),
    };
    if passing || error.is_timeout() || error.is_connection_dropped() {
        tracing::debug!(error = %error, "Redis could not be asked");
        Receipt::Unreachable
    } else {
        tracing::error!(error = %error, "Redis refuses; check the rights of its user and the keys");
        Receipt::Refused
    }
}
