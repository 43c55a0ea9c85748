//! The OAuth 2.0 store against a real authorization server: `oidc-provider`, as `./test` installs it.

use crate::redis::{REVOKE, decision};
use crate::support::child::Process;
use crate::support::daemon::Daemon;
use crate::support::receiver::Receiver;
use crate::support::{free_port, skipped, until};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;
use tripline::adapters::egress::Egress;
use tripline::adapters::enforce::auth_store::AuthStore;
use tripline::model::decision::{InstanceId, Receipt};

/// What the server's clients have in common.
pub const SECRET: &str = "secret-of-the-tests";
const REVOKES: &str = "/token/revocation";
const INTROSPECTS: &str = "/token/introspection";

/// A real authorization server, and a folder with the secret of its clients.
pub struct Server {
    _process: Process,
    pub base: String,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one; none where its tests are left out.
    fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same, with further arguments: a module that watches it, and where that sends events.
    pub fn start_with(further: &[&str]) -> Option<Self> {
        if skipped("oidc") {
            return None;
        }
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        std::fs::write(folder.path().join("secret"), SECRET).expect("writes");
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/authorization_server/server.mjs");
        let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/authorization-server");
        let mut command = Command::new("node");
        command.args([script, &port.to_string(), installed]).args(further).stdout(Stdio::null());
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let process = Process::start(command.stderr(log));
        let base = format!("http://127.0.0.1:{port}");
        let url = format!("{base}/.well-known/openid-configuration");
        until("the authorization server answers", Duration::from_secs(30), || {
            crate::support::http().get(&url).send().ok().filter(|answer| answer.status() == 200)
        });
        Some(Self { _process: process, base, folder })
    }

    fn post(&self, client: &str, path: &str, form: &str) -> Value {
        let request = crate::support::http().post(format!("{}{path}", self.base));
        let request = request.basic_auth(client, Some(SECRET)).body(form.to_owned());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().expect("answers").json().expect("JSON")
    }

