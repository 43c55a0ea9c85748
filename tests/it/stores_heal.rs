//! Stores that somebody wrote into, that broke, or that have no room: what is in force in the end.

use crate::faults::with_a_clock;
use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::redis_server::RedisServer;
use crate::support::{mount, skipped, until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn with_redis(redis: &RedisServer) -> String {
    let limits = "mode.default = \"revoke\"\nlimits.default = \"600/min\"\n";
    format!("{limits}[auth_store.redis]\nurl = \"{}\"\n", redis.url())
}

fn key_of(credential: &str) -> String {
    let kind = if credential.contains(':') { "" } else { "api_key:" };
    format!("tripline:credential:{{{kind}{credential}}}")
}

fn becomes(redis: &RedisServer, credential: &str, wanted: &str) {
    until(&format!("{credential} is {wanted}"), 3 * PATIENCE, || {
        let status: Option<String> = redis.ask(&["HGET", &key_of(credential), "status"]);
        (status.as_deref() == Some(wanted)).then_some(())
    });
}

fn issues(daemon: &Daemon) -> String {
    daemon.get("/v1/status").get("issues").expect("a list").to_string()
}

#[test]
fn each_credential_of_a_redis_is_healed_whatever_became_of_the_others() {
    if skipped("redis") {
        return;
    }
    let (folder, redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis));
    for n in 0..22 {
        daemon.order("revoke", &format!("key_{n}"));
    }
    becomes(&redis, "key_21", "revoked");
    let field = |name: &str| redis.ask::<String>(&["HGET", &key_of("key_3"), name]);
    let (generation, decision) = (field("generation"), field("decision"));
    // Emptied, and at once one key of another type, one without a number, one far ahead, one by hand.
    let script = "redis.call('FLUSHALL') redis.call('SET', KEYS[1], 'mine') \
                  redis.call('HSET', KEYS[2], 'generation', 'abc', 'status', 'active') \
                  redis.call('HSET', KEYS[3], 'generation', '999999', 'status', 'active', \
                  'decision', ARGV[1]) \
                  redis.call('HSET', KEYS[4], 'generation', '18446744073709551615', 'status', 'active')";
    let keys = ["key_1", "key_2", "key_3", "key_4"].map(key_of);
    let [one, two, three, four] = &keys;
    redis.ask::<()>(&["EVAL", script, "4", one, two, three, four, &decision]);
    for n in (0..22).filter(|n| *n != 1) {
        becomes(&redis, &format!("key_{n}"), "revoked");
    }
    assert_eq!(
        redis.ask::<String>(&["HGET", three, "generation"]),
        generation,
        "as the journal has it"
    );
    until("the one that can't be read is named", PATIENCE, || {
        let told = issues(&daemon);
        (told.contains("api_key:key_1") && told.contains("WRONGTYPE")).then_some(())
    });
    assert!(daemon.log().contains("can't read the key of this credential"), "{}", daemon.log());
    assert_eq!(redis.ask::<String>(&["GET", one]), "mine", "what isn't tripline's is left");
    redis.ask::<i64>(&["DEL", one]);
    becomes(&redis, "key_1", "revoked");
    until("it is named no more", PATIENCE, || (!issues(&daemon).contains("key_1")).then_some(()));
}

#[test]
fn a_jwt_that_its_limit_revoked_is_kept_for_as_long_as_it_lives() {
    if skipped("redis") {
        return;
    }
    let (folder, redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis));
    let ends_s = now_ms() / 1000 + 900;
    let use_of = event("j1", now_ms()).replace(
        "\"outcome\"",
        &format!("\"kind\":\"jwt\",\"expires\":{},\"outcome\"", ends_s * 1000),
    );
    daemon.post_events(&use_of.repeat(2000));
    becomes(&redis, "jwt:j1", "revoked");
    let expires: i64 = redis.ask(&["EXPIRETIME", &key_of("jwt:j1")]);
    assert_eq!(expires, ends_s);
}

