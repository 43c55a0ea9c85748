//! Redis as auth store behind Sentinel, as a Cluster and over TLS, with real servers.

use crate::redis::{REVOKE, decision, in_force, params, place};
use crate::support::child::Process;
use crate::support::redis_server::RedisServer;
use crate::support::{free_port, skipped, until};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;
use tripline::adapters::enforce::answer::{Pulse, Reading};
use tripline::adapters::enforce::redis::store::{Params, RedisStore, TlsCertificates};
use tripline::adapters::redis_connection::{ServerAddress, ServerAddressError, Topology};
use tripline::control_plane::policy::revocation_limit::Allowed;
use tripline::model::decision::{Decision, Order, Receipt};
use tripline::model::finding::{Detector, FindingId};

const PATIENCE: Duration = Duration::from_secs(20);

/// A store on a runtime of its own.
struct Client {
    runtime: tokio::runtime::Runtime,
    store: RedisStore,
}

impl Client {
    fn new(params: Params) -> Self {
        // The first provider that is installed stays.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { runtime, store: RedisStore::new(params, "test").expect("a store") }
    }

    fn carry_out(&self, decision: &Decision) -> Receipt {
        self.runtime.block_on(self.store.carry_out(decision)).receipt
    }

    /// Tries until Redis answers, as an outbox does.
    fn carry_out_in_the_end(&self, decision: &Decision) -> Receipt {
        until("Redis answers", PATIENCE, || {
            Some(self.carry_out(decision)).filter(|receipt| *receipt != Receipt::Unreachable)
        })
    }

    fn pulse(&self) -> Pulse {
        self.runtime.block_on(self.store.pulse())
    }
}

/// A master, a replica, and a Sentinel that watches them.
struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinel: RedisServer,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        let master = RedisServer::start();
        let (host, port) = ("127.0.0.1", master.port().to_string());
        let replica = RedisServer::start_with(&["--replicaof", host, &port]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sentinel.conf");
        let config = format!(
            "sentinel monitor mymaster {host} {port} 1\n\
             sentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 2000\n"
        );
        std::fs::write(&path, config).expect("writes");
        let path = path.to_str().expect("text").to_owned();
        let sentinel = RedisServer::start_configured(&path, &["--sentinel"]);
        until("the Sentinel knows the replica", PATIENCE, || {
            let replicas: Vec<redis::Value> = sentinel.ask(&["SENTINEL", "REPLICAS", "mymaster"]);
            (!replicas.is_empty()).then_some(())
        });
        Self { master, replica, sentinel, _folder: folder }
    }

    fn params(&self) -> Params {
        let topology = Topology::Sentinel("mymaster".to_owned());
        // The first of the Sentinels is gone.
        let gone = format!("redis://127.0.0.1:{}/", free_port());
        let nodes = vec![format!("127.0.0.1:{}", self.sentinel.port())];
        Params { place: ServerAddress { topology, nodes, ..place(gone) }, ..params(&self.master) }
    }
}

