//! What goes wrong at night, with real parts: what is in force in the end, and what never happens.

use crate::support::daemon::{BINARY, Daemon, event, now_ms, uses};
use crate::support::redis_server::RedisServer;
use crate::support::{mount, pause, skipped, until};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn with_redis(redis: &RedisServer, further: &str) -> String {
    format!(
        "mode.default = \"revoke\"\nlimits.default = \"600/min\"\n{further}\
         [auth_store.redis]\nurl = \"{}\"\n",
        redis.url()
    )
}

fn status(redis: &RedisServer, key: &str) -> Option<String> {
    redis.ask(&["HGET", &format!("tripline:credential:{{api_key:{key}}}"), "status"])
}

fn becomes(redis: &RedisServer, key: &str, wanted: &str) {
    until(&format!("{key} is {wanted}"), PATIENCE, || {
        (status(redis, key).as_deref() == Some(wanted)).then_some(())
    });
}

fn waits_for_redis(daemon: &Daemon) -> f64 {
    daemon.metric("tripline_outbox_pending{store=\"redis\"}")
}

#[test]
fn a_redis_that_is_emptied_has_everything_again_within_seconds() {
    if skipped("redis") {
        return;
    }
    let (folder, redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis, ""));
    for n in 0..50 {
        daemon.order("revoke", &format!("key_{n}"));
    }
    daemon.order("restore", "key_7");
    becomes(&redis, "key_49", "revoked");
    becomes(&redis, "key_7", "active");
    redis.ask::<()>(&["FLUSHALL"]);
    becomes(&redis, "key_0", "revoked");
    becomes(&redis, "key_49", "revoked");
    assert_ne!(status(&redis, "key_7").as_deref(), Some("revoked"), "what was restored stays so");
    let told = "tripline_reconciled_total{held=\"less\",store=\"redis\"}";
    assert!(daemon.metric(told) >= 49.0);
    // One that was changed by hand is put right by the comparison of every minute, or a restart.
    redis.ask::<i64>(&["HSET", "tripline:credential:{api_key:key_1}", "status", "active"]);
    daemon.terminate();
    let _daemon = Daemon::start_in(folder.path(), &with_redis(&redis, ""));
    becomes(&redis, "key_1", "revoked");
}

#[test]
fn what_was_decided_while_redis_was_dead_is_carried_out_once_it_is_back_even_over_a_kill() {
    if skipped("redis") {
        return;
    }
    let (folder, mut redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis, ""));
    redis.kill();
    daemon.order("revoke", "key_1");
    daemon.post_events(&uses("key_2", now_ms(), 2000));
    until("both wait", PATIENCE, || (waits_for_redis(&daemon) >= 2.0).then_some(()));
    assert_eq!(daemon.check("key_1"), 403, "the embedded store does not wait for Redis");
    daemon.kill();
    let daemon = Daemon::start_in(folder.path(), &with_redis(&redis, ""));
    assert!(waits_for_redis(&daemon) >= 2.0, "they wait over a restart");
    redis.restart();
    becomes(&redis, "key_1", "revoked");
    becomes(&redis, "key_2", "revoked");
}

#[test]
fn a_redis_that_stood_still_for_ten_seconds_ran_each_script_once() {
    if skipped("redis") {
        return;
    }
    let (folder, redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis, ""));
    daemon.order("revoke", "warm");
    becomes(&redis, "warm", "revoked");
    redis.pause();
    for n in 0..20 {
        daemon.order("revoke", &format!("key_{n}"));
    }
    // The scripts wait in the server's socket: the time-outs come before they run.
    pause(Duration::from_secs(10));
    redis.resume();
    until("nothing waits", PATIENCE, || (waits_for_redis(&daemon) < 0.5).then_some(()));
    for n in 0..20 {
        assert_eq!(status(&redis, &format!("key_{n}")).as_deref(), Some("revoked"));
    }
    assert_eq!(redis.ask::<i64>(&["XLEN", "tripline:changes"]), 21, "one change of each");
}

