//! Where requests to others may go: the address is checked once its name was resolved, and no proxy of
//! the environment is used.

use crate::support::daemon::BINARY;
use crate::support::receiver::Receiver;
use reqwest::header::HeaderMap;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;
use tripline::adapters::egress::{Egress, EgressError, Params};
use tripline::adapters::target::Target;

/// A listener to which nobody may connect.
struct Forbidden(TcpListener);

impl Forbidden {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set up");
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    #[track_caller]
    fn nobody_came(&self) {
        let came = self.0.accept();
        assert!(came.is_err(), "somebody connected: {came:?}");
    }
}

#[test]
fn a_name_of_this_machine_is_as_forbidden_as_its_address() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let forbidden = Forbidden::new();
    let timeout = Duration::from_millis(500);
    let egress = |networks: &[&str]| {
        let networks = networks.iter().map(|one| one.parse().expect("a network")).collect();
        Egress::new(&Params { networks, timeout, ..Params::default() }).expect("set up")
    };
    // A network that is allowed, and is not this one, makes no difference.
    for egress in [egress(&[]), egress(&["10.0.0.0/8"])] {
        for scheme in ["https", "http"] {
            for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
                let url = format!("{scheme}://{host}:{}/hook", forbidden.port());
                let target = Target::parse(&url).expect("an address");
                let sent = runtime.block_on(egress.post(&target, HeaderMap::new(), vec![]));
                assert!(matches!(sent, Err(EgressError::NotAllowed(_))), "{url}: {sent:?}");
                for reads in [false, true] {
                    let asked = runtime.block_on(egress.reach(&target, reads));
                    assert!(matches!(asked, Err(EgressError::NotAllowed(_))), "{url}: {asked:?}");
                }
                let found = runtime.block_on(egress.resolve(&target));
                assert!(matches!(found, Err(EgressError::NotAllowed(_))), "{url}: {found:?}");
                forbidden.nobody_came();
            }
        }
    }
}

#[test]
fn a_name_within_an_allowed_network_is_reached_by_the_name() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let receiver = Receiver::start();
    let networks = vec!["127.0.0.0/8".parse().expect("a network")];
    let egress = Egress::new(&Params { networks, ..Params::default() }).expect("set up");
    let url = receiver.url("/hook").replace("127.0.0.1", "localhost");
    let target = Target::parse(&url).expect("an address");
    let sent = runtime.block_on(egress.post(&target, HeaderMap::new(), b"hello".to_vec()));
    assert_eq!(sent.expect("an answer").status, 200);
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn no_proxy_of_the_environment_hears_of_what_is_sent() {
    let (folder, receiver, proxy) =
        (tempfile::tempdir().expect("a folder"), Receiver::start(), Receiver::start());
    let path = folder.path().join("tripline.toml");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").expect("writes");
    let text = format!(
        "data_dir = \"{}\"\n[egress]\nnetworks = [\"127.0.0.0/8\"]\n\
         [notify.webhook.siem]\nurl = \"{}\"\nsecret_file = \"{}\"\n",
        folder.path().join("data").display(),
        receiver.url("/webhook"),
        secret.display(),
    );
    std::fs::write(&path, text).expect("writes");
    let mut command = Command::new(BINARY);
    command.args(["notify", "test", "--config"]).arg(&path);
    let at = proxy.url("");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, &at).env(name.to_lowercase(), &at);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    let done = command.output().expect("runs");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(!receiver.received().is_empty(), "it is told");
    assert!(proxy.received().is_empty(), "{:?}", proxy.received());
}
