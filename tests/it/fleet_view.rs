//! Several instances answer as one: whichever is asked, the others are asked too, and who is missing is named.

use crate::support::daemon::{BINARY, Daemon, now_ms, uses};
use crate::support::redis_server::RedisServer;
use crate::support::{http, skipped, until};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long anything may take on a machine that does other work.
const SOON: Duration = Duration::from_secs(20);
const SIGNATURE: &str = "x-tripline-instance";

struct Fleet {
    redis: RedisServer,
    folders: Vec<TempDir>,
    daemons: Vec<Daemon>,
}

/// The settings of an instance, with a fingerprint key of those bytes.
fn config(redis: &RedisServer, folder: &TempDir, key: u8, head: &str) -> String {
    let path = folder.path().join("fingerprint.key");
    std::fs::write(&path, [key; 32]).expect("written");
    format!(
        "{head}fingerprint_key_file = \"{}\"\n\
         [fleet]\nurl = \"http://127.0.0.1:{{PORT}}\"\n\
         [egress]\nnetworks = [\"127.0.0.0/8\"]\n\
         [revocation_limit]\ninstances = 3\n[auth_store.redis]\nurl = \"{}\"\n",
        path.display(),
        redis.url()
    )
}

impl Fleet {
    /// Three, with settings before all sections; all but the last hold one fingerprint key.
    fn start(head: &str, last_key: u8) -> Self {
        let redis = RedisServer::start();
        let folders: Vec<TempDir> =
            (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let daemons = folders.iter().zip([7, 7, last_key]);
        let daemons =
            daemons.map(|(folder, key)| Daemon::start(folder, &config(&redis, folder, key, head)));
        let daemons = daemons.collect();
        let fleet = Self { redis, folders, daemons };
        for daemon in &fleet.daemons {
            until("three instances know each other", SOON, || {
                (instances(daemon) == 3).then_some(())
            });
        }
        fleet
    }

    fn at(&self, number: usize) -> &Daemon {
        self.daemons.get(number).expect("an instance")
    }

    /// Its name: where it is reached.
    fn name(&self, number: usize) -> &str {
        self.at(number).base().trim_start_matches("http://")
    }
}

fn instances(daemon: &Daemon) -> usize {
    let status = daemon.get("/v1/status");
    status.pointer("/fleet/roster").and_then(Value::as_array).map_or(0, Vec::len)
}

/// Asks; gives the status, the two headers and the body.
fn ask(daemon: &Daemon, path: &str) -> (u16, [Option<String>; 2], Value) {
    let answer = http().get(format!("{}{path}", daemon.base())).send().expect("it answers");
    let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
    let headers = [header("tripline-instances"), header("tripline-missing")];
    (answer.status().as_u16(), headers, answer.json().expect("JSON"))
}

/// The answer of all three: on a busy machine one may take longer than the second that it has.
fn of_all(daemon: &Daemon, path: &str) -> Value {
    until("all three answer", SOON, || {
        let (_, headers, answer) = ask(daemon, path);
        (headers == [Some("3/3".to_owned()), None]).then_some(answer)
    })
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    let mut names: Vec<&str> = list.iter().filter_map(|one| one["credential"].as_str()).collect();
    names.sort_unstable();
    names
}

fn cli(daemon: &Daemon, words: &[&str]) -> (String, String) {
    let mut command = Command::new(BINARY);
    let output = command.args(words).args(["--url", daemon.base()]).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn any_instance_answers_for_all() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start("limits.default = \"600/min\"\n", 7);
    for (number, daemon) in fleet.daemons.iter().enumerate() {
        daemon.post_events(&uses(&format!("key_{number}"), now_ms(), 5 + number));
    }
    // One that bursts, at the first alone.
    fleet.at(0).post_events(&uses("key_leaked", now_ms(), 2_000));
    let finding = until("its finding opens", SOON, || {
        let (_, _, found) = ask(fleet.at(2), "/v1/findings?open=true");
        found.as_array()?.first().cloned()
    });
    assert_eq!(finding["credential"], "key_leaked");
    for daemon in &fleet.daemons {
        let credentials = of_all(daemon, "/v1/credentials");
        assert_eq!(names(&credentials), ["key_0", "key_1", "key_2", "key_leaked"]);
        assert_eq!(credentials[0]["credential"], "key_leaked", "the busiest first");
        let one = of_all(daemon, "/v1/credentials/key_leaked");
        assert_eq!(one["windows"][1]["count"], 2_000, "{one}");
        let id = finding["id"].as_str().expect("an id");
        let same = of_all(daemon, &format!("/v1/findings/{id}"));
        assert_eq!(same["id"], finding["id"]);
        // In shadow it is not carried out, and so not in Redis.
        let decision =
            until("it is decided on", SOON, || of_all(daemon, "/v1/decisions").get(0).cloned());
        assert_eq!(
            (&decision["credential"], &decision["carried_out"]),
            (&"key_leaked".into(), &false.into())
        );
        let id = decision["id"].as_str().expect("an id");
        assert_eq!(of_all(daemon, &format!("/v1/decisions/{id}"))["id"], id);
        until("all is counted", SOON, || {
            let status = daemon.get("/v1/status");
            (status["events"] == 2_018 && status["credentials"] == 4).then_some(())
        });
        assert_eq!(of_all(daemon, "/v1/credentials/key_unknown")["status"], 404);
    }
    let own = fleet.at(2).get(&format!("/v1/credentials?instance={}", fleet.name(2)));
    assert_eq!(names(&own), ["key_2"]);
    let other = until("the other answers", SOON, || {
        let path = format!("/v1/credentials?instance={}", fleet.name(1));
        Some(ask(fleet.at(2), &path)).filter(|(code, ..)| *code == 200).map(|(.., list)| list)
    });
    assert_eq!(names(&other), ["key_1"]);
    let (code, _, problem) = ask(fleet.at(2), "/v1/credentials?instance=tripline-9");
    assert_eq!((code, &problem["title"]), (404, &"there is no such instance".into()));
    // A person orders at any of them what another one knows.
    let known = r#"{"reason":"asked by a test","only_known":true}"#;
    until("it is ordered", SOON, || {
        let (code, _) = fleet.at(2).say("/v1/credentials/key_1/suspend", known);
        (code == 200).then_some(())
    });
    until("it is refused by all", SOON, || {
        let (code, refused) = fleet.at(2).say("/v1/credentials/key_unknown/suspend", known);
        (code == 409 && !refused.contains("as far as")).then_some(())
    });
    until("the command line lists all", SOON, || {
        let (all, _) = cli(fleet.at(1), &["credentials", "list"]);
        (all.contains("key_0") && all.contains("key_2")).then_some(())
    });
    until("the command line lists those of one", SOON, || {
        let (one, _) = cli(fleet.at(1), &["credentials", "list", "--instance", fleet.name(0)]);
        (one.contains("key_0") && !one.contains("key_2")).then_some(())
    });
}

#[test]
fn an_instance_that_is_missing_is_named_and_one_that_left_is_not_missed() {
    if skipped("redis") {
        return;
    }
    let mut fleet = Fleet::start("", 7);
    fleet.at(0).post_events(&uses("key_0", now_ms(), 5));
    fleet.at(1).post_events(&uses("key_1", now_ms(), 5));
    fleet.at(1).pause();
    let name = fleet.name(1).to_owned();
    let two_answer = |path: &str| {
        until("two of three answer", SOON, || {
            let (_, [instances, missing], answer) = ask(fleet.at(0), path);
            (instances.as_deref() == Some("2/3")).then_some((missing, answer))
        })
    };
    let (missing, credentials) = two_answer("/v1/credentials");
    assert_eq!(names(&credentials), ["key_0"]);
    let missing = missing.expect("one is");
    assert!(missing.contains(&name) && missing.contains("did not answer in time"), "{missing}");
    let (listed, said) = cli(fleet.at(0), &["credentials", "list"]);
    assert!(listed.contains("key_0"), "{listed}");
    assert!(said.contains("some instances did not answer") && said.contains(&name), "{said}");
    let (_, said) = cli(fleet.at(0), &["credentials", "show", "key_1"]);
    assert!(said.contains("not remembered") && said.contains(&name), "{said}");
    let known = r#"{"reason":"asked by a test","only_known":true}"#;
    let (code, refused) = fleet.at(0).say("/v1/credentials/key_1/suspend", known);
    assert!(
        code == 409 && refused.contains("as far as the instances that answered know"),
        "{refused}"
    );
    let (_, said) = cli(fleet.at(0), &["health", "--instance", &name]);
    assert!(said.contains("--instance is for what is read"), "{said}");
    let (_, status) = two_answer("/v1/status");
    let instances = status["fleet"]["roster"].as_array().expect("a list").clone();
    let of = |wanted: &str| {
        instances.iter().find(|one| one["name"] == wanted).expect("a known instance")
    };
    assert!(of(&name)["missing"].is_string() && of(fleet.name(2))["missing"].is_null());
    // It is silent for ten seconds: an issue.
    until("it is said to be silent", SOON, || {
        let status = fleet.at(0).get("/v1/status");
        let issues = status["issues"].as_array()?;
        let found = issues.iter().find(|one| one["runbook"] == "instance-silent")?;
        found["found"].as_str()?.contains(&name).then_some(())
    });
    assert!(fleet.at(0).metric("tripline_fleet_instances_silent") > 0.5);
    fleet.at(1).resume();
    until("all answer", SOON, || {
        (ask(fleet.at(0), "/v1/credentials").1 == [Some("3/3".to_owned()), None]).then_some(())
    });
    // One that ends in order leaves.
    let code = fleet.daemons.remove(1).terminate();
    assert_eq!(code, Some(0));
    until("the others are two", SOON, || {
        let (_, [instances, missing], _) = ask(fleet.at(0), "/v1/credentials");
        ((instances.as_deref(), missing) == (Some("2/2"), None)).then_some(())
    });
    assert!(fleet.at(0).metric("tripline_fleet_instances_silent") < 0.5);
    drop(fleet.folders);
}

/// Neither a stranger nor who can write the Redis gets an answer of another instance.
#[test]
fn an_instance_reads_from_another_by_its_signature_alone() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start("", 7);
    let signed = "1800000000000.".to_owned() + &"0".repeat(64);
    for signature in ["", "nonsense", &signed] {
        let headers = [(SIGNATURE, signature)];
        let (code, body) = fleet.at(0).send("GET", "/v1/credentials", &headers, "");
        assert_eq!(code, 401, "{body}");
    }
    // A registration that someone forged, at an address of the cloud's metadata service.
    let registration = "{\"instance\":\"00000000000000aa\",\"name\":\"forged\",\"url\":\"http://169.254.169.254:80\"}";
    let told =
        format!("{} {{\"active\":0,\"bursts\":{{}},\"registration\":{registration}}}", now_ms());
    let key = "tripline:{breaker}:members";
    fleet.redis.ask::<i64>(&["HSET", key, "00000000000000aa", &told]);
    until("it is asked, and says so", SOON, || {
        let missing = ask(fleet.at(0), "/v1/credentials").1[1].clone()?;
        (missing.contains("forged") && missing.contains("not allowed")).then_some(())
    });
}

