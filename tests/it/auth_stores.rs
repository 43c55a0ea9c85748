//! Stores that are told by requests: webhooks, authorization servers, Shared Signals receivers.
//! Each receiver here verifies what it gets by its own means.

use crate::redis::{REVOKE, decision};
use crate::support::daemon::Daemon;
use crate::support::receiver::{Receiver, Request};
use crate::support::{kept, until};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tripline::model::decision::{Decision, InstanceId, Order, Receipt};
use tripline::model::finding::Action;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Files with secrets, and the settings that name them.
struct Secrets(tempfile::TempDir);

impl Secrets {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writes");
        };
        write("webhook", &format!("whsec_{}", STANDARD.encode(SECRET)));
        write("oauth", "PLANTED:secret/&");
        write("bearer", "PLANTED-bearer");
        write("signing.pem", &rcgen::KeyPair::generate().expect("a key").serialize_pem());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A store of a configuration, on a runtime of its own.
struct World {
    runtime: tokio::runtime::Runtime,
    store: tripline::adapters::enforce::auth_store::AuthStore,
    receiver: Receiver,
    _secrets: Secrets,
}

impl World {
    fn new(kind: &str, further: &str) -> Self {
        // The first provider that is installed stays.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let (secrets, receiver) = (Secrets::new(), Receiver::start());
        let own = match kind {
            "webhook" => format!("secret_file = \"{}\"\n", secrets.path("webhook").display()),
            "oauth" => format!(
                "client_id = \"trip line\"\nclient_secret_file = \"{}\"\n",
                secrets.path("oauth").display()
            ),
            _ => format!(
                "issuer = \"https://tripline.example\"\naudience = \"https://idp.example\"\n\
                 signing_key_file = \"{}\"\nbearer_file = \"{}\"\n",
                secrets.path("signing.pem").display(),
                secrets.path("bearer").display()
            ),
        };
        let text = format!(
            "[egress]\nnetworks = [\"127.0.0.0/8\"]\ntimeout = \"300ms\"\n\
             [auth_store.{kind}.idp]\nurl = \"{}\"\n{own}{further}",
            receiver.url("/in")
        );
        let mut settings = tripline::config::loader::check("test", &text, [].into())
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let egress = tripline::adapters::egress::Egress::new(&settings.egress).expect("sets up");
        let params = settings.stores.remove(0);
        assert!(!format!("{params:?}").contains("PLANTED"));
        let store = tripline::adapters::enforce::auth_store::AuthStore::open(
            params,
            ("test", InstanceId::default()),
            &egress,
        );
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { runtime, store: store.expect("a store"), receiver, _secrets: secrets }
    }

    fn carry_out(&self, decision: &Decision) -> Receipt {
        self.runtime.block_on(self.store.carry_out(decision)).receipt
    }

    fn received(&self) -> Vec<Request> {
        self.receiver.received()
    }
}

fn orders(name: &str) -> [Decision; 4] {
    [Order::Act(Action::Throttle), Order::Act(Action::Suspend), REVOKE, Order::Restore]
        .map(|order| decision(name, order, 3))
}

#[test]
fn a_webhook_is_told_every_order_and_can_tell_that_it_is_genuine() {
    let world = World::new("webhook", "");
    for decision in &orders("key_1") {
        assert_eq!(world.carry_out(decision), Receipt::Applied);
        assert_eq!(world.carry_out(decision), Receipt::Applied);
    }
    let received = world.received();
    assert_eq!(received.len(), 8);
    let statuses = ["throttled", "suspended", "revoked", "active"];
    for ((twice, status), decision) in received.chunks(2).zip(statuses).zip(orders("key_1")) {
        for request in twice {
            let header = |name: &str| request.header(name);
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            assert_eq!((&body["status"], &body["generation"]), (&status.into(), &3.into()));
            assert_eq!((&body["credential"], &body["kind"]), (&"key_1".into(), &"api_key".into()));
            assert_eq!(header("content-type"), "application/json");
            assert_eq!(header("webhook-id").len(), decision.id.to_string().len());
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).expect("a key");
            mac.update(header("webhook-id").as_bytes());
            mac.update(b".");
            mac.update(header("webhook-timestamp").as_bytes());
            mac.update(b".");
            mac.update(&request.body);
            let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
            assert_eq!(header("webhook-signature"), expected);
        }
        let ids: Vec<String> = twice.iter().map(|request| request.header("webhook-id")).collect();
        assert_eq!(ids[0], ids[1], "a repeated delivery is known by its id");
    }
}

