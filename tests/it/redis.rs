//! Redis as auth store, against a real one: exactly once, never back, whatever goes wrong.

use crate::support::daemon::{Daemon, now_ms, uses};
use crate::support::redis_server::RedisServer;
use crate::support::{skipped, until};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;
use tripline::adapters::enforce::answer::{Pulse, Reading};
use tripline::adapters::enforce::redis::changes::ScanPlace;
use tripline::adapters::enforce::redis::instances::Reported;
use tripline::adapters::enforce::redis::store::{
    CHANGES_DEFAULT, GUARD_KEY, KEY_DEFAULT, OwnCommands, Params, RedisStore,
};
use tripline::adapters::enforce::template::{Command, Template};
use tripline::adapters::redis_connection::{ServerAddress, Topology};
use tripline::control_plane::instance_summary::InstanceSummary;
use tripline::control_plane::policy::revocation_limit::Allowed;
use tripline::control_plane::roster::KnownInstance;
use tripline::model::credential::{Credential, Kind};
use tripline::model::decision::{
    Decision, DecisionId, EnforcementState, Generation, Holding, InstanceId, Mode, Order, Receipt,
    Status, TokenGrant,
};
use tripline::model::finding::{Action, Detector, FindingId};
use tripline::model::registration::Registration;
use tripline::model::time::EventTime;

/// The most severe order.
pub const REVOKE: Order = Order::Act(Action::Revoke);

/// A store as it is configured by default.
pub fn params(server: &RedisServer) -> Params {
    Params {
        place: place(server.url()),
        key: Template::parse(KEY_DEFAULT).expect("a template"),
        guard_key: Template::parse(GUARD_KEY).expect("a template"),
        stream: CHANGES_DEFAULT.to_owned(),
        stream_length_max: 1000,
        channel: CHANGES_DEFAULT.to_owned(),
        lifetime_default_s: 3600,
        commands: std::iter::empty().collect(),
    }
}

/// One server at `url`.
pub fn place(url: String) -> ServerAddress {
    ServerAddress {
        url: SecretString::from(url),
        nodes: vec![],
        topology: Topology::Single,
        sentinel_user: None,
        sentinel_password: None,
        certificates: None,
        response_timeout: Duration::from_millis(500),
    }
}

/// A decision of a person.
pub fn decision(name: &str, order: Order, generation: u64) -> Decision {
    let credential = Credential::parse(name).expect("valid");
    let at = EventTime::from_ms(now_ms());
    let generation = Generation(generation);
    Decision {
        id: DecisionId::of(&credential, generation, at, (None, order)),
        finding: None,
        credential,
        tenant: None,
        generation,
        base: Generation(0),
        origin: None,
        wanted: Action::Revoke,
        order,
        mode: Mode::Revoke,
        carried_out: true,
        held_by: vec![],
        until: None,
        at,
        expires: None,
        by: "tripline".into(),
        reason: "made 20,000 requests in 10 s".to_owned(),
        evidence: vec![],
    }
}

fn finding(name: &str) -> FindingId {
    let credential = Credential::parse(name).expect("valid");
    FindingId::of(&credential, Detector::Burst, EventTime::from_ms(0))
}

/// What stands by a decision.
pub fn in_force(decision: &Decision) -> EnforcementState {
    EnforcementState {
        credential: decision.credential.clone(),
        decision: decision.id,
        status: decision.order.status().expect("an action"),
        generation: decision.generation,
        base: decision.base,
        is_followed: decision.origin.is_some(),
        until: decision.until,
        expires: decision.expires,
        finding: decision.finding,
        at: decision.at,
        by_person: false,
    }
}

/// A server, and a store on a runtime of its own.
struct World {
    server: RedisServer,
    runtime: tokio::runtime::Runtime,
    store: RedisStore,
}

impl World {
    fn new(change: impl FnOnce(&mut Params)) -> Self {
        let server = RedisServer::start();
        let mut params = params(&server);
        change(&mut params);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let store = RedisStore::new(params, "test").expect("a store");
        Self { server, runtime, store }
    }