#[test]
fn after_a_failover_the_new_master_is_told_and_what_it_never_saw_is_noticed() {
    if skipped("redis") {
        return;
    }
    let mut watched = Watched::start();
    let client = Client::new(watched.params());
    assert_eq!(client.carry_out_in_the_end(&decision("key_1", REVOKE, 1)), Receipt::Applied);
    until("the replica has it", PATIENCE, || {
        watched
            .replica
            .ask::<bool>(&["EXISTS", "tripline:credential:{api_key:key_1}"])
            .then_some(())
    });
    assert_eq!([client.pulse(), client.pulse()], [Pulse::Kept; 2]);
    // The replica is paused, cut off, while the master takes one more revocation and dies.
    watched.replica.pause();
    watched.master.ask::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    let unseen = decision("key_2", REVOKE, 1);
    assert_eq!(client.carry_out(&unseen), Receipt::Applied);
    assert_eq!([client.pulse(), client.pulse()], [Pulse::Kept; 2]);
    watched.master.kill();
    watched.replica.resume();
    let pulse = until("the new master answers", PATIENCE, || {
        Some(client.pulse()).filter(|pulse| *pulse != Pulse::Unreachable)
    });
    assert_eq!(pulse, Pulse::Lost, "a copy that lagged behind");
    let wanted = [in_force(&decision("key_1", REVOKE, 1)), in_force(&unseen)];
    let Reading::Held(held) = client.runtime.block_on(client.store.read(&wanted)) else {
        panic!("it answers")
    };
    assert_eq!(held.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    assert_eq!(client.carry_out_in_the_end(&unseen), Receipt::Applied);
    assert!(watched.replica.ask::<bool>(&["EXISTS", "tripline:credential:{api_key:key_2}"]));
}

/// Three masters that share all hash slots.
fn cluster() -> Vec<RedisServer> {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |n: usize| {
        let (nodes, port) =
            (folder.path().join(format!("nodes-{n}.conf")), free_port().to_string());
        let nodes = nodes.to_str().expect("text").to_owned();
        let arguments = ["--cluster-enabled", "yes", "--cluster-config-file", &nodes];
        RedisServer::start_with(&[&arguments[..], &["--cluster-port", &port]].concat())
    };
    let servers: Vec<RedisServer> = (0..3).map(start).collect();
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]);
    create.args(servers.iter().map(|server| format!("127.0.0.1:{}", server.port())));
    create.arg("--cluster-yes").stdout(Stdio::null());
    assert_eq!(Process::start(&mut create).wait(), Some(0), "the Cluster is made");
    let ready = |server: &RedisServer| {
        let info: String = server.ask(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok") && info.contains("cluster_size:3")
    };
    until("the Cluster is ready", PATIENCE, || servers.iter().all(ready).then_some(()));
    servers
}

#[test]
fn a_cluster_takes_each_credential_where_it_belongs() {
    if skipped("redis") {
        return;
    }
    let servers = cluster();
    let mut params = params(&servers[0]);
    params.place.topology = Topology::Cluster;
    let client = Client::new(params);
    let decisions: Vec<Decision> =
        (0..60).map(|n| decision(&format!("key_{n}"), REVOKE, 1)).collect();
    for decision in &decisions {
        assert_eq!(client.carry_out_in_the_end(decision), Receipt::Applied);
        assert_eq!(client.carry_out(decision), Receipt::Already);
    }
    let count = |server: &RedisServer| server.ask::<Vec<String>>(&["KEYS", "*credential*"]).len();
    let counts: Vec<usize> = servers.iter().map(count).collect();
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");

    let mut wanted: Vec<_> = decisions.iter().map(in_force).collect();
    wanted.insert(30, in_force(&decision("never", REVOKE, 1)));
    let Reading::Held(held) = client.runtime.block_on(client.store.read(&wanted)) else {
        panic!("it answers")
    };
    let lacking: Vec<usize> = (0..held.len()).filter(|&n| held[n].is_none()).collect();
    assert_eq!(lacking, [30]);

    let mut cli = redis::cluster::ClusterClient::new(vec![servers[0].url()])
        .and_then(|client| client.get_connection())
        .expect("connects");
    let entries: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
        .arg("tripline:changes")
        .arg("-")
        .arg("+")
        .query(&mut cli)
        .expect("reads");
    let told: BTreeSet<String> = entries.ids.iter().filter_map(|entry| entry.get("id")).collect();
    assert_eq!(told.len(), 60, "each change is in the stream");

    let allowed = Allowed { for_all: 2, for_tenant: 1 };
    let finding = |name: &str| {
        FindingId::of(&decision(name, REVOKE, 1).credential, Detector::Burst, decisions[0].at)
    };
    let take =
        |name| client.runtime.block_on(client.store.take_token(Some("a"), allowed, finding(name)));
    assert_eq!(format!("{:?} {:?}", take("x"), take("y")), "Granted Refused");

    assert_eq!([client.pulse(), client.pulse()], [Pulse::Kept; 2]);
    servers[1].ask::<()>(&["FLUSHALL"]);
    assert_eq!(client.pulse(), Pulse::Lost, "one of three was emptied");
    let restore = decision("key_1", Order::Restore, 2);
    assert_eq!(client.carry_out(&restore), Receipt::Applied);
}

