//! What every gateway has to do, whichever it is.

use super::world::{Away, BODY, Further, GOOD, HELLO, JUNK, Kind, STOLEN, TOKEN, World};
use crate::support::daemon::now_ms;
use crate::support::receiver::Request;
use crate::support::until;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Accepted with the service's own answer; refused within a second of a revocation, and the service not
/// asked; accepted after it was restored.
pub fn puts_out_of_service_and_back(kind: Kind) {
    let Some(world) = World::start(kind, "", Away::Shipped) else { return };
    let token = [("authorization", TOKEN)];
    for method in ["GET", "POST", "DELETE"] {
        let answer = world.send(method, &token);
        assert_eq!((answer.status, answer.body.as_str()), (200, HELLO), "{method}");
        assert_eq!(answer.tripline_status, "", "what the service says of itself is left out");
        let got = world.newest();
        assert_eq!((got.method.as_str(), got.path.as_str()), (method, "/some/path"));
        assert_eq!(got.header("authorization"), TOKEN);
        assert_eq!(got.body, if method == "POST" { BODY.as_bytes() } else { b"" });
    }
    let before = world.service.received().len();
    assert_eq!(world.get(&[]), 401, "no credential");

    let ordered = Instant::now();
    world.daemon.order("revoke", "jwt:j1");
    let refused = until("it is refused", Duration::from_secs(1), || {
        let answer = world.send("GET", &token);
        (answer.status == 403).then_some(answer)
    });
    assert!(ordered.elapsed() < Duration::from_secs(1), "{:?}", ordered.elapsed());
    assert_eq!(refused.tripline_status, "revoked");
    assert!(!refused.body.contains(HELLO));
    let passed = world.service.received().len() - before;
    assert_eq!(world.get(&token), 403);
    assert_eq!(world.service.received().len() - before, passed, "the service isn't asked");
    assert_eq!(world.get(&[GOOD]), 200, "another key is none of its business");

    world.daemon.order("restore", "jwt:j1");
    until("it is accepted again", Duration::from_secs(1), || {
        let answer = world.send("GET", &token);
        (answer.status == 200 && answer.body == HELLO).then_some(())
    });
}

/// A throttled credential gets 429 and a time to come back at.
pub fn passes_on_429_with_retry_after(kind: Kind) {
    let config = "mode.default = \"throttle\"\nlimits.action = \"throttle\"\n\
                  limits.default = \"600/min\"\n";
    let Some(world) = World::start(kind, config, Away::Shipped) else { return };
    let event = format!(
        "{{\"time\":{},\"credential\":\"j1\",\"kind\":\"jwt\",\"status\":200}}\n",
        now_ms()
    );
    world.daemon.post_events(&event.repeat(2000));
    let token = [("authorization", TOKEN)];
    let slowed = until("it is slowed down", Duration::from_secs(20), || {
        (0..30).map(|_| world.send("GET", &token)).find(|answer| answer.status == 429)
    });
    let retry = slowed.retry_after;
    assert!(retry.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "Retry-After: {retry}");
    assert_eq!(world.get(&[GOOD]), 200, "another is not slowed down");
}

