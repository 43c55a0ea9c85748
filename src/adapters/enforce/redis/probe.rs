//! A look at Redis: whether it answers, lets tripline do what its scripts do, and keeps what is written to it.
//!
//! A script is tried on a key of its own, that of a credential which does not exist, and ends by
//! itself. The stream and the channel say that this credential is active, in a generation below
//! every other: who listens has nothing to do.

use super::store::{PULSE_KEY, RedisStore, one};
use super::token::INSTANCES_KEY;
use crate::adapters::clock;
use crate::adapters::redis_connection::Live;
use crate::model::credential::{Credential, Kind};
use ::redis::{Cmd, InfoDict, RedisError, cmd};
use std::collections::BTreeMap;

/// The credential that is tried with. No one has it.
pub const PROBE: &str = "tripline-doctor-probe";
/// How long what is written stays. Unit: seconds.
const PROBE_S: i64 = 60;

/// The result of the probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisProbe {
    /// Why it can't be asked; none if it can.
    pub unreachable: Option<String>,
    /// How far its clock is ahead of this machine's. Unit: milliseconds.
    pub ahead_ms: Option<i64>,
    /// How long its answer took. Unit: milliseconds.
    pub took_ms: i64,
    /// The commands that it refuses, and how.
    pub refused: BTreeMap<&'static str, String>,
    /// Its own report; nothing where it may not be asked, or is a Cluster.
    pub about: BTreeMap<&'static str, String>,
}

/// The fields of `INFO` that are read.
const ABOUT: [&str; 7] = [
    "redis_version",
    "role",
    "maxmemory",
    "maxmemory_policy",
    "aof_enabled",
    "rdb_last_bgsave_status",
    "loading",
];

impl RedisStore {
    /// Looks at it. `shares_tokens`: whether instances count revocations together in it.
    pub async fn probe_all(&self, shares_tokens: bool) -> RedisProbe {
        let mut looked = RedisProbe::default();
        let began = clock::now();
        if let Err(error) = self.ping().await {
            looked.unreachable = Some(error.to_string());
            return looked;
        }
        looked.took_ms = clock::now().ms_since(began);
        let live = match self.link.connection().await {
            Ok((live, _)) => live,
            Err(error) => {
                looked.unreachable = Some(error.to_string());
                return looked;
            }
        };
        self.compare_clocks(&live, &mut looked).await;
        for (name, command) in self.commands(shares_tokens) {
            let answer: Result<::redis::Value, RedisError> = one(live.clone(), command).await;
            record(&mut looked, name, answer.err());
        }
        record(&mut looked, "script", self.run_script(&live).await.err());
        self.ask_about(&live, &mut looked).await;
        looked
    }

    async fn compare_clocks(&self, live: &Live, looked: &mut RedisProbe) {
        let before = clock::now();
        let answer: Result<(i64, i64), RedisError> = one(live.clone(), cmd("TIME")).await;
        let after = clock::now();
        match answer {
            Ok((seconds, micros)) => {
                let here = i64::midpoint(before.ms(), after.ms());
                looked.ahead_ms = Some(seconds * 1000 + micros / 1000 - here);
            }
            Err(error) => record(looked, "time", Some(error)),
        }
    }

    fn probe(&self) -> Option<(Credential, String)> {
        let probe = Credential::new(Kind::ApiKey, PROBE).ok()?;
        let own = self.params.commands.contains_key(&Kind::ApiKey);
        let key = if own { &self.params.guard_key } else { &self.params.key };
        let key = key.of(&probe);
        Some((probe, key))
    }