#[test]
fn a_redis_killed_at_any_moment_has_everything_in_the_end() {
    if skipped("redis") {
        return;
    }
    let (folder, mut redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis, ""));
    for round in 0..10_u64 {
        daemon.order("revoke", &format!("key_{round}"));
        // In the script, before it or after it.
        pause(Duration::from_micros(round * 150));
        redis.kill();
        redis.restart();
    }
    for round in 0..10 {
        becomes(&redis, &format!("key_{round}"), "revoked");
    }
    // A server without persistence forgot all but the last: they were asserted again.
    until("all ten are shown to stand", PATIENCE, || {
        (daemon.metric("tripline_enforced_credentials") >= 10.0).then_some(())
    });
}

#[test]
fn of_ten_thousand_credentials_over_their_limit_at_once_the_revocation_limit_lets_three_be_revoked()
{
    let folder = folder();
    let config = "mode.default = \"revoke\"\nlimits.default = \"60/min\"\n";
    let daemon = Daemon::start(&folder, config);
    let now = now_ms();
    for batch in 0..20 {
        let lines: String = (0..500)
            .map(|n| {
                let name = format!("key_{}", batch * 500 + n);
                uses(&name, now, 100).replace("acme", &name)
            })
            .collect();
        until("it is taken", PATIENCE, || {
            let (status, _) = daemon.send("POST", "/v1/events", &[], lines.as_str());
            (status == 200).then_some(())
        });
    }
    let held = "tripline_decisions_held_total{safeguard=\"revocation_limit\"}";
    until("all are decided", Duration::from_mins(1), || {
        (daemon.metric(held) >= 9_997.0).then_some(())
    });
    let revoked = "tripline_decisions_total{action=\"revoke\",carried_out=\"true\"}";
    assert!((daemon.metric(revoked) - 3.0).abs() < 0.5, "three in an hour");
}

/// A launch, or a replay by a broken client: everybody does at once what nobody ever did.
#[test]
fn ten_thousand_credentials_that_burst_at_once_have_a_common_cause_and_are_throttled() {
    let folder = folder();
    let config = "mode.default = \"revoke\"\nlimits.default = \"60/min\"\n";
    let daemon = Daemon::start(&folder, config);
    let post = |lines: &str| {
        until("it is taken", PATIENCE, || {
            (daemon.send("POST", "/v1/events", &[], lines).0 == 200).then_some(())
        });
    };
    let everybody = |at: i64, count: usize| {
        for batch in 0..20 {
            let of_one = |n| {
                let name = format!("key_{}", batch * 500 + n);
                uses(&name, at, count).replace("acme", &name)
            };
            post(&(0..500).map(of_one).collect::<String>());
        }
    };
    // Eight hours of a quiet life each, then a minute in which all are loud.
    for hour in (1..=8).rev() {
        everybody(now_ms() - hour * 3_600_000, 3);
    }
    everybody(now_ms(), 100);
    let held = "tripline_decisions_held_total{safeguard=\"common_cause\"}";
    let throttled = "tripline_decisions_total{action=\"throttle\",carried_out=\"true\"}";
    until("nearly all are throttled", Duration::from_mins(1), || {
        let is = |metric| daemon.metric(metric) >= 9_000.0;
        (is(held) && is(throttled)).then_some(())
    });
    let revoked = "tripline_decisions_total{action=\"revoke\",carried_out=\"true\"}";
    assert!(
        daemon.metric(revoked) <= 3.0,
        "those before the cause was known, as the revocation limit allows"
    );
}

#[test]
fn failed_requests_with_a_victims_id_do_nothing_to_the_victim() {
    let folder = folder();
    let config = "mode.default = \"revoke\"\nlimits.default = \"60/min\"\n";
    let daemon = Daemon::start(&folder, config);
    let (now, victim) = (now_ms(), "key_victim");
    daemon.post_events(&uses(victim, now - 1000, 5));
    let statuses = [301, 401, 403, 404, 429, 500, 503].map(|code| format!("\"status\":{code}"));
    for failed in statuses
        .iter()
        .map(String::as_str)
        .chain(["\"outcome\":\"rejected\"", "\"method\":\"GET\""])
    {
        let line = event(victim, now).replace("\"outcome\":\"accepted\"", failed);
        assert!(line.contains(failed));
        let answer = daemon.post_events(&line.repeat(20_000));
        assert_eq!(answer["accepted"], 20_000, "they are read, and hold nothing against it");
    }
    daemon.post_events(&uses("key_loud", now, 2000));
    until("somebody loud is revoked", PATIENCE, || (daemon.check("key_loud") == 403).then_some(()));
    assert_eq!(daemon.check(victim), 200);
    let decisions = daemon.get(&format!("/v1/decisions?credential={victim}"));
    assert_eq!(decisions, serde_json::json!([]));
}