    fn carry_out(&self, decision: &Decision) -> Receipt {
        self.runtime.block_on(self.store.carry_out(decision)).receipt
    }

    fn hash(&self, key: &str) -> BTreeMap<String, String> {
        self.server.ask(&["HGETALL", key])
    }

    fn changes(&self) -> i64 {
        self.server.ask(&["XLEN", CHANGES_DEFAULT])
    }
}

#[test]
fn a_revocation_is_what_gateways_read_and_a_second_delivery_changes_nothing() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let revoke = decision("key_1", REVOKE, 1);
    assert_eq!(world.carry_out(&revoke), Receipt::Applied);
    assert_eq!(world.carry_out(&revoke), Receipt::Already);
    let hash = world.hash("tripline:credential:{api_key:key_1}");
    assert_eq!((hash["status"].as_str(), hash["generation"].as_str()), ("revoked", "1"));
    assert_eq!(hash["decision"], revoke.id.to_string());
    assert_eq!(hash["reason"], revoke.reason);
    assert_eq!((hash["until"].as_str(), hash["finding"].as_str()), ("", ""));
    assert_eq!(world.changes(), 1);
}

#[test]
fn a_stale_generation_is_refused_and_restore_brings_it_back() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let (revoke, restore) = (decision("k", REVOKE, 3), decision("k", Order::Restore, 4));
    assert_eq!(world.carry_out(&revoke), Receipt::Applied);
    assert_eq!(world.carry_out(&restore), Receipt::Applied);
    assert_eq!(world.carry_out(&revoke), Receipt::Stale);
    let other = decision("k", REVOKE, 4);
    let delivery = world.runtime.block_on(world.store.carry_out(&other));
    assert_eq!(delivery.receipt, Receipt::Stale);
    let held = Holding {
        generation: Generation(4),
        decision: Some(restore.id),
        status: Some(Status::Active),
        finding: None,
        until: None,
        provenance: None,
    };
    let said = delivery.held.expect("it says what it holds");
    let from = said.provenance.clone().expect("and where it comes from");
    assert_eq!((from.by.as_str(), from.base), ("tripline", Generation(0)));
    assert_eq!(Holding { provenance: None, ..said }, held);
    assert_eq!(world.hash("tripline:credential:{api_key:k}")["status"], "active");
    assert_eq!(world.changes(), 2);
}

#[test]
fn what_somebody_else_changed_is_written_again() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let revoke = decision("key_1", REVOKE, 1);
    world.carry_out(&revoke);
    let key = "tripline:credential:{api_key:key_1}";
    world.server.ask::<()>(&["HSET", key, "status", "active"]);
    assert_eq!(world.carry_out(&revoke), Receipt::Applied);
    assert_eq!(world.hash(key)["status"], "revoked");
}

#[test]
fn it_says_what_it_holds_in_the_order_in_which_it_was_asked() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|params| {
        params.commands.insert(Kind::Session, OwnCommands::default());
    });
    let decisions = ["key_1", "session:s1", "key_3"].map(|name| decision(name, REVOKE, 7));
    for decision in &decisions {
        world.carry_out(decision);
    }
    let wanted = ["session:s1", "key_2", "key_1"].map(|name| in_force(&decision(name, REVOKE, 7)));
    let Reading::Held(held) = world.runtime.block_on(world.store.read(&wanted)) else {
        panic!("it answers")
    };
    let of = |held: &Option<Holding>| held.as_ref().map(|held| (held.generation.0, held.decision));
    let held: Vec<_> = held.iter().map(of).collect();
    let [one, session, _] = decisions.map(|decision| decision.id);
    assert_eq!(held, [Some((7, Some(session))), None, Some((7, Some(one)))]);
}

