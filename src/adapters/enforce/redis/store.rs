//! Redis as auth store. Its keys and messages for gateways are described in `docs/redis.md`.
//!
//! One script carries out a transition atomically: it compares decision and generation, runs the
//! operator's own commands or writes the hash, and reports the change stream. A delivery whose
//! answer was lost is repeated and answered `already`.

use crate::adapters::redis_connection::ServerAddress;
use crate::adapters::redis_connection::ServerAddressError;
pub use ::redis::{ClientTlsConfig, TlsCertificates};

use super::faults::Faults;
use crate::adapters::enforce::answer::Pulse;
use crate::adapters::enforce::template::{Command, Template};
use crate::adapters::redis_connection::{Link, Live};
use crate::formats::storage::provenance;
use crate::model::credential::Kind;
use crate::model::decision::{Decision, Delivery, InstanceId, Order, Receipt, Status};
use crate::model::finding::Action;
use crate::model::time::EventTime;
use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind};
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Where it is.
    pub place: ServerAddress,
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
}

/// The template of [`Params::key`] where none is configured.
pub const KEY_DEFAULT: &str = "tripline:credential:{{{kind}:{id}}}";
/// The template of [`Params::guard_key`].
pub const GUARD_KEY: &str = "tripline:generation:{{{kind}:{id}}}";
/// The stream and the channel where none is configured.
pub const CHANGES_DEFAULT: &str = "tripline:changes";

/// The key that says whether the server still has what was written last; `{0}` differs by process.
pub(super) const PULSE_KEY: &str = "tripline:pulse:";
/// How long a pulse is kept. Unit: seconds.
const PULSE_S: u64 = 120;
/// How many pulses a Cluster has: enough that every one of a few shards has one.
const PULSES_OF_CLUSTER: u64 = 16;
/// Hashes that a Cluster is asked for at once.
pub(super) const READS_AT_ONCE: usize = 256;

/// Redis as auth store.
#[derive(Clone)]
pub struct RedisStore {
    pub(super) link: Arc<Link>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) params: Arc<Params>,
    pulse: Arc<PulseOf>,
    pub(super) faults: Arc<Faults>,
    instance: InstanceId,
}

pub(super) struct Scripts {
    pub(super) transition: Script,
    pub(super) token: Script,
    pub(super) fleet: Script,
}

/// The pulses of this process.
struct PulseOf {
    name: String,
    beat: AtomicU64,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisStore(..)")
    }
}

impl RedisStore {
    /// Makes a store; connects when it is first used, and again whenever it must. `epoch` differs
    /// for each process that uses the same Redis.
    ///
    /// # Errors
    /// When the place can't be used.
    pub fn new(params: Params, epoch: &str) -> Result<Self, ServerAddressError> {
        let link = Arc::new(Link::new(&params.place)?);
        let scripts = Arc::new(Scripts {
            transition: Script::new(include_str!("transition.lua")),
            token: Script::new(include_str!("token.lua")),
            fleet: Script::new(include_str!("instances.lua")),
        });
        let pulse = Arc::new(PulseOf { name: epoch.to_owned(), beat: AtomicU64::new(0) });
        Ok(Self {
            link,
            scripts,
            params: Arc::new(params),
            pulse,
            faults: Arc::default(),
            instance: InstanceId::default(),
        })
    }

    /// The same, of an instance whose decisions it tells from those of others.
    #[must_use]
    pub fn of_instance(self, instance: InstanceId) -> Self {
        Self { instance, ..self }
    }

    /// The instance that writes.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The same store, over a connection of its own.
    pub(super) fn over(&self, link: Arc<Link>) -> Self {
        Self { link, ..self.clone() }
    }