    /// The change about the probe: active, and older than everything.
    fn told() -> [(&'static str, String); 9] {
        let text = str::to_owned;
        [
            ("decision", text("d_doctor")),
            ("generation", text("0")),
            ("status", text("active")),
            ("kind", text(Kind::ApiKey.as_str())),
            ("id", text(PROBE)),
            ("reason", text("tripline doctor looks whether it may write; nothing happened")),
            ("finding", String::new()),
            ("until", String::new()),
            ("at", clock::now().ms().div_euclid(1000).to_string()),
        ]
    }

    /// The commands that its user needs, each tried by itself.
    fn commands(&self, shares_tokens: bool) -> Vec<(&'static str, Cmd)> {
        let Some((_, key)) = self.probe() else { return Vec::new() };
        let ends_s = clock::now().ms().div_euclid(1000) + PROBE_S;
        let pulse = format!("{PULSE_KEY}doctor");
        let told = Self::told();
        let with = |name: &'static str, words: &[&str]| {
            let mut command = cmd(name);
            command.arg(words);
            (name, command)
        };
        let mut commands = vec![
            with("HMGET", &[&key, "generation", "decision"]),
            with("HSET", &[&key, "generation", "0"]),
            with("PERSIST", &[&key]),
            with("EXPIREAT", &[&key, &ends_s.to_string()]),
            with("SET", &[&pulse, "1", "EX", "60", "GET"]),
        ];
        let mut add = cmd("XADD");
        add.arg(&self.params.stream).arg("MAXLEN").arg("~").arg(self.params.stream_length_max);
        add.arg("*");
        for (name, value) in &told {
            add.arg(name).arg(value);
        }
        commands.push(("XADD", add));
        if !self.params.channel.is_empty() {
            let object: BTreeMap<_, _> = told.into_iter().collect();
            let text = serde_json::to_string(&object).unwrap_or_default();
            let text = text.replace("\"generation\":\"0\"", "\"generation\":0");
            commands.push(with("PUBLISH", &[&self.params.channel, &text]));
        }
        let mut newest = cmd("XREVRANGE");
        newest.arg(&self.params.stream).arg("+").arg("-").arg("COUNT").arg(1);
        let mut same = cmd("XRANGE");
        same.arg(&self.params.stream).arg("0-1").arg("0-1");
        let mut next = cmd("XREAD");
        next.arg("COUNT").arg(1).arg("STREAMS").arg(&self.params.stream).arg("$");
        let mut scan = cmd("SCAN");
        scan.arg(0).arg("MATCH").arg(&key).arg("COUNT").arg(1);
        commands.extend([("XREVRANGE", newest), ("XRANGE", same), ("XREAD", next), ("SCAN", scan)]);
        if shares_tokens {
            let tokens = "tripline:{breaker}:doctor";
            commands.extend([
                with("ZADD", &[tokens, "0", "doctor"]),
                with("ZSCORE", &[tokens, "doctor"]),
                with("ZCARD", &[tokens]),
                with("ZREMRANGEBYSCORE", &[tokens, "-inf", "0"]),
                with("PEXPIRE", &[tokens, "60000"]),
                with("HGETALL", &[INSTANCES_KEY]),
                with("HDEL", &[INSTANCES_KEY, "doctor"]),
            ]);
        }
        commands
    }

    /// Runs the script of a transition on the probe, without own commands, stream and channel.
    async fn run_script(&self, live: &Live) -> Result<(), RedisError> {
        let Some((_, key)) = self.probe() else { return Ok(()) };
        let mut live = live.clone();
        let script = &self.scripts.transition;
        script.prepare_invoke().load_async(&mut live).await?;
        let mut invocation = script.prepare_invoke();
        invocation.key(key);
        for (name, value) in Self::told() {
            // Another generation each second: what an earlier look left is no hindrance.
            let at = clock::now().ms().div_euclid(1000).to_string();
            invocation.arg(if name == "generation" { at } else { value });
        }
        let ends_s = clock::now().ms().div_euclid(1000) + PROBE_S;
        invocation.arg(ends_s.to_string()).arg(1).arg("").arg(0).arg("[]");
        invocation.arg("").arg(0).arg("{}");
        let _answer: Vec<String> = invocation.invoke_async(&mut live).await?;
        Ok(())
    }

    async fn ask_about(&self, live: &Live, looked: &mut RedisProbe) {
        if self.link.is_cluster() {
            return;
        }
        // No right that tripline needs: where it lacks, less is said.
        if let Ok(info) = one::<InfoDict>(live.clone(), cmd("INFO")).await {
            for name in ABOUT {
                if let Some(value) = info.get::<String>(name) {
                    looked.about.insert(name, value);
                }
            }
        }
        let mut save = cmd("CONFIG");
        save.arg("GET").arg("save");
        if let Ok(answer) = one::<Vec<String>>(live.clone(), save).await
            && let Some(value) = answer.get(1)
        {
            looked.about.insert("save", value.clone());
        }
    }
}

fn record(looked: &mut RedisProbe, name: &'static str, error: Option<RedisError>) {
    if let Some(error) = error {
        looked.refused.insert(name, error.to_string());
    }
}