#[test]
fn a_server_that_was_emptied_has_lost_its_pulse() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let pulse = || world.runtime.block_on(world.store.pulse());
    assert_eq!([pulse(), pulse()], [Pulse::Kept; 2]);
    world.server.ask::<()>(&["FLUSHALL"]);
    assert_eq!([pulse(), pulse()], [Pulse::Lost, Pulse::Kept]);
    world.server.pause();
    assert_eq!(pulse(), Pulse::Unreachable);
    world.server.resume();
}

/// Instances that ask at once get no more together than one alone would.
#[test]
fn all_instances_share_the_tokens_of_the_revocation_limit() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let others = RedisStore::new(params(&world.server), "other").expect("a store");
    let allowed = Allowed { for_all: 5, for_tenant: 2 };
    let take = |store: &RedisStore, tenant: Option<&str>, name: &str| {
        world.runtime.block_on(store.take_token(tenant, allowed, finding(name)))
    };
    assert_eq!(take(&world.store, Some("acme"), "a"), TokenGrant::Granted);
    assert_eq!(
        take(&others, Some("acme"), "a"),
        TokenGrant::Granted,
        "the same finding: the same token"
    );
    assert_eq!(take(&others, Some("acme"), "b"), TokenGrant::Granted);
    assert_eq!(
        take(&world.store, Some("acme"), "c"),
        TokenGrant::Refused,
        "the tenant has no more"
    );
    let taken = world.runtime.block_on(async {
        let names: Vec<String> = (0..20).map(|n| format!("n{n}")).collect();
        let both = names.iter().flat_map(|name| [(&world.store, name), (&others, name)]);
        let ask = both.map(|(store, name)| async move {
            (name, store.take_token(None, allowed, finding(name)).await)
        });
        let answers = futures_util::future::join_all(ask).await;
        let granted = answers.into_iter().filter(|(_, granted)| *granted == TokenGrant::Granted);
        granted.map(|(name, _)| name.clone()).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(taken.len(), 3, "five for all, and two are gone: {taken:?}");
    let key = "tripline:{breaker}:all";
    // Asked again it counts from then on: the revocation is still to come.
    let first = finding("a").to_string();
    let taken_at = || world.server.ask::<f64>(&["ZSCORE", key, &first]);
    let before = taken_at();
    until("the server's clock goes on", Duration::from_secs(10), || {
        take(&others, Some("acme"), "a");
        (taken_at() > before).then_some(())
    });
    assert_eq!(world.server.ask::<u32>(&["ZCARD", key]), 5, "and takes no further place");
    assert!((3_500..=3_600).contains(&world.server.ask::<i64>(&["TTL", key])));
    world.server.pause();
    assert_eq!(take(&world.store, None, "z"), TokenGrant::Unanswered);
    world.server.resume();
}

/// Instances hear of each other, and of those that are gone no more.
#[test]
fn instances_tell_each_other_what_they_know_of_the_fleet() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let share = |instance: u64, active| {
        let mut own = InstanceSummary::default();
        own.fleet.active = active;
        own.fleet.bursts[0] = [(1_700_000_000, 3)].into();
        let name = format!("tripline-{instance}");
        let instance = InstanceId(instance);
        let who = Registration { instance, name, ..Registration::default() };
        world.runtime.block_on(world.store.share(&who, &own)).expect("answers")
    };
    assert!(share(1, 5).is_empty(), "an instance does not hear itself");
    let heard = share(2, 7);
    assert_eq!(heard.iter().map(|one| one.summary.fleet.active).collect::<Vec<_>>(), [5]);
    assert_eq!(heard[0].summary.fleet.bursts[0], [(1_700_000_000, 3)].into());
    let known = heard[0].known.as_ref().expect("it said who it is");
    assert_eq!((known.registration.name.as_str(), known.is_silent()), ("tripline-1", false));
    assert_eq!(share(1, 6)[0].summary.fleet.active, 7);
    // One that told something long ago, one that tells nonsense.
    let key = "tripline:{breaker}:members";
    world.server.ask::<i64>(&["HSET", key, "old", "1000 {\"active\":1,\"bursts\":{}}"]);
    // One that tells nonsense, one that tells no text, one of the future: none of them hides another.
    let now = format!("{} nonsense", now_ms());
    world.server.ask::<i64>(&["HSET", key, "mad", &now]);
    let script = "return redis.call('HSET', KEYS[1], 'bytes', ARGV[1] .. ' \\255\\254{')";
    world.server.ask::<i64>(&["EVAL", script, "1", key, &now_ms().to_string()]);
    world.server.ask::<i64>(&[
        "HSET",
        key,
        "future",
        "99999999999999 {\"active\":9,\"bursts\":{}}",
    ]);
    let silent = InstanceId(2).to_string();
    let told: String = world.server.ask(&["HGET", key, &silent]);
    let told = told.split_once(' ').expect("a time and what it told").1;
    let before = format!("{} {told}", now_ms() - 60_000);
    world.server.ask::<i64>(&["HSET", key, &silent, &before]);
    let known = |heard: Vec<Reported>| -> Vec<KnownInstance> {
        heard.into_iter().filter_map(|one| one.known).collect()
    };
    let heard = share(1, 6);
    assert_eq!(heard.len(), 3, "those that can't be read are noticed: {heard:?}");
    let heard = known(heard);
    assert!(heard.len() == 1 && heard[0].is_silent(), "it did not leave: {heard:?}");
    for gone in ["old", "future"] {
        assert_eq!(world.server.ask::<i64>(&["HEXISTS", key, gone]), 0, "{gone} is forgotten");
    }
    world.runtime.block_on(world.store.leave(InstanceId(2))).expect("answers");
    assert_eq!(known(share(1, 6)), [], "it left");
}