/// Redis refuses writes with an error that can pass, until `repair`: people see its own words.
fn refused_writes_are_reported(
    code: &str,
    words: &str,
    refuse: fn(&RedisServer),
    repair: fn(&RedisServer),
) {
    if skipped("redis") {
        return;
    }
    let (folder, redis) = (folder(), RedisServer::start());
    let daemon = Daemon::start(&folder, &with_redis(&redis));
    daemon.order("revoke", "key_1");
    becomes(&redis, "key_1", "revoked");
    refuse(&redis);
    daemon.order("revoke", "key_2");
    until("people see Redis's own words", PATIENCE, || {
        issues(&daemon).contains(words).then_some(())
    });
    let warned = |log: &str| log.lines().any(|line| line.contains("WARN") && line.contains(code));
    until("so does the log", PATIENCE, || warned(&daemon.log()).then_some(()));
    repair(&redis);
    becomes(&redis, "key_2", "revoked");
    until("the error is cleared", PATIENCE, || (!issues(&daemon).contains(words)).then_some(()));
}

#[test]
fn a_redis_without_memory_is_reported_in_its_own_words() {
    refused_writes_are_reported(
        "OOM",
        "maxmemory",
        |redis| redis.ask(&["CONFIG", "SET", "maxmemory", "1"]),
        |redis| redis.ask(&["CONFIG", "SET", "maxmemory", "0"]),
    );
}

#[test]
fn a_redis_that_cannot_save_its_snapshot_is_reported_in_its_own_words() {
    refused_writes_are_reported("MISCONF", "MISCONF", RedisServer::fail_snapshots, |redis| {
        redis.ask::<()>(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    });
}

/// Changes the embedded store as somebody with the command line of `SQLite` would.
fn write_into(daemon: &Daemon, sql: &str) {
    let file = rusqlite::Connection::open(daemon.data().join("credentials.db")).expect("opens");
    file.busy_timeout(PATIENCE).expect("waits");
    file.execute_batch(sql).expect("writes");
}

fn statuses(data: &std::path::Path) -> Vec<String> {
    let file = rusqlite::Connection::open(data.join("credentials.db")).expect("opens");
    let mut rows =
        file.prepare("SELECT id || ' ' || status FROM credentials ORDER BY id").expect("SQL");
    let rows = rows.query_map([], |row| row.get(0)).expect("reads");
    rows.map(|row| row.expect("text")).collect()
}

#[test]
fn what_somebody_writes_into_the_embedded_store_is_set_right() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    for n in 0..5 {
        daemon.order("revoke", &format!("key_{n}"));
    }
    daemon.order("restore", "key_4");
    let right =
        ["key_0 revoked", "key_1 revoked", "key_2 revoked", "key_3 revoked", "key_4 active"];
    let heals = |daemon: &Daemon| {
        until("the file says what the journal says", PATIENCE, || {
            (statuses(&daemon.data()) == right).then_some(())
        });
    };
    heals(&daemon);
    let by_hand = "UPDATE credentials SET status = 'active' WHERE id = 'key_0';
                   UPDATE credentials SET generation = 'many' WHERE id = 'key_1';
                   UPDATE credentials SET status = 'active', generation = 999 WHERE id = 'key_2';
                   DELETE FROM credentials WHERE id = 'key_3';
                   UPDATE credentials SET status = 'revoked' WHERE id = 'key_4';";
    write_into(&daemon, by_hand);
    heals(&daemon);
    assert!(daemon.log().contains("another process wrote into the store"), "{}", daemon.log());
    // The same while it is away: no gate is open at the start.
    let data = daemon.data();
    daemon.terminate();
    let file = rusqlite::Connection::open(data.join("credentials.db")).expect("opens");
    file.execute_batch(by_hand).expect("writes");
    drop(file);
    let daemon = Daemon::start_in(folder.path(), "");
    let gates = [0, 1, 2, 3, 4].map(|n| daemon.check(&format!("key_{n}")));
    assert_eq!(gates, [403, 403, 403, 403, 200], "at once");
    heals(&daemon);
}

/// What becomes of a file.
type Damage = fn(Vec<u8>) -> Vec<u8>;