    /// Carries out a decision by one script.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        let Some(status) = decision.order.status() else { return Receipt::Already.into() };
        match self.transition(decision, status).await {
            Ok(answer) => {
                self.faults.server.lock().take();
                self.faults.record(&decision.credential, None);
                let delivery = delivery_of(&answer);
                let done = matches!(delivery.receipt, Receipt::Applied | Receipt::Already);
                let can = self.can(decision.order, decision.credential.kind());
                if done && !can { Receipt::Unsupported.into() } else { delivery }
            }
            Err(error) => self.receipt_of(&error, decision).into(),
        }
    }

    /// Whether it has a way to do that to a credential of that kind: own commands may have none.
    pub fn can(&self, order: Order, kind: Kind) -> bool {
        self.params.commands.get(&kind).is_none_or(|own| !own.of(order).is_empty())
    }

    async fn transition(
        &self,
        decision: &Decision,
        status: Status,
    ) -> Result<Vec<String>, RedisError> {
        let (mut live, number) = self.link.connection().await?;
        let answer: Result<Vec<String>, RedisError> =
            self.invocation(decision, status).invoke_async(&mut live).await;
        let answer = self.noted(answer, number).await?;
        let in_force = matches!(answer.first().map(String::as_str), Some("applied" | "already"));
        if self.link.is_cluster() && in_force {
            // The stream lies in another slot: it is reported at least once.
            let mut told = change(decision, status).to_vec();
            told.push(("origin", provenance::encode(decision, self.instance_of(decision))));
            self.noted(tell(&mut live, &self.params, &told).await, number).await?;
        }
        Ok(answer)
    }

    /// Passes an answer on, and drops a connection that broke.
    pub(super) async fn noted<T>(
        &self,
        answer: Result<T, RedisError>,
        number: u64,
    ) -> Result<T, RedisError> {
        if let Err(error) = &answer {
            self.link.record(error, number).await;
        }
        answer
    }

    /// The instance that made a decision: one that is delivered again for another instance stays that one's.
    fn instance_of(&self, decision: &Decision) -> InstanceId {
        decision.origin.unwrap_or(self.instance)
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
        let ends = match status {
            Status::Active => Some(decision.at.plus_ms(MEMORY_S * 1000)),
            Status::Revoked => decision.expires,
            Status::Throttled | Status::Suspended => None,
        };
        let in_one_slot = !self.link.is_cluster();
        let mut invocation = self.scripts.transition.prepare_invoke();
        invocation.key(key.of(credential));
        if in_one_slot {
            invocation.key(&params.stream);
        }
        for (_, value) in change(decision, status) {
            invocation.arg(value);
        }
        invocation
            .arg(seconds(ends))
            .arg(params.stream_length_max)
            .arg(if in_one_slot { params.channel.as_str() } else { "" })
            .arg(u8::from(own.is_none()))
            .arg(serde_json::to_string(&commands).unwrap_or_else(|_| "[]".to_owned()))
            .arg(self.instance_of(decision).to_string())
            .arg(decision.base.0)
            .arg(provenance::encode(decision, self.instance_of(decision)));
        invocation
    }

    /// Whether it still has what was written last: writes a number, and reads the one before.
    pub async fn pulse(&self) -> Pulse {
        match self.beats().await {
            Ok(kept) => {
                self.faults.server.lock().take();
                if kept { Pulse::Kept } else { Pulse::Lost }
            }
            Err(error) => {
                tracing::debug!(%error, "the heartbeat of Redis failed");
                self.faults.server.lock().replace(error.to_string());
                Pulse::Unreachable
            }
        }
    }

    async fn beats(&self) -> Result<bool, RedisError> {
        let (live, number) = self.link.connection().await?;
        let pulses = if self.link.is_cluster() { PULSES_OF_CLUSTER } else { 1 };
        let before = self.pulse.beat.load(Ordering::Relaxed);
        let beat = |pulse: u64| {
            let mut set = ::redis::cmd("SET");
            set.arg(format!("{PULSE_KEY}{}:{pulse}", self.pulse.name));
            set.arg(before + 1).arg("EX").arg(PULSE_S).arg("GET");
            one::<Option<u64>>(live.clone(), set)
        };
        let answers = futures_util::future::try_join_all((0..pulses).map(beat)).await;
        let answers = self.noted(answers, number).await?;
        self.pulse.beat.store(before + 1, Ordering::Relaxed);
        // A write whose answer was lost may have left the next number already.
        let kept = |held: &Option<u64>| held.is_some_and(|held| held >= before);
        Ok(before == 0 || answers.iter().all(kept))
    }

    /// Asks whether Redis answers.
    ///
    /// # Errors
    /// An error of Redis or the network.
    pub async fn ping(&self) -> Result<(), RedisError> {
        let (mut live, number) = self.link.connection().await?;
        let answer: Result<String, RedisError> = ::redis::cmd("PING").query_async(&mut live).await;
        self.noted(answer, number).await.map(|_| ())
    }
}