/// Two instances that share a Redis.
fn two_instances() -> (RedisServer, [TempDir; 2], [Daemon; 2]) {
    let server = RedisServer::start();
    let config = format!(
        "[revocation_limit]\ninstances = 2\n[auth_store.redis]\nurl = \"{}\"\n",
        server.url()
    );
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let daemons = folders.each_ref().map(|folder| Daemon::start(folder, &config));
    (server, folders, daemons)
}

#[test]
fn two_daemons_see_one_fleet() {
    if skipped("redis") {
        return;
    }
    let (_server, _folders, daemons) = two_instances();
    daemons[0].post_events(&uses("key_1", now_ms(), 2));
    daemons[1].post_events(&format!(
        "{}{}",
        uses("key_2", now_ms(), 2),
        uses("key_3", now_ms(), 2)
    ));
    for daemon in &daemons {
        until("both hear of each other", Duration::from_secs(20), || {
            let fleet = daemon.get("/v1/status")["fleet"].clone();
            (fleet["instances"] == 2 && fleet["credentials"] == 3).then_some(())
        });
    }
    let [one, two] = daemons;
    two.kill();
    until("the other is alone", Duration::from_secs(30), || {
        (one.get("/v1/status")["fleet"]["instances"] == 1).then_some(())
    });
}

#[test]
fn two_daemons_know_together_what_each_tenant_takes() {
    if skipped("redis") {
        return;
    }
    let (_server, _folders, daemons) = two_instances();
    // A minute is shown for a minute, from 15 seconds after its end.
    until("a new minute has just come", Duration::from_mins(1), || {
        ((now_ms() - 15_000) % 60_000 < 30_000).then_some(())
    });
    let begun = ((now_ms() - 15_000) / 60_000 - 1) * 60_000;
    let of = |tenant: &str, credential: &str, times| {
        uses(credential, begun + 30_000, times).replace("acme", tenant)
    };
    daemons[0].post_events(&(of("acme", "key_1", 3) + &of("acme", "key_2", 1)));
    daemons[1].post_events(&(of("acme", "key_3", 2) + &of("bloom", "key_4", 4)));
    for daemon in &daemons {
        until("each knows what both counted", Duration::from_secs(20), || {
            let all = daemon.get("/v1/tenants");
            (all["requests"] == 10).then(|| {
                let told = |at: usize| &all["tenants"][at];
                assert_eq!((&told(0)["tenant"], &told(0)["requests"]), (&"acme".into(), &6.into()));
                assert_eq!((&told(1)["tenant"], &told(1)["share"]), (&"bloom".into(), &0.4.into()));
                assert_eq!(told(0)["flood"], serde_json::Value::Null, "nothing is usual yet");
            })
        });
    }
}