/// What a client tries that holds a revoked key: each is refused, and nothing that reaches the service
/// holds the key.
pub fn withstands_clients_that_hide_a_revoked_key(kind: Kind) {
    let Some(world) = World::start(kind, "", Away::Shipped) else { return };
    world.revoke(&format!("api_key:{STOLEN}"));
    world.revoke("jwt:j1");
    let stolen = ("x-api-key", STOLEN);
    let bearer = format!("Bearer {STOLEN}");
    let (bearer, junk) = (("authorization", bearer.as_str()), ("authorization", "Bearer sk-junk"));
    let hidden = format!("Basic {}", STANDARD.encode(format!("{STOLEN}:")));
    let basic = ("authorization", hidden.as_str());
    let name = |value| ("x-tripline-credential", value);
    // A service may pass over what is no ASCII, or read a long or a broken `Basic`.
    let (spaced, spaced_key) = (format!("Bearer \u{a0}{STOLEN}"), format!("\u{a0}{STOLEN}"));
    let (spaced, spaced_key) = (("authorization", &*spaced), ("x-api-key", &*spaced_key));
    let long = format!("Basic {}", STANDARD.encode(format!("{STOLEN}:{}", "x".repeat(2000))));
    let signed = format!("AWS {STOLEN}:signature");
    let (long, signed) = (("authorization", &*long), ("authorization", &*signed));
    // Costly to look into: no answer in time would let the request pass.
    let costly = format!("Bearer {}.a.b", ":".repeat(7000));
    let costly = ("authorization", &*costly);
    let attacks: &[&[(&str, &str)]] = &[
        // What the client claims of itself is not believed, whatever else it sends.
        &[name("api_key:other")],
        &[name("api_key:other"), ("x-tripline-token", "anything")],
        &[stolen],
        &[bearer],
        &[name("api_key:other"), stolen],
        &[name("api_key:other"), bearer],
        &[name("api_key:other"), ("authorization", TOKEN)],
        &[name("apikey:other"), stolen],
        &[name("API_KEY:other"), stolen],
        &[name(""), stolen],
        &[("x_tripline_credential", "api_key:other"), stolen],
        &[("x-tripline-token", "anything"), stolen],
        &[JUNK, stolen],
        &[stolen, JUNK],
        &[GOOD, stolen],
        &[stolen, GOOD],
        &[junk, bearer],
        &[bearer, junk],
        &[basic, bearer],
        &[GOOD, bearer],
        &[junk, stolen],
        &[basic, GOOD],
        &[("authorization", STOLEN), GOOD],
        &[spaced, GOOD],
        &[spaced_key, ("authorization", GOOD.1)],
        &[long, GOOD],
        &[signed, GOOD],
        &[costly, stolen],
    ];
    for attack in attacks {
        let answer = world.send("GET", attack);
        assert!((400..500).contains(&answer.status), "{attack:?}: {answer:?}");
    }
    // An OPTIONS that is no preflight is a request as any other.
    let origin = ("origin", "https://app.example");
    for attack in [&[origin, stolen][..], &[("access-control-request-method", "GET"), stolen]] {
        assert_eq!(world.send("OPTIONS", attack).status, 403, "{attack:?}");
    }
    assert!(world.service.received().is_empty(), "{:?}", world.service.received());
    // These may pass as something else, but without the key.
    world.send("GET", &[GOOD, ("x_api_key", STOLEN)]);
    world.send("GET", &[junk, stolen, ("connection", "x-api-key")]);
    world.send("GET", &[GOOD, bearer, ("connection", "authorization")]);
    let key = |one: &Request| format!("{:?}", one.headers).contains("STOLEN");
    assert!(!world.service.received().iter().any(key), "{:?}", world.service.received());
}

/// What is none of tripline's business passes.
pub fn lets_preflights_and_other_schemes_by(kind: Kind) {
    let Some(world) = World::start(kind, "", Away::Shipped) else { return };
    world.revoke(&format!("api_key:{STOLEN}"));
    let asks = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let answer = world.send("OPTIONS", &asks);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, HELLO),
        "a preflight has no credential"
    );
    let got = world.newest();
    assert_eq!((got.method.as_str(), got.header("origin")), ("OPTIONS", asks[0].1.to_owned()));
    // Nobody uses a credential by calling the request a preflight.
    let bearer = format!("Bearer {STOLEN}");
    let carried = [
        ("authorization", bearer.as_str()),
        ("x-api-key", STOLEN),
        ("x_api_key", STOLEN),
        ("cookie", STOLEN),
        ("x-tripline-credential", STOLEN),
        ("x-tripline-token", STOLEN),
    ];
    for header in carried {
        world.send("OPTIONS", &[&asks[..], &[header]].concat());
        let got = format!("{:?}", world.newest().headers);
        assert!(!got.contains("STOLEN"), "{header:?}: {got}");
    }
    // Basic is no credential that tripline knows, nor does it keep a good key out.
    let basic = format!("Basic {}", STANDARD.encode("ada:opensesame"));
    let basic = ("authorization", basic.as_str());
    assert_eq!(world.get(&[basic, GOOD]), 200);
    assert_eq!(world.newest().header("authorization"), basic.1, "the service gets it");
    assert_eq!(world.get(&[basic]), 401);
    // What only gateways say never reaches the service.
    world.send("GET", &[GOOD, ("x-tripline-credential", "x"), ("x-tripline-token", "y")]);
    let got = world.newest();
    assert_eq!(
        (got.header("x-tripline-credential"), got.header("x-tripline-token")),
        Default::default()
    );
}