#[test]
fn what_a_receiver_answers_decides_whether_it_is_told_again() {
    let world = World::new("webhook", "");
    let expected = [
        (200, Receipt::Applied),
        (204, Receipt::Applied),
        (302, Receipt::Refused),
        (307, Receipt::Refused),
        (400, Receipt::Refused),
        (401, Receipt::Refused),
        (404, Receipt::Refused),
        (408, Receipt::Unreachable),
        (409, Receipt::Already),
        (410, Receipt::Refused),
        (429, Receipt::Unreachable),
        (500, Receipt::Unreachable),
        (503, Receipt::Unreachable),
    ];
    for (status, receipt) in expected {
        world.receiver.answer(status);
        assert_eq!(world.carry_out(&decision("key_1", REVOKE, 1)), receipt, "{status}");
    }
    let paths: Vec<String> = world.received().into_iter().map(|request| request.path).collect();
    assert!(paths.iter().all(|path| path == "/in"), "no redirect is followed: {paths:?}");
}

#[test]
fn a_receiver_that_hangs_is_given_up_in_time_and_one_that_is_gone_is_unreachable() {
    let mut world = World::new("webhook", "");
    world.receiver.hang();
    let begun = Instant::now();
    assert_eq!(world.carry_out(&decision("key_1", REVOKE, 1)), Receipt::Unreachable);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    world.receiver.stop();
    assert_eq!(world.carry_out(&decision("key_1", REVOKE, 1)), Receipt::Unreachable);
}

#[test]
fn an_authorization_server_is_asked_to_revoke_and_nothing_else() {
    let world = World::new("oauth", "");
    let receipts = orders("jwt:j 1/ä").map(|decision| world.carry_out(&decision));
    let none = Receipt::Unsupported;
    // A 200 is no proof: it is the answer to a token that the server doesn't know, too.
    assert_eq!(receipts, [none, none, Receipt::Unverified, none]);
    world.carry_out(&decision("refresh_token:r1", REVOKE, 1));
    let received = world.received();
    let bodies: Vec<_> = received.iter().map(|one| String::from_utf8_lossy(&one.body)).collect();
    assert_eq!(
        bodies,
        [
            "token=j+1%2F%C3%A4&token_type_hint=access_token",
            "token=r1&token_type_hint=refresh_token"
        ]
    );
    assert_eq!(received[0].header("content-type"), "application/x-www-form-urlencoded");
    // Both parts are encoded before they are joined, as RFC 6749 wants.
    let expected = format!("Basic {}", STANDARD.encode("trip+line:PLANTED%3Asecret%2F%26"));
    assert_eq!(received[0].header("authorization"), expected);
    assert!(!world.store.takes(&decision("key_1", REVOKE, 1).credential), "tokens only");

    let eager = World::new("oauth", "suspend_revokes = true\nkinds = [\"session\"]\n");
    let receipts = orders("session:s1").map(|decision| eager.carry_out(&decision));
    assert_eq!(receipts, [none, Receipt::Unverified, Receipt::Unverified, none]);
    assert!(eager.store.takes(&decision("session:s1", REVOKE, 1).credential));
}

#[test]
fn a_shared_signals_receiver_gets_statements_that_the_published_key_verifies() {
    let world = World::new("shared_signals", "");
    let receipts = orders("session:s1").map(|decision| world.carry_out(&decision));
    let none = Receipt::Unsupported;
    assert_eq!(receipts, [none, Receipt::Applied, Receipt::Applied, none]);
    world.carry_out(&decision("key_1", REVOKE, 1));
    let keys =
        serde_json::to_value(world.store.transmitter().expect("signs").keys()).expect("JSON");
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["crv"]), (&"EC".into(), &"P-256".into()));
    assert!(keys["keys"][0].get("d").is_none(), "only the public part");
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
    let number = |name: &str| decoded(keys["keys"][0][name].as_str().expect("text"));
    let point = [vec![4], number("x"), number("y")].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    let read = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).expect("JSON");
    let mut events = vec![];
    for request in world.received() {
        assert_eq!(request.header("content-type"), "application/secevent+jwt");
        assert_eq!(request.header("authorization"), "Bearer PLANTED-bearer");
        let token = String::from_utf8(request.body).expect("text");
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        key.verify(signed.as_bytes(), &decoded(signature)).expect("genuine");
        let (header, claims) = signed.split_once('.').expect("a header");
        let named = json!({ "alg": "ES256", "typ": "secevent+jwt", "kid": keys["keys"][0]["kid"] });
        assert_eq!(read(header), named);
        let claims = read(claims);
        assert_eq!(claims["iss"], "https://tripline.example");
        assert_eq!(claims["aud"], "https://idp.example");
        assert_eq!(claims["sub_id"]["format"], "opaque");
        assert!(claims["jti"].as_str().is_some_and(|id| id.starts_with("d_")));
        assert!(
            claims["iat"].is_i64() && claims.get("exp").is_none() && claims.get("sub").is_none()
        );
        let names = claims["events"].as_object().expect("events").keys();
        events.extend(names.map(|name| format!("{} {name}", claims["sub_id"]["id"])));
    }
    let base = "https://schemas.openid.net/secevent/";
    let session = format!("\"s1\" {base}caep/event-type/session-revoked");
    let key = format!("\"key_1\" {base}risc/event-type/credential-compromise");
    assert_eq!(events, [session.clone(), session, key]);
}