#[test]
fn every_change_is_published() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let client = redis::Client::open(world.server.url()).expect("a URL");
    let mut connection = client.get_connection().expect("connects");
    connection.set_read_timeout(Some(Duration::from_secs(5))).expect("sets");
    let mut listener = connection.as_pubsub();
    listener.subscribe(CHANGES_DEFAULT).expect("subscribes");
    world.carry_out(&decision("key_1", REVOKE, 1));
    let heard: String = listener.get_message().expect("hears").get_payload().expect("text");
    let change: serde_json::Value = serde_json::from_str(&heard).expect("JSON");
    assert_eq!((&change["id"], &change["status"]), (&"key_1".into(), &"revoked".into()));
    assert_eq!(change["generation"], 1);
}

#[test]
fn own_commands_replace_the_hash_and_run_exactly_once() {
    if skipped("redis") {
        return;
    }
    let command = |text: &str| Command::parse(text).expect("a command");
    let own = |revoke: &str, restore: &str| OwnCommands {
        revoke: vec![command(revoke)],
        suspend: vec![command(revoke)],
        throttle: vec![],
        restore: vec![command(restore)],
    };
    let world = World::new(|params| {
        params.commands.insert(
            Kind::ApiKey,
            OwnCommands {
                revoke: vec![command("HSET apikey:{id} active 0"), command("INCR revocations")],
                ..own("HSET apikey:{id} active 0", "HSET apikey:{id} active 1")
            },
        );
        let deny = own("SET jwt:deny:{jti} 1 EXAT {expires}", "DEL jwt:deny:{jti}");
        params.commands.insert(Kind::Jwt, deny);
        params.commands.insert(Kind::Session, own("DEL session:{id}", "PING"));
    });
    let revoke = decision("key_1", REVOKE, 1);
    assert_eq!(world.carry_out(&revoke), Receipt::Applied);
    assert_eq!(world.carry_out(&revoke), Receipt::Already);
    assert_eq!(world.hash("apikey:key_1")["active"], "0");
    assert_eq!(world.server.ask::<i64>(&["GET", "revocations"]), 1);
    assert_eq!(world.hash("tripline:credential:{api_key:key_1}"), BTreeMap::new());
    world.carry_out(&decision("key_1", Order::Restore, 2));
    assert_eq!(world.hash("apikey:key_1")["active"], "1");

    let mut token = decision("jwt:j1", REVOKE, 1);
    token.expires = Some(token.at.plus_ms(600_000));
    assert_eq!(world.carry_out(&token), Receipt::Applied);
    let ttl: i64 = world.server.ask(&["TTL", "jwt:deny:j1"]);
    assert!((590..=601).contains(&ttl), "{ttl}");
    world.carry_out(&decision("jwt:j2", REVOKE, 1));
    let ttl: i64 = world.server.ask(&["TTL", "jwt:deny:j2"]);
    assert!((3590..=3601).contains(&ttl), "without an end of its own: the default, {ttl}");

    let throttle = decision("key_2", Order::Act(Action::Throttle), 1);
    assert_eq!(world.carry_out(&throttle), Receipt::Unsupported, "there is no command for it");
    let after = decision("key_2", REVOKE, 2);
    assert_eq!(world.carry_out(&after), Receipt::Applied);

    world.server.ask::<()>(&["SET", "session:s1", "ada"]);
    world.carry_out(&decision("session:s1", REVOKE, 1));
    assert!(!world.server.ask::<bool>(&["EXISTS", "session:s1"]));
}