#[test]
fn a_damaged_embedded_store_is_kept_aside_and_made_again_from_the_journal() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    for n in 0..200 {
        daemon.order("revoke", &format!("key_{n}"));
    }
    daemon.order("restore", "key_7");
    let path = daemon.data().join("credentials.db");
    let mut daemon = Some(daemon);
    let whole_of = |daemon: &mut Option<Daemon>| {
        daemon.take().expect("runs").terminate();
        // Whoever closes it last moves everything into the one file.
        drop(
            rusqlite::Connection::open(&path)
                .map(|file| file.execute_batch("PRAGMA wal_checkpoint")),
        );
        std::fs::read(&path).expect("reads")
    };
    let asides = || {
        let names = std::fs::read_dir(folder.path().join("data")).expect("a folder").flatten();
        let names = names.map(|entry| entry.file_name().into_string().expect("text"));
        names
            .filter(|name| name.starts_with("credentials.db.damaged-") && !name.ends_with("-wal"))
            .count()
    };
    let damages: [(&str, Damage, usize); 4] = [
        ("garbage", |bytes| vec![b'x'; bytes.len()], 1),
        ("half of it", |bytes| bytes[..bytes.len() / 2].to_vec(), 2),
        (
            "one page",
            |mut bytes| {
                let third = bytes.len() / 3 / 4096 * 4096;
                bytes[third..third + 4096].fill(0xa5);
                bytes
            },
            3,
        ),
        // An empty file is a new one: nothing to keep.
        ("nothing", |_| Vec::new(), 3),
    ];
    for (what, damage, kept) in damages {
        let bytes = whole_of(&mut daemon);
        assert!(bytes.len() > 3 * 4096, "{} bytes", bytes.len());
        std::fs::write(&path, damage(bytes)).expect("writes");
        let started = Daemon::start_in(folder.path(), "");
        assert_eq!([started.check("key_0"), started.check("key_199")], [403; 2], "{what}: at once");
        assert_eq!(started.check("key_7"), 200, "{what}");
        assert_eq!(asides(), kept, "{what}");
        let log = started.log();
        assert!(log.contains("contradicted decisions of the journal"), "{what}: {log}");
        daemon = Some(started);
    }
    let log = daemon.expect("runs").log();
    assert_eq!(log.matches("the embedded store is damaged").count(), 3, "{log}");
}

#[test]
fn a_folder_in_the_place_of_a_database_is_kept_aside() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    daemon.order("revoke", "key_1");
    daemon.terminate();
    for name in ["credentials.db", "journal.db"] {
        let path = folder.path().join("data").join(name);
        std::fs::remove_file(&path).expect("removes");
        std::fs::create_dir(&path).expect("makes");
        let daemon = Daemon::start_in(folder.path(), "");
        assert_eq!(daemon.check("key_1"), 403, "{name}");
        let names = std::fs::read_dir(folder.path().join("data")).expect("a folder").flatten();
        let is_aside = |one: &std::fs::DirEntry| {
            let aside = one.file_name().into_string().expect("text");
            aside.starts_with(&format!("{name}.damaged-")) && one.path().is_dir()
        };
        assert_eq!(names.filter(is_aside).count(), 1, "{name}");
        daemon.terminate();
    }
}

#[test]
fn a_file_of_a_newer_tripline_is_left_alone() {
    for file in ["credentials.db", "journal.db"] {
        let folder = folder();
        Daemon::start(&folder, "").terminate();
        let path = folder.path().join("data").join(file);
        let database = rusqlite::Connection::open(&path).expect("opens");
        database.pragma_update(None, "user_version", 99).expect("writes");
        drop(database);
        assert!(Daemon::try_start_in(folder.path(), "", &[]).is_none(), "{file}");
        let log = std::fs::read_to_string(folder.path().join("log.ndjson")).expect("a log");
        assert!(
            log.contains("of version 99") && log.contains(file.trim_end_matches(".db")),
            "{log}"
        );
        let database = rusqlite::Connection::open(&path).expect("opens");
        let version: i64 =
            database.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("reads");
        assert_eq!(version, 99, "{file}");
    }
}

/// A disk for the data folder alone.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let folder = folder();
        std::fs::create_dir(folder.path().join("data")).expect("makes");
        mount(&folder.path().join("data"), size)?;
        Some(Self(folder))
    }

    /// Takes all room but `left` bytes.
    fn fill(&self, left: u64) {
        use std::io::Write;
        let path = self.0.path().join("data/filler");
        let mut file =
            std::fs::File::options().create(true).append(true).open(&path).expect("opens");
        let mut size = 1 << 20;
        while size > 0 {
            if file.write_all(&vec![1; size]).is_err() {
                size /= 2;
            }
        }
        let length = file.metadata().expect("exists").len();
        file.set_len(length - left).expect("shortens");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The daemon may still be ending.
        let data = self.0.path().join("data");
        let _gone = std::process::Command::new("umount").arg("-l").arg(data).status();
    }
}