/// As where one configuration was copied: an instance must not take itself for another.
#[test]
fn an_instance_that_is_asked_for_another_says_so() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start("", 7);
    let key = "tripline:{breaker}:members";
    let registration = format!(
        "{{\"instance\":\"00000000000000aa\",\"name\":\"copy\",\"url\":\"{}\"}}",
        fleet.at(1).base()
    );
    let told =
        format!("{} {{\"active\":0,\"bursts\":{{}},\"registration\":{registration}}}", now_ms());
    fleet.redis.ask::<i64>(&["HSET", key, "00000000000000aa", &told]);
    until("it is asked, and says so", SOON, || {
        let missing = ask(fleet.at(0), "/v1/credentials").1[1].clone()?;
        (missing.contains("copy") && missing.contains("its own [fleet] url")).then_some(())
    });
}

/// Without Redis the others are asked as before, and it is said that there may be more.
#[test]
fn without_redis_the_instances_that_are_known_answer_and_others_may_be_missing() {
    if skipped("redis") {
        return;
    }
    let mut fleet = Fleet::start("", 7);
    fleet.at(1).post_events(&uses("key_1", now_ms(), 5));
    fleet.redis.kill();
    until("it is noticed, and all that are known answer", SOON * 2, || {
        let (_, [instances, missing], list) = ask(fleet.at(0), "/v1/credentials");
        let is_said = missing.is_some_and(|one| one.starts_with("others (Redis does not answer"));
        (instances.as_deref() == Some("3/4") && is_said && names(&list) == ["key_1"]).then_some(())
    });
}