#[test]
fn the_entry_of_a_token_ends_with_the_token() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let mut token = decision("jwt:j1", REVOKE, 1);
    token.expires = Some(token.at.plus_ms(600_000));
    world.carry_out(&token);
    let ttl: i64 = world.server.ask(&["TTL", "tripline:credential:{jwt:j1}"]);
    assert!((590..=601).contains(&ttl), "{ttl}");
    world.carry_out(&decision("key_1", REVOKE, 1));
    let ttl: i64 = world.server.ask(&["TTL", "tripline:credential:{api_key:key_1}"]);
    assert_eq!(ttl, -1, "a key without an end is revoked for good");
}

#[test]
fn what_an_attacker_chose_stays_data() {
    if skipped("redis") {
        return;
    }
    let flush = Command::parse("HSET apikey:{id} active 0").expect("a command");
    let world = World::new(|params| {
        let own = OwnCommands { revoke: vec![flush], ..OwnCommands::default() };
        params.commands.insert(Kind::Session, own);
    });
    for id in ["a b FLUSHALL", "{id}", "x' y\" z", "*", "});redis.call('FLUSHALL')--", "ключ"] {
        let marker: i64 = world.server.ask(&["INCR", "marker"]);
        world.carry_out(&decision(&format!("api_key:{id}"), REVOKE, 1));
        world.carry_out(&decision(&format!("session:{id}"), REVOKE, 1));
        assert_eq!(world.server.ask::<i64>(&["GET", "marker"]), marker, "{id}");
        assert_eq!(world.hash(&format!("apikey:{id}"))["active"], "0", "{id}");
        let hash = world.hash(&format!("tripline:credential:{{api_key:{id}}}"));
        assert_eq!(hash["status"], "revoked", "{id}");
    }
}

#[test]
fn a_server_that_is_down_is_unreachable_and_works_again_once_it_is_back() {
    if skipped("redis") {
        return;
    }
    let mut world = World::new(|_| {});
    world.server.kill();
    let revoke = decision("key_1", REVOKE, 1);
    assert_eq!(world.carry_out(&revoke), Receipt::Unreachable);
    world.server.restart();
    let receipt = until("Redis is reached", Duration::from_secs(10), || {
        Some(world.carry_out(&revoke)).filter(|receipt| *receipt != Receipt::Unreachable)
    });
    assert_eq!(receipt, Receipt::Applied);
}

#[test]
fn an_answer_that_was_lost_does_not_double_the_effect() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    assert_eq!(world.carry_out(&decision("warm", REVOKE, 1)), Receipt::Applied);
    world.server.pause();
    let revoke = decision("key_1", REVOKE, 1);
    // The script waits in the server's socket and runs once the server goes on.
    assert_eq!(world.carry_out(&revoke), Receipt::Unreachable);
    world.server.resume();
    let receipt = until("Redis is reached", Duration::from_secs(10), || {
        Some(world.carry_out(&revoke)).filter(|receipt| *receipt != Receipt::Unreachable)
    });
    assert!(matches!(receipt, Receipt::Applied | Receipt::Already));
    assert_eq!(world.carry_out(&revoke), Receipt::Already);
    assert_eq!(world.changes(), 2);
}

#[test]
fn a_key_of_another_type_and_missing_rights_are_refusals() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    world.server.ask::<()>(&["SET", "tripline:credential:{api_key:key_1}", "mine"]);
    assert_eq!(world.carry_out(&decision("key_1", REVOKE, 1)), Receipt::Refused);
    world.server.ask::<()>(&["ACL", "SETUSER", "weak", "on", ">secret", "+ping", "~*"]);
    let mut weak = params(&world.server);
    let url = world.server.url().replace("redis://", "redis://weak:secret@");
    weak.place.url = SecretString::from(url);
    let store = RedisStore::new(weak, "test").expect("a store");
    let delivery = world.runtime.block_on(store.carry_out(&decision("key_2", REVOKE, 1)));
    assert_eq!(delivery.receipt, Receipt::Refused);
}