    /// A token of the service: opaque, or a JWT for a resource.
    fn token(&self, resource: &str) -> String {
        let form = format!("grant_type=client_credentials{resource}");
        let answer = self.post("service", "/token", &form);
        let token = answer.get("access_token").and_then(Value::as_str);
        token.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Whether the server takes a token.
    fn is_active(&self, token: &str) -> bool {
        let answer = self.post("service", INTROSPECTS, &format!("token={token}"));
        answer.get("active").and_then(Value::as_bool).unwrap_or_else(|| panic!("{answer}"))
    }

    /// The settings of a store at this server.
    fn config(&self, client: &str, introspection: Option<&str>) -> String {
        let introspection = introspection
            .map_or_else(String::new, |url| format!("introspection_url = \"{url}\"\n"));
        format!(
            "[egress]\nnetworks = [\"127.0.0.0/8\"]\n\
             [auth_store.oauth.idp]\nurl = \"{}{REVOKES}\"\n{introspection}\
             client_id = \"{client}\"\nclient_secret_file = \"{}\"\n\
             kinds = [\"jwt\", \"refresh_token\", \"agent_token\"]\n",
            self.base,
            self.folder.path().join("secret").display()
        )
    }

    /// What a store of that client answers to the revocation of a credential.
    fn revoke(&self, client: &str, introspection: Option<&str>, credential: &str) -> Receipt {
        // The first provider that is installed stays.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let text = self.config(client, introspection);
        let mut settings = tripline::config::loader::check("test", &text, [].into())
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let egress = Egress::new(&settings.egress).expect("sets up");
        let store =
            AuthStore::open(settings.stores.remove(0), ("test", InstanceId::default()), &egress);
        let store = store.expect("a store");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(store.carry_out(&decision(credential, REVOKE, 1))).receipt
    }

    fn introspection(&self) -> String {
        format!("{}{INTROSPECTS}", self.base)
    }
}

/// The `jti` of a token.
pub fn jti(token: &str) -> String {
    let payload = token.split('.').nth(1).expect("a payload");
    let claims = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims.get("jti").and_then(Value::as_str).expect("a jti").to_owned()
}

#[test]
fn a_token_that_introspection_shows_to_be_revoked_is_applied_and_without_it_unverified() {
    let Some(server) = Server::start() else { return };
    let introspection = server.introspection();
    let (shown, unseen) = (server.token(""), server.token(""));
    assert!(server.is_active(&shown) && server.is_active(&unseen));
    let named = |token: &str| format!("jwt:{token}");
    let receipt = server.revoke("tripline", Some(&introspection), &named(&shown));
    assert_eq!((receipt, server.is_active(&shown)), (Receipt::Applied, false));
    let receipt = server.revoke("tripline", None, &named(&unseen));
    assert_eq!((receipt, server.is_active(&unseen)), (Receipt::Unverified, false));
    // Delivered again, of a kind whose id is the token itself, the server has it already.
    let again = format!("refresh_token:{shown}");
    assert_eq!(server.revoke("tripline", Some(&introspection), &again), Receipt::Already);
    assert_eq!(server.revoke("tripline", None, &again), Receipt::Unverified);
}

#[test]
fn a_jti_that_the_server_does_not_know_is_never_said_to_be_revoked() {
    let Some(server) = Server::start() else { return };
    let introspection = server.introspection();
    let signed = server.token("&resource=https%3A%2F%2Fapi.example&scope=read");
    for id in ["never-issued".to_owned(), jti(&signed)] {
        for kind in ["jwt", "agent_token"] {
            let credential = format!("{kind}:{id}");
            assert_eq!(server.revoke("tripline", None, &credential), Receipt::Unverified);
            // Inactive is what it says of everything that it doesn't know.
            let receipt = server.revoke("tripline", Some(&introspection), &credential);
            assert_eq!(receipt, Receipt::Unverified, "{credential}");
        }
    }
}

#[test]
fn a_server_that_says_yes_and_leaves_the_token_active_has_refused() {
    let Some(server) = Server::start() else { return };
    let introspection = server.introspection();
    let token = server.token("");
    let credential = format!("jwt:{token}");
    let receipt = server.revoke("stranger", Some(&introspection), &credential);
    assert_eq!((receipt, server.is_active(&token)), (Receipt::Refused, true));
    assert_eq!(server.revoke("stranger", None, &credential), Receipt::Unverified);
    assert_eq!(server.revoke("nobody", Some(&introspection), &credential), Receipt::Refused);
    // An introspection that gives no clear answer shows nothing; one that is away is asked again.
    let nothing = format!("{}/nothing", server.base);
    assert_eq!(server.revoke("tripline", Some(&nothing), &credential), Receipt::Unverified);
    let away = format!("http://127.0.0.1:{}/", free_port());
    assert_eq!(server.revoke("tripline", Some(&away), &credential), Receipt::Unreachable);
    let failing = Receiver::start();
    failing.answer(503);
    assert_eq!(
        server.revoke("tripline", Some(&failing.url("/")), &credential),
        Receipt::Unreachable
    );
}

#[test]
fn an_unverified_revocation_is_said_in_the_decision_the_metrics_and_the_journal_and_is_not_repeated()
 {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = server.config("tripline", Some(&server.introspection()));
    let daemon = Daemon::start(&folder, &config);
    let token = server.token("");
    let done = daemon.order("revoke", "jwt:never-issued");
    daemon.order("revoke", &format!("jwt:{token}"));
    let count = |receipt: &str| {
        let name =
            format!("tripline_enforcement_total{{receipt=\"{receipt}\",store=\"oauth.idp\"}}");
        daemon.metric(&name)
    };
    until("both are answered", Duration::from_secs(20), || {
        ((count("unverified"), count("applied")) == (1.0, 1.0)).then_some(())
    });
    assert!(!server.is_active(&token));
    let id = done["decision"]["id"].as_str().unwrap_or_else(|| panic!("{done}"));
    let shown = until("the receipt is shown", Duration::from_secs(5), || {
        let shown = daemon.get(&format!("/v1/decisions/{id}"));
        (shown["stores"]["oauth.idp"] != "waiting").then_some(shown)
    });
    assert_eq!(shown["stores"]["oauth.idp"], "unverified", "{shown}");
    assert_eq!(shown["stores"]["embedded"], "applied", "{shown}");
    daemon.terminate();
    let daemon = Daemon::start(&folder, &config);
    let shown = daemon.get(&format!("/v1/decisions/{id}"));
    assert_eq!(shown["stores"]["oauth.idp"], "unverified", "after a restart: {shown}");
    assert!(
        daemon.metric("tripline_outbox_pending{store=\"oauth.idp\"}") < 1.0,
        "it isn't due again"
    );
}
