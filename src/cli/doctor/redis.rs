//! Redis: whether it answers, lets tripline write, and keeps what is written to it.

use super::report::{Area, Check};
use crate::adapters::enforce::redis::probe::RedisProbe;
use crate::adapters::enforce::redis::store::{Params, RedisStore};
use secrecy::ExposeSecret;
use url::Url;

/// How far its clock may differ. Unit: milliseconds.
const CLOCK_MS_MAX: i64 = 1_000;

/// Looks at it. `shares_tokens`: whether instances count revocations together in it.
pub(super) async fn check(params: &Params, shares_tokens: bool) -> Vec<Check> {
    let area = Area::new("redis");
    let (place, user) = shown(params.place.url.expose_secret());
    match RedisStore::new(params.clone(), "doctor") {
        Ok(store) => judge(&area, (&place, &user), &store.probe_all(shares_tokens).await),
        Err(error) => vec![area.failed("answers", error.to_string(), "see docs/redis.md")],
    }
}

/// Where it is, without user and password; and the user.
fn shown(url: &str) -> (String, String) {
    let Ok(url) = Url::parse(url) else { return ("its URL".to_owned(), "default".to_owned()) };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let user = if url.username().is_empty() { "default" } else { url.username() };
    let place = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?"));
    (place, user.to_owned())
}

fn judge(area: &Area, (place, user): (&str, &str), looked: &RedisProbe) -> Vec<Check> {
    if let Some(why) = &looked.unreachable {
        let remedy = "check url, user and password in [auth_store.redis]: redis-cli -u URL PING";
        return vec![area.failed("answers", format!("{place}: {why}"), remedy)];
    }
    let about = |name: &str| looked.about.get(name).map_or("", String::as_str);
    let version = match about("redis_version") {
        "" => String::new(),
        version => format!(", version {version}"),
    };
    let mut checks = vec![area.ok("answers", format!("{place} in {} ms{version}", looked.took_ms))];
    if about("role") == "slave" {
        checks.push(area.failed(
            "role",
            "it is a replica, which takes no writes",
            "name the master in url, or the Sentinels: sentinel = \"NAME\"",
        ));
    }
    checks.push(judge_rights(area, user, looked));
    checks.push(judge_clock(area, looked.ahead_ms));
    checks.push(judge_memory(area, about("maxmemory"), about("maxmemory_policy")));
    checks.push(judge_persistence(area, looked));
    checks
}

fn judge_rights(area: &Area, user: &str, looked: &RedisProbe) -> Check {
    if looked.refused.is_empty() {
        return area.ok("rights", "its user has all rights that tripline needs");
    }
    let each = looked.refused.iter().map(|(what, why)| format!("{what}: {why}"));
    let needed = format!(
        "redis-cli ACL SETUSER {user} +eval +evalsha '+script|load' +hmget +hset +persist \
                  +expireat +xadd +publish +ping +set +get +time +zremrangebyscore +zscore +zcard \
                  +zadd +pexpire +hgetall +hdel +xread +xrange +xrevrange +scan '~tripline:*' '&tripline:*' (docs/redis.md)"
    );
    let found = format!("refused:\n{}", each.collect::<Vec<_>>().join("\n"));
    area.failed("rights", found, needed)
}

fn judge_clock(area: &Area, ahead_ms: Option<i64>) -> Check {
    match ahead_ms {
        None => area.skipped("clock", "its user may not run TIME"),
        Some(ms) if ms.abs() <= CLOCK_MS_MAX => {
            area.ok("clock", format!("{ms} ms from this machine's clock"))
        }
        Some(ms) => area.warning(
            "clock",
            format!("it is {:.1} s from this machine's clock", ms as f64 / 1000.0),
            "synchronize both (timedatectl set-ntp true): hashes expire by the clock of Redis",
        ),
    }
}