#[test]
fn on_a_full_disk_an_order_says_what_is_not_written_and_the_gate_follows_it() {
    let Some(disk) = Disk::mount("1m") else { return };
    let daemon = Daemon::start_in(disk.0.path(), "");
    daemon.order("revoke", "key_1");
    // A page for the journal, and none for the embedded store.
    disk.fill(4096);
    let done = daemon.order("revoke", "key_2");
    assert_eq!(done["decision"]["carried_out"], true, "{done}");
    assert!(
        done["not_written"][0].as_str().is_some_and(|it| it.starts_with("embedded: ")),
        "{done}"
    );
    assert_eq!(daemon.check("key_2"), 403, "the journal has it, so the gate follows");
    until("people see it", PATIENCE, || issues(&daemon).contains("full").then_some(()));
    std::fs::remove_file(disk.0.path().join("data/filler")).expect("removes");
    until("it is written", PATIENCE, || {
        statuses(&daemon.data()).contains(&"key_2 revoked".to_owned()).then_some(())
    });
}

#[test]
fn the_reserve_of_a_full_disk_takes_orders_and_a_start_after_a_kill() {
    let Some(disk) = Disk::mount("40m") else { return };
    let daemon = Daemon::start_in(disk.0.path(), "");
    let reserve = |name: &str| daemon_file(disk.0.path(), name);
    until("room is kept", PATIENCE, || {
        (reserve("reserve-orders") > 0 && reserve("reserve-start") > 0).then_some(())
    });
    disk.fill(0);
    for n in 0..50 {
        daemon.order("revoke", &format!("key_{n}"));
        assert_eq!(daemon.check(&format!("key_{n}")), 403);
    }
    assert_eq!(reserve("reserve-orders"), 0, "it is used");
    assert!(reserve("reserve-start") > 0, "that of the start is not");
    daemon.kill();
    disk.fill(0);
    let daemon = Daemon::start_in(disk.0.path(), "");
    for n in 0..50 {
        assert_eq!(daemon.check(&format!("key_{n}")), 403, "key_{n}");
    }
    daemon.order("restore", "key_1");
    assert_eq!(daemon.check("key_1"), 200);
    assert!(daemon.log().contains("the reserved space is used to start"), "{}", daemon.log());
    std::fs::remove_file(disk.0.path().join("data/filler")).expect("removes");
    until("room is kept again", PATIENCE, || {
        (reserve("reserve-orders") > 0 && reserve("reserve-start") > 0).then_some(())
    });
}

/// How long a file of the data folder is. Unit: bytes.
fn daemon_file(folder: &std::path::Path, name: &str) -> u64 {
    std::fs::metadata(folder.join("data").join(name)).map_or(0, |found| found.len())
}

#[test]
fn a_restart_with_the_clock_set_wrong_ends_no_suspension_and_refills_no_revocation_limit() {
    if skipped("faketime") {
        return;
    }
    let folder = folder();
    let config = "mode.default = \"revoke\"\nlimits.default = \"600/min\"\n";
    let (daemon, _set) = with_a_clock(&folder, config, "+0");
    daemon.order("suspend", "key_suspended");
    daemon.post_events(&event("key_loud", now_ms()).repeat(2000));
    let tokens = |daemon: &Daemon| daemon.get("/v1/status")["revocation_tokens"].clone();
    until("one revocation is used up", PATIENCE, || (tokens(&daemon) == 2).then_some(()));
    until("the clock is kept", PATIENCE, || {
        (daemon_file(folder.path(), "clock") > 0).then_some(())
    });
    let ticks = |daemon: &Daemon| {
        let beat =
            || daemon.metric("tripline_heartbeat_timestamp_seconds{stage=\"control_plane\"}");
        let first = beat();
        until("time passes", PATIENCE, || (beat() > first).then_some(()));
    };
    let mut daemon = daemon;
    for offset in ["+4000", "-4000", "+90000"] {
        daemon.kill();
        daemon = with_a_clock(&folder, config, offset).0;
        ticks(&daemon);
        assert_eq!(daemon.check("key_suspended"), 403, "{offset}");
        assert_eq!(tokens(&daemon), 2, "{offset}");
        let log = daemon.log();
        assert!(log.contains("the system clock stepped; tripline follows it only"), "{log}");
    }
}