fn seconds(time: Option<EventTime>) -> String {
    time.map_or(String::new(), |time| time.ms().div_euclid(1000).to_string())
}

/// Asks one command.
pub(super) async fn one<T: FromRedisValue>(mut live: Live, command: Cmd) -> Result<T, RedisError> {
    command.query_async(&mut live).await
}

/// The message on the stream and the channel.
fn change(decision: &Decision, status: Status) -> [(&'static str, String); 9] {
    let credential = &decision.credential;
    [
        ("decision", decision.id.to_string()),
        ("generation", decision.generation.0.to_string()),
        ("status", status.as_str().to_owned()),
        ("kind", credential.kind().as_str().to_owned()),
        ("id", credential.id().to_owned()),
        ("reason", decision.reason.clone()),
        ("finding", decision.finding.map_or(String::new(), |finding| finding.to_string())),
        ("until", seconds(decision.until)),
        ("at", seconds(Some(decision.at))),
    ]
}

/// Publishes a change on the stream and the channel.
async fn tell(
    live: &mut impl ConnectionLike,
    params: &Params,
    change: &[(&'static str, String)],
) -> Result<(), RedisError> {
    let mut add = ::redis::cmd("XADD");
    add.arg(&params.stream).arg("MAXLEN").arg("~").arg(params.stream_length_max).arg("*");
    for (name, value) in change {
        add.arg(name).arg(value);
    }
    let _id: String = add.query_async(live).await?;
    if !params.channel.is_empty() {
        let text = |(name, value): &(&str, String)| {
            let number = value.parse::<u64>().ok().filter(|_| *name == "generation");
            let value = number.map_or_else(|| value.as_str().into(), serde_json::Value::from);
            ((*name).to_owned(), value)
        };
        // Where it comes from is for instances, and they read the stream.
        let for_all = change.iter().filter(|(name, _)| *name != "origin");
        let object: serde_json::Map<_, _> = for_all.map(text).collect();
        let mut publish = ::redis::cmd("PUBLISH");
        publish.arg(&params.channel).arg(serde_json::Value::Object(object).to_string());
        let _heard: u64 = publish.query_async(live).await?;
    }
    Ok(())
}

fn delivery_of(answer: &[String]) -> Delivery {
    let word = |index: usize| answer.get(index).map(String::as_str);
    match word(0) {
        Some("applied") => Receipt::Applied.into(),
        Some("already") => Receipt::Already.into(),
        Some("stale") => {
            let status = word(3).filter(|status| !status.is_empty());
            let row = [word(1), word(2), status, word(4), word(5), word(6), word(7)];
            let held = super::entry::read_fields(row).map(|(held, _)| held);
            Delivery { held, ..Receipt::Stale.into() }
        }
        _ => Receipt::Refused.into(),
    }
}

/// Whether asking again can help.
#[expect(clippy::wildcard_enum_match_arm, reason = "the list of Redis errors is open")]
fn is_passing(error: &RedisError) -> bool {
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
        // Another script runs for too long, or memory or the disk is full: it may pass.
        _ => matches!(error.code(), Some("BUSY" | "OOM" | "NOREPLICAS" | "MISCONF")),
    };
    passing || error.is_timeout() || error.is_connection_dropped()
}

impl RedisStore {
    /// Returns what Redis last said that keeps decisions from it, in its own words.
    pub fn fault(&self) -> Option<String> {
        self.faults.describe()
    }

    fn receipt_of(&self, error: &RedisError, decision: &Decision) -> Receipt {
        if is_passing(error) {
            tracing::debug!(error = %error, "a request to Redis failed");
            self.faults.server.lock().replace(error.to_string());
            Receipt::Unreachable
        } else {
            tracing::error!(
                error = %error, credential = %decision.credential, decision = %decision.id,
                "Redis rejects commands; check the rights of its user, and the type of this key"
            );
            Receipt::Refused
        }
    }
}