#[test]
fn an_instance_with_another_fingerprint_key_is_missing_and_said_to_differ() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start("", 8);
    until("it is missing, and why", SOON, || {
        let (_, [instances, missing], _) = ask(fleet.at(0), "/v1/credentials");
        let is_said = missing.is_some_and(|missing| missing.contains("fingerprint_key_file"));
        (instances.as_deref() == Some("2/3") && is_said).then_some(())
    });
    let different = || fleet.at(0).metric("tripline_fleet_instances_different");
    until("it is said to differ", SOON, || (different() > 0.5).then_some(()));
}

#[test]
fn a_url_without_a_way_to_hear_of_others_is_a_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tripline.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let output = Command::new(BINARY).arg("check").arg(&path).output().expect("it runs");
        String::from_utf8(output.stderr).expect("text")
    };
    let alone = check("[fleet]\nurl = \"https://tripline-1.example.com\"\n");
    assert!(alone.contains("instances find each other through Redis"), "{alone}");
    let redis = "[auth_store.redis]\nurl = \"redis://127.0.0.1:1\"\n";
    let one = check(&format!("fleet.url = \"https://tripline-1.example.com\"\n{redis}"));
    assert!(one.contains("[revocation_limit] instances is 1"), "{one}");
    let two = "revocation_limit.instances = 2\nfleet.url = \"https://tripline-1.example.com\"\n";
    let keyless = check(&format!("{two}{redis}"));
    assert!(keyless.contains("fingerprint_key_file"), "{keyless}");
    let shut = check("[fleet]\nurl = \"http://10.0.0.7:7878\"\n");
    assert!(shut.contains("add the network of the instances to [egress] networks"), "{shut}");
    let path_in_it = check("[fleet]\nurl = \"https://example.com/tripline\"\n");
    assert!(path_in_it.contains("invalid address"), "{path_in_it}");
}

/// Tokens are for people and gateways: instances need none of each other.
#[test]
fn instances_with_tokens_answer_each_other_and_strangers_get_nothing_of_any() {
    if skipped("redis") {
        return;
    }
    let (redis, token) = (RedisServer::start(), "a-token-of-32-characters-or-more");
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let daemons = folders.each_ref().map(|folder| {
        let path = folder.path().join("token");
        std::fs::write(&path, token).expect("written");
        let tokens = format!(
            "[http.tokens.people]\nroles = [\"read\", \"ingest\"]\ntoken_file = \"{}\"\n",
            path.display()
        );
        Daemon::start(folder, &format!("{}{tokens}", config(&redis, folder, 7, "")))
    });
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let [one, other] = &daemons;
    let (code, body) = one.send("POST", "/v1/events", &headers, uses("key_1", now_ms(), 5));
    assert_eq!(code, 200, "{body}");
    until("the other shows it", SOON, || {
        let (code, body) = other.send("GET", "/v1/credentials", &headers, "");
        (code == 200 && body.contains("key_1")).then_some(())
    });
    let (code, headers, _) = ask(other, "/v1/credentials");
    assert_eq!((code, headers), (401, [None, None]), "no other instance is asked for a stranger");
}