/// A daemon whose clock a test sets, by libfaketime; it begins so far from the right time.
pub fn with_a_clock(
    folder: &tempfile::TempDir,
    config: &str,
    offset: &str,
) -> (Daemon, impl Fn(&str) + use<>) {
    let libraries = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
    let mut libraries = libraries.map(|one| one.path().join("faketime/libfaketime.so.1"));
    let library = libraries.find(|path| path.exists()).expect("libfaketime, which ./test installs");
    let clock = folder.path().join("clock");
    let set = {
        let clock = clock.clone();
        move |offset: &str| std::fs::write(&clock, offset).expect("sets the clock")
    };
    set(offset);
    let environment = [
        ("LD_PRELOAD", library.to_str().expect("text")),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("text")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let daemon = Daemon::try_start_in(folder.path(), config, &environment);
    (daemon.expect("it starts"), set)
}

#[test]
fn a_clock_that_jumps_an_hour_and_back_ends_no_suspension_and_hides_no_abuse() {
    if skipped("faketime") {
        return;
    }
    let folder = folder();
    let config = "mode.default = \"revoke\"\nlimits.default = \"600/min\"\n";
    let (daemon, set) = with_a_clock(&folder, config, "+0");
    let step = |is: f64| {
        until(&format!("the step is seen: {is}"), PATIENCE, || {
            ((daemon.metric("tripline_clock_offset_seconds") - is).abs() < 60.0).then_some(())
        });
    };
    daemon.order("suspend", "key_suspended");
    for (n, offset, seconds) in [(1, "+3600", 3600.0), (2, "-3600", -3600.0)] {
        set(offset);
        step(seconds);
        assert_eq!(daemon.check("key_suspended"), 403, "it isn't over by a clock set {offset}");
        let loud = format!("key_loud_{n}");
        daemon.post_events(&uses(&loud, now_ms(), 2000));
        until("abuse is seen meanwhile", PATIENCE, || (daemon.check(&loud) == 403).then_some(()));
        set("+0");
        step(0.0);
    }
    daemon.post_events(&uses("key_after", now_ms(), 2000));
    until("and afterwards", PATIENCE, || (daemon.check("key_after") == 403).then_some(()));
    assert_eq!(daemon.check("key_suspended"), 403);
    let log = daemon.log();
    assert_eq!(
        log.matches("the system clock stepped; tripline follows it only").count(),
        2,
        "{log}"
    );
}

#[test]
fn people_see_which_store_has_not_been_told_yet() {
    if skipped("redis") {
        return;
    }
    let (folder, mut redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis, ""));
    redis.kill();
    daemon.order("revoke", "key_1");
    let answers = |wanted: &str| {
        until(&format!("redis is {wanted}"), PATIENCE, || {
            let stores = daemon.get("/v1/decisions")[0]["stores"].clone();
            (stores["embedded"] == "applied" && stores["redis"] == wanted).then_some(())
        });
    };
    answers("waiting");
    redis.restart();
    answers("applied");
}

/// Two instances that see the same events decide both; the store takes one.
#[test]
fn two_daemons_that_decide_on_the_same_finding_have_one_effect() {
    if skipped("redis") {
        return;
    }
    let (one_folder, other_folder, redis) = (folder(), folder(), RedisServer::start());
    let config = with_redis(&redis, "[revocation_limit]\ninstances = 2\nper_tenant_hour = 5\n");
    let daemons = [Daemon::start(&one_folder, &config), Daemon::start(&other_folder, &config)];
    let lines = uses("key_1", now_ms(), 2000);
    std::thread::scope(|scope| {
        for daemon in &daemons {
            scope.spawn(|| daemon.post_events(&lines));
        }
    });
    for daemon in &daemons {
        until("it is refused", PATIENCE, || (daemon.check("key_1") == 403).then_some(()));
        until("nothing waits", PATIENCE, || (waits_for_redis(daemon) < 0.5).then_some(()));
    }
    assert_eq!(status(&redis, "key_1").as_deref(), Some("revoked"));
    // Throttled as the limit was about to be exceeded, revoked as it was.
    assert_eq!(redis.ask::<i64>(&["XLEN", "tripline:changes"]), 2, "one effect of each decision");
    assert_eq!(redis.ask::<i64>(&["ZCARD", "tripline:{breaker}:all"]), 1, "and one token");
}