#[test]
fn an_order_of_a_person_reaches_all_stores_and_no_secret_reaches_the_log_or_the_disk() {
    let (secrets, receiver) = (Secrets::new(), Receiver::start());
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[egress]\nnetworks = [\"127.0.0.0/8\"]\n\
         [auth_store.webhook.gateway]\nurl = \"{}\"\nsecret_file = \"{}\"\n\
         [auth_store.oauth.idp]\nurl = \"{}\"\nclient_id = \"t\"\nclient_secret_file = \"{}\"\n\
         [auth_store.shared_signals.idp]\nurl = \"{}\"\nissuer = \"i\"\naudience = \"a\"\n\
         signing_key_file = \"{}\"\nbearer_file = \"{}\"\n",
        receiver.url("/webhook"),
        secrets.path("webhook").display(),
        receiver.url("/oauth"),
        secrets.path("oauth").display(),
        receiver.url("/signals"),
        secrets.path("signing.pem").display(),
        secrets.path("bearer").display(),
    );
    let daemon = Daemon::start(&folder, &config);
    receiver.answer(500);
    daemon.order("revoke", "jwt:j1");
    let paths = || {
        let mut paths: Vec<String> = receiver.received().into_iter().map(|one| one.path).collect();
        paths.sort();
        paths.dedup();
        paths
    };
    until("all were asked", Duration::from_secs(10), || (paths().len() == 3).then_some(()));
    receiver.answer(200);
    for (store, receipt) in [
        ("webhook.gateway", "applied"),
        ("oauth.idp", "unverified"),
        ("shared_signals.idp", "applied"),
    ] {
        let name = format!("tripline_enforcement_total{{receipt=\"{receipt}\",store=\"{store}\"}}");
        until(store, Duration::from_secs(20), || (daemon.metric(&name) >= 1.0).then_some(()));
    }
    let keys = daemon.get("/.well-known/jwks.json");
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    let (log, data) = (daemon.log(), daemon.data());
    daemon.terminate();
    let encoded = STANDARD.encode(SECRET);
    for planted in ["PLANTED", &encoded] {
        assert!(!log.contains(planted), "{log}");
        for (_, bytes) in kept(&data) {
            assert!(!String::from_utf8_lossy(&bytes).contains(planted));
        }
    }
}

#[test]
fn a_store_of_several_instances_that_nothing_puts_in_order_is_a_mistake() {
    let secrets = Secrets::new();
    let check = |redis: &str| {
        let text = format!(
            "[revocation_limit]\ninstances = 3\n{redis}[auth_store.webhook.w]\n\
             url = \"https://host/\"\nsecret_file = \"{}\"\nkinds = [\"jwt\", \"session\"]\n",
            secrets.path("webhook").display(),
        );
        let checked = tripline::config::loader::check("test", &text, [].into());
        checked.map(|_| ()).map_err(|problems| problems.render(false))
    };
    let redis = "[auth_store.redis]\nurl = \"redis://host/\"\n";
    for redis in [String::new(), format!("{redis}kinds = [\"jwt\"]\n")] {
        let said = check(&redis).expect_err("a mistake");
        assert!(
            said.contains("[auth_store.webhook.w] can't tell which of two instances"),
            "{said}"
        );
    }
    assert_eq!(check(redis), Ok(()));
}

#[test]
fn no_token_may_have_the_name_under_which_tripline_itself_orders() {
    let text = "[http.tokens.tripline]\nroles = [\"operate\"]\ntoken_file = \"/nowhere\"\n";
    let problems = tripline::config::loader::check("test", text, [].into()).expect_err("mistakes");
    assert!(problems.render(false).contains("`tripline` is taken"));
}

#[test]
fn a_store_that_could_do_nothing_is_a_mistake() {
    let secrets = Secrets::new();
    let text = format!(
        "[auth_store.webhook.w]\nurl = \"https://host/\"\nkinds = []\nsecret_file = \"{}\"\n\
         [auth_store.oauth.o]\nurl = \"https://host/\"\nclient_id = \"\"\nclient_secret_file = \"{}\"\n\
         [auth_store.shared_signals.s]\nurl = \"ftp://host/\"\nissuer = \" \"\naudience = \"a\"\n\
         signing_key_file = \"{}\"\n",
        secrets.path("webhook").display(),
        secrets.path("oauth").display(),
        secrets.path("webhook").display(),
    );
    let problems = tripline::config::loader::check("test", &text, [].into()).expect_err("mistakes");
    let said = problems.render(false);
    for part in
        ["would receive no decisions", "client_id", "issuer", "an address is https://", "P-256"]
    {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}