#[test]
fn the_rights_that_are_documented_suffice() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    let rights = "+eval +evalsha +script|load +hmget +hset +persist +expireat +xadd +publish +ping \
         +set +get +time +zremrangebyscore +zscore +zcard +zadd +pexpire +hgetall \
         +hdel +xread +xrange +xrevrange +scan";
    let documented = include_str!("../../docs/redis.md").replace('\n', " ");
    assert!(documented.contains(rights));
    let mut words =
        vec!["ACL", "SETUSER", "tripline", "on", ">secret", "~tripline:*", "&tripline:*"];
    words.extend(rights.split(' '));
    world.server.ask::<()>(&words);
    let mut own = params(&world.server);
    own.place.url =
        SecretString::from(world.server.url().replace("redis://", "redis://tripline:secret@"));
    let store = RedisStore::new(own, "test").expect("a store");
    let carry_out = |decision| world.runtime.block_on(store.carry_out(&decision)).receipt;
    let mut suspend = decision("key_1", Order::Act(Action::Suspend), 1);
    suspend.until = Some(suspend.at.plus_ms(1000));
    assert_eq!(carry_out(suspend), Receipt::Applied);
    assert_eq!(carry_out(decision("key_1", REVOKE, 2)), Receipt::Applied);
    assert_eq!(carry_out(decision("key_1", Order::Restore, 3)), Receipt::Applied);
    assert!(world.runtime.block_on(store.ping()).is_ok());
    assert_eq!(world.runtime.block_on(store.pulse()), Pulse::Kept);
    let follows = async {
        let mut reader = store.change_reader().expect("a reader");
        reader.begin().await?;
        assert!(reader.is_whole().await?, "the newest change is there");
        let (entries, next) = reader.scan(ScanPlace::default()).await?;
        assert_eq!((entries.len(), next), (1, None));
        let wanted = decision("key_2", REVOKE, 1);
        store.carry_out(&wanted).await;
        let news = reader.next().await?.expect("nothing is missing");
        assert_eq!(news.entries[0].1.decision, Some(wanted.id));
        Ok::<(), redis::RedisError>(())
    };
    world.runtime.block_on(follows).expect("allowed");
    let allowed = Allowed { for_all: 1, for_tenant: 1 };
    let token = store.take_token(Some("acme"), allowed, finding("key_1"));
    assert_eq!(world.runtime.block_on(token), TokenGrant::Granted);
    assert_eq!(world.runtime.block_on(store.read(&[])), Reading::Held(vec![]));
}

#[test]
fn two_deliveries_at_once_have_one_effect() {
    if skipped("redis") {
        return;
    }
    let world = World::new(|_| {});
    for n in 0..50 {
        let revoke = decision(&format!("key_{n}"), REVOKE, 1);
        let (one, two) = world.runtime.block_on(async {
            tokio::join!(world.store.carry_out(&revoke), world.store.carry_out(&revoke))
        });
        let mut receipts = [one.receipt.as_str(), two.receipt.as_str()];
        receipts.sort_unstable();
        assert_eq!(receipts, ["already", "applied"]);
    }
    assert_eq!(world.changes(), 50);
}

#[test]
fn a_password_never_shows() {
    let server = "redis://user:PLANTED-SECRET@127.0.0.1:1/";
    let mut planted = Params {
        place: place(server.to_owned()),
        key: Template::parse(KEY_DEFAULT).expect("a template"),
        guard_key: Template::parse(GUARD_KEY).expect("a template"),
        stream: String::new(),
        stream_length_max: 1,
        channel: String::new(),
        lifetime_default_s: 1,
        commands: std::iter::empty().collect(),
    };
    assert!(!format!("{planted:?}").contains("PLANTED"));
    planted.place.url = SecretString::from("nonsense PLANTED-SECRET".to_owned());
    let error = RedisStore::new(planted, "test").expect_err("no URL");
    assert!(!format!("{error} {error:?}").contains("PLANTED"));
}