fn judge_memory(area: &Area, most: &str, policy: &str) -> Check {
    let remedy = "redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf";
    match (most, policy) {
        (_, "") => area.skipped("memory", "its user may not run INFO; see maxmemory-policy"),
        (_, "noeviction") => area.ok("memory", "nothing is evicted (noeviction)"),
        (most, policy) => {
            let bound = if most == "0" { ", once maxmemory is set" } else { "" };
            // Of those that are reported to last, only what ends by itself goes.
            let what = if policy.starts_with("volatile") {
                "revocations of tokens that end by themselves"
            } else {
                "revocations"
            };
            let found = format!(
                "maxmemory-policy {policy} evicts {what}{bound}; tripline writes them again, \
                 after up to a minute"
            );
            area.warning("memory", found, remedy)
        }
    }
}

fn judge_persistence(area: &Area, looked: &RedisProbe) -> Check {
    let about = |name: &str| looked.about.get(name).map(String::as_str);
    let remedy = "redis-cli CONFIG SET appendonly yes, and in redis.conf";
    match (about("aof_enabled"), about("save")) {
        (Some("1"), _) => area.ok("persistence", "append-only file"),
        (Some(_), Some("")) => area.warning(
            "persistence",
            "off: after a restart nothing is revoked until tripline has written all again",
            remedy,
        ),
        (Some(_), Some(save)) => match about("rdb_last_bgsave_status") {
            Some("err") => area.failed(
                "persistence",
                "the last snapshot failed; Redis refuses to write then",
                "see the log of Redis; free some of its disk",
            ),
            _ => area.ok("persistence", format!("snapshots (save {save})")),
        },
        (Some(_), None) => {
            area.skipped("persistence", "no append-only file; its user may not ask for snapshots")
        }
        (None, _) => area.skipped("persistence", "its user may not run INFO"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, RedisProbe, judge, shown};
    use crate::cli::doctor::report::State;

    fn told(change: impl FnOnce(&mut RedisProbe)) -> Vec<(&'static str, State)> {
        let about = [
            ("redis_version", "7.0"),
            ("role", "master"),
            ("maxmemory", "0"),
            ("maxmemory_policy", "noeviction"),
            ("aof_enabled", "1"),
        ];
        let about = about.map(|(name, value)| (name, value.to_owned())).into_iter().collect();
        let mut looked = RedisProbe { ahead_ms: Some(3), about, ..RedisProbe::default() };
        change(&mut looked);
        let checks = judge(&Area::new("redis"), ("redis://r", "default"), &looked).into_iter();
        checks.filter(|one| one.state != State::Ok).map(|one| (one.check, one.state)).collect()
    }

    fn with(name: &'static str, value: &str) -> Vec<(&'static str, State)> {
        told(|looked| {
            looked.about.insert(name, value.to_owned());
        })
    }

    #[test]
    fn each_fault_of_redis_is_told_by_itself() {
        assert_eq!(told(|_| {}), []);
        assert_eq!(with("maxmemory_policy", "allkeys-lru"), [("memory", State::Warning)]);
        assert_eq!(with("role", "slave"), [("role", State::Failed)]);
        let refused = |looked: &mut RedisProbe| {
            looked.refused.insert("XADD", "NOPERM".to_owned());
        };
        assert_eq!(told(refused), [("rights", State::Failed)]);
        assert_eq!(told(|looked| looked.ahead_ms = Some(-5000)), [("clock", State::Warning)]);
        let off = |looked: &mut RedisProbe| {
            looked.about.insert("aof_enabled", "0".to_owned());
            looked.about.insert("save", String::new());
        };
        assert_eq!(told(off), [("persistence", State::Warning)]);
        let away = |looked: &mut RedisProbe| looked.unreachable = Some("refused".to_owned());
        assert_eq!(told(away), [("answers", State::Failed)]);
        let (place, user) = shown("rediss://user:secret@host:7/0?a=secret");
        assert_eq!((&*place, &*user), ("rediss://host:7", "user"));
    }
}