/// A certificate authority and what it signed.
struct Authority {
    folder: tempfile::TempDir,
    certificate: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut own = rcgen::CertificateParams::new(vec![]).expect("no names");
        own.distinguished_name.push(rcgen::DnType::CommonName, "the authority of a test");
        own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = own.self_signed(&key).expect("signs");
        let issuer = rcgen::Issuer::from_params(&own, &key);
        let server_key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = rcgen::CertificateParams::new(names).expect("names");
        let server = server.signed_by(&server_key, &issuer).expect("signs");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writes");
        };
        write("ca.crt", &authority.pem());
        write("redis.crt", &server.pem());
        write("redis.key", &server_key.serialize_pem());
        Self { certificate: authority.pem().into_bytes(), folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }
}

#[test]
fn an_encrypted_server_is_trusted_only_by_the_authority_that_is_named() {
    if skipped("redis") {
        return;
    }
    let authority = Authority::new();
    let tls_port = free_port().to_string();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &authority.path("redis.crt"),
        "--tls-key-file",
        &authority.path("redis.key"),
        "--tls-ca-cert-file",
        &authority.path("ca.crt"),
        "--tls-auth-clients",
        "yes",
    ]);
    let encrypted = |root: &[u8], client: bool| {
        let read = |name| std::fs::read(authority.path(name)).expect("reads");
        let own = || tripline::adapters::enforce::redis::store::ClientTlsConfig {
            client_cert: read("redis.crt"),
            client_key: read("redis.key"),
        };
        let root_cert = Some(root.to_vec());
        let certificates = TlsCertificates { client_tls: client.then(own), root_cert };
        let url = format!("rediss://127.0.0.1:{tls_port}/");
        let place = ServerAddress { certificates: Some(certificates), ..place(url) };
        Client::new(Params { place, ..params(&server) })
    };
    let revoke = decision("key_1", REVOKE, 1);
    let trusted = encrypted(&authority.certificate, true);
    trusted.runtime.block_on(trusted.store.ping()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(trusted.carry_out(&revoke), Receipt::Applied);
    let unknown = Client::new(Params {
        place: place(format!("rediss://127.0.0.1:{tls_port}/")),
        ..params(&server)
    });
    assert_eq!(unknown.carry_out(&revoke), Receipt::Unreachable, "not trusted");
    let stranger = Authority::new();
    let other = encrypted(&stranger.certificate, true);
    assert_eq!(other.carry_out(&revoke), Receipt::Unreachable, "signed by somebody else");
    let nameless = encrypted(&authority.certificate, false);
    assert_eq!(nameless.carry_out(&revoke), Receipt::Unreachable, "without a certificate");
}

#[test]
fn a_place_that_cannot_be_used_says_which_part() {
    let check = |change: fn(&mut ServerAddress)| {
        let mut place = place("redis://user:PLANTED@127.0.0.1/".to_owned());
        change(&mut place);
        place.check().expect_err("unusable")
    };
    let url =
        |place: &mut ServerAddress| place.url = SecretString::from("http://PLANTED".to_owned());
    assert_eq!(check(url), ServerAddressError::Url);
    let nodes = |place: &mut ServerAddress| {
        place.topology = Topology::Cluster;
        place.nodes = vec!["no port".to_owned()];
    };
    assert_eq!(check(nodes), ServerAddressError::Node);
    let certificates = |place: &mut ServerAddress| {
        place.certificates = Some(TlsCertificates { client_tls: None, root_cert: None });
    };
    assert_eq!(check(certificates), ServerAddressError::Certificate, "without encryption");
}