#[test]
fn instances_together_revoke_no_more_than_the_revocation_limit_allows() {
    if skipped("redis") {
        return;
    }
    let (one_folder, other_folder, redis) = (folder(), folder(), RedisServer::start());
    let config = with_redis(&redis, "[revocation_limit]\ninstances = 2\n");
    let daemons = [Daemon::start(&one_folder, &config), Daemon::start(&other_folder, &config)];
    for (n, daemon) in daemons.iter().enumerate() {
        for key in 0..4 {
            let name = format!("key_{n}_{key}");
            daemon.post_events(&uses(&name, now_ms(), 2000).replace("acme", &name));
        }
    }
    let decided = |daemon: &Daemon| {
        let list = daemon.get("/v1/decisions");
        list.as_array().map_or(0, Vec::len)
    };
    until("all are decided", PATIENCE, || {
        (daemons.iter().map(decided).sum::<usize>() >= 8).then_some(())
    });
    let name = "tripline_decisions_total{action=\"revoke\",carried_out=\"true\"}";
    let revoked: f64 = daemons.iter().map(|daemon| daemon.metric(name)).sum();
    assert!((revoked - 3.0).abs() < 0.5, "three for all: {revoked}");
}

/// A disk for the data folder alone, one megabyte large.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = folder();
        std::fs::create_dir(folder.path().join("data")).expect("makes");
        mount(&folder.path().join("data"), "1m")?;
        Some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The daemon may still be ending.
        let _gone = Command::new("umount").arg("-l").arg(self.0.path().join("data")).status();
    }
}

#[test]
fn with_a_full_disk_nothing_is_carried_out_and_counting_goes_on() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path();
    let daemon =
        Daemon::start_in(path, "mode.default = \"revoke\"\nlimits.default = \"600/min\"\n");
    daemon.order("revoke", "key_1");
    until("it is refused", PATIENCE, || (daemon.check("key_1") == 403).then_some(()));
    let filler = path.join("data/filler");
    let mut size = 1 << 20;
    while size > 0 {
        let old = std::fs::read(&filler).unwrap_or_default();
        let longer = [old.clone(), vec![0; size]].concat();
        if std::fs::write(&filler, longer).is_err() {
            std::fs::write(&filler, old).expect("fits");
            size /= 2;
        }
    }
    // Some still fit into the last page.
    let mut number = 0;
    let refused = until("an order is refused", PATIENCE, || {
        number += 1;
        let path = format!("/v1/credentials/late_{number}/revoke");
        let (status, body) = daemon.say(&path, r#"{"reason":"full"}"#);
        let says_so = || daemon.send("GET", "/readyz", &[], "").0 == 503;
        let refused = status == 503 && body.contains("not carried out") && says_so();
        refused.then(|| format!("late_{number}"))
    });
    assert_eq!(daemon.check(&refused), 200, "what is not durable is not carried out");
    assert_eq!(daemon.check("key_1"), 403, "what stood still stands");
    let before = daemon.metric("tripline_events_total");
    let (status, body) = daemon.send("POST", "/v1/events", &[], uses("key_3", now_ms(), 10));
    assert_eq!(status, 202, "they are watched, and not kept: {body}");
    until("events are still counted", PATIENCE, || {
        (daemon.metric("tripline_events_total") >= before + 10.0).then_some(())
    });
    assert!(daemon.metric("tripline_journal_errors_total") >= 1.0);
    std::fs::remove_file(&filler).expect("removes");
    until("orders are taken again", PATIENCE, || {
        let path = format!("/v1/credentials/{refused}/revoke");
        (daemon.say(&path, r#"{"reason":"room"}"#).0 == 200).then_some(())
    });
    until("it is refused", PATIENCE, || (daemon.check(&refused) == 403).then_some(()));
    let data = daemon.data();
    daemon.terminate();
    let verify = Command::new(BINARY).args(["journal", "verify"]).arg(data).output().expect("runs");
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
}