/// What clients get once tripline is away, and while it hangs: lets pass, or refuses by 5xx.
pub fn is_open_or_closed_without_tripline(kind: Kind, away: Away, is_open: bool) {
    let Some(world) = World::start(kind, "", away) else { return };
    let good = |what: &str| {
        let answer = world.send("GET", &[GOOD]);
        if is_open {
            assert_eq!((answer.status, answer.body.as_str()), (200, HELLO), "{what}");
        } else {
            assert!((500..600).contains(&answer.status), "{what}: {answer:?}");
            assert!(!answer.body.contains(HELLO), "{what}");
        }
    };
    let asks = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let before = world.service.received().len();
    assert_eq!(world.get(&[GOOD]), 200);
    world.daemon.pause();
    // Traefik waits for 30 seconds: its file says so.
    if kind.name != "traefik" {
        good("it hangs");
    }
    world.daemon.kill_now();
    good("it is away");
    assert_eq!(world.send("OPTIONS", &asks).status, 200, "preflights need no tripline");
    let posted = world.send("POST", &[GOOD]);
    assert_eq!(posted.status == 200, is_open);
    let posts = world.service.received().split_off(before);
    let posts = posts.iter().filter(|one| one.method == "POST");
    let bodies: Vec<&[u8]> = posts.map(|one| one.body.as_slice()).collect();
    let expected = if is_open { vec![BODY.as_bytes()] } else { vec![] };
    assert_eq!(bodies, expected, "the service gets a request once, and whole");
}

/// A tripline that wants tokens lets the gateway ask, whatever token the client sends, and no other
/// client; the service sees none.
pub fn shows_a_token_of_its_own(kind: Kind) {
    const OWN: &str = "token-of-the-gateway-0123456789";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, OWN).expect("writes");
    let config = format!(
        "[http.tokens.gateway]\nroles = [\"check\"]\ntoken_file = \"{}\"\n",
        file.display()
    );
    let start = |token| World::start_with(kind, &config, Further { token, ..Further::default() });
    let Some(world) = start(Some(OWN)) else { return };
    for client in [&[GOOD][..], &[GOOD, ("x-tripline-token", "the client's own")]] {
        let answer = world.send("GET", client);
        assert_eq!((answer.status, answer.body.as_str()), (200, HELLO), "{client:?}");
        assert_eq!(world.newest().header("x-tripline-token"), "");
    }
    let world = start(None).expect("it runs");
    for client in [&[GOOD][..], &[GOOD, ("x-tripline-token", OWN)]] {
        assert_eq!(world.get(client), 401, "a gateway without a token: {client:?}");
    }
}

/// A service that takes requests and answers none: it counts them, and closes the connection.
fn breaks_off() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address").to_string();
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&posts);
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut begin = [0; 4];
            if connection.read_exact(&mut begin).is_ok() && &begin == b"POST" {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (address, posts)
}

/// What the service took and failed to answer is not sent to it again, as it may have acted on it.
pub fn sends_a_request_to_the_service_once(kind: Kind) {
    let (address, posts) = breaks_off();
    let service = Some(address);
    let further = Further { service, ..Further::default() };
    let Some(world) = World::start_with(kind, "", further) else { return };
    let answer = world.send("POST", &[GOOD]);
    assert!((500..600).contains(&answer.status), "{answer:?}");
    assert_eq!(posts.load(Ordering::SeqCst), 1);
}
