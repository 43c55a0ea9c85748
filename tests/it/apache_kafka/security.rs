//! TLS with certificates of both sides, SASL, and rights that are missing, as managed Kafka has them.

use super::{PATIENCE, config, folder};
use crate::kafka_state::{counts, some};
use crate::support::apache_kafka::{Kafka, Setup};
use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::{skipped, until};
use std::path::Path;

const SASL: &str = "org.apache.kafka.common.security";

/// An authority, and certificates of it in `folder`: that of the broker and one of a client.
fn certificates(folder: &Path) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut own = rcgen::CertificateParams::new(vec![]).expect("no names");
    own.distinguished_name.push(rcgen::DnType::CommonName, "the authority of a test");
    own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = own.self_signed(&key).expect("signs");
    let issuer = rcgen::Issuer::from_params(&own, &key);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("writes");
    write("ca.pem", &authority.pem());
    for name in ["broker", "tripline"] {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut own = rcgen::CertificateParams::new(names).expect("names");
        own.distinguished_name = rcgen::DistinguishedName::new();
        own.distinguished_name.push(rcgen::DnType::CommonName, name);
        let signed = own.signed_by(&key, &issuer).expect("signs");
        write(&format!("{name}.crt"), &signed.pem());
        write(&format!("{name}.key"), &key.serialize_pem());
        write(&format!("{name}.pem"), &format!("{}{}", key.serialize_pem(), signed.pem()));
    }
}

/// A broker that is asked without encryption by the tests alone, and that grants nothing by itself.
fn kafka(folder: &Path) -> Kafka {
    certificates(folder);
    let settings = format!(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:CN=tripline;User:plain;User:scram\n\
         ssl.keystore.type=PEM\nssl.keystore.location={folder}/broker.pem\n\
         ssl.truststore.type=PEM\nssl.truststore.location={folder}/ca.pem\n\
         listener.name.tls.ssl.client.auth=required\n\
         listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256\n\
         listener.name.scram.scram-sha-256.sasl.jaas.config=\
         {SASL}.scram.ScramLoginModule required;\n\
         listener.name.plain.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.plain.plain.sasl.jaas.config={SASL}.plain.PlainLoginModule required \
         user_plain=\"plain-password\" user_classic=\"a-password\" user_consumer=\"a-password\";\n",
        folder = folder.display()
    );
    let kafka = Kafka::start_with(
        1,
        &Setup {
            listeners: &[("TLS", "SSL"), ("SCRAM", "SASL_SSL"), ("PLAIN", "SASL_PLAINTEXT")],
            settings: &settings,
            users: &[("scram", "scram-password")],
        },
    );
    kafka.create_topic("auth", 1, &[]);
    kafka
}

/// Name and value.
type Setting<'a> = (&'a str, &'a str);

fn librdkafka(settings: &[Setting<'_>]) -> String {
    let line = |(name, value): &Setting<'_>| format!("\"{name}\" = \"{value}\"\n");
    let lines: String = settings.iter().map(line).collect();
    format!("[sources.kafka.librdkafka]\n{lines}")
}

#[test]
fn brokers_are_reached_by_tls_with_a_certificate_by_scram_and_by_plain_and_told_why_not() {
    if skipped("kafka") {
        return;
    }
    let certificates = folder();
    let kafka = kafka(certificates.path());
    let path = |name: &str| certificates.path().join(name).display().to_string();
    let (ca, certificate, key) = (path("ca.pem"), path("tripline.crt"), path("tripline.key"));
    let tls = [
        ("security.protocol", "SSL"),
        ("ssl.ca.location", &*ca),
        ("ssl.certificate.location", &*certificate),
        ("ssl.key.location", &*key),
    ];
    let sasl = |mechanism, name, password| {
        [
            ("security.protocol", if mechanism == "PLAIN" { "SASL_PLAINTEXT" } else { "SASL_SSL" }),
            ("ssl.ca.location", &*ca),
            ("sasl.mechanisms", mechanism),
            ("sasl.username", name),
            ("sasl.password", password),
        ]
    };
    let scram = sasl("SCRAM-SHA-256", "scram", "scram-password");
    let plain = sasl("PLAIN", "plain", "plain-password");
    let good: [(&str, &[Setting<'_>]); 3] = [("TLS", &tls), ("SCRAM", &scram), ("PLAIN", &plain)];
    for (listener, settings) in good {
        let folder = folder();
        let group = format!("group = \"by-{listener}\"\n");
        let config = config(&kafka.listener(listener)) + &group + &librdkafka(settings);
        let daemon = Daemon::start(&folder, &config);
        kafka.produce("auth", some(listener, 20));
        counts(&daemon, listener, 20);
    }
    let untrusted = [tls[0], tls[2], tls[3]];
    let wrong = sasl("SCRAM-SHA-256", "scram", "another-password");
    let bad: [(&str, &[Setting<'_>], &str); 4] = [
        ("TLS", &untrusted, "certificate verify failed"),
        ("TLS", &tls[..2], "alert bad certificate"),
        ("SCRAM", &wrong, "Authentication failed"),
        ("PLAIN", &sasl("PLAIN", "plain", "another-password"), "Authentication failed"),
    ];
    for (listener, settings, why) in bad {
        let folder = folder();
        let config = config(&kafka.listener(listener)) + &librdkafka(settings);
        let daemon = Daemon::start(&folder, &config);
        until(&format!("it is said why at {listener}: {why}"), PATIENCE, || {
            let log = daemon.log();
            let is_said = log.to_lowercase().contains(&why.to_lowercase());
            (is_said && daemon.metric("tripline_consumer_up") < 0.5).then_some(())
        });
        assert!(!daemon.log().contains("another-password"), "{}", daemon.log());
    }
}

#[test]
fn a_right_that_is_missing_is_named_and_once_it_is_granted_reading_begins() {
    if skipped("kafka") {
        return;
    }
    let certificates = folder();
    let kafka = kafka(certificates.path());
    kafka.produce("auth", some("key_1", 20));
    for protocol in ["classic", "consumer"] {
        let folder = folder();
        let settings = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", protocol),
            ("sasl.password", "a-password"),
            ("group.protocol", protocol),
            ("topic.metadata.refresh.interval.ms", "1000"),
        ];
        let group = format!("group = \"{protocol}\"\n");
        let config = config(&kafka.listener("PLAIN")) + &group + &librdkafka(&settings);
        let daemon = Daemon::start(&folder, &config);
        for (missing, right) in [
            ("Group authorization failed", ["--operation", "Read", "--group", protocol]),
            ("Topic authorization failed", ["--operation", "Read", "--topic", "auth"]),
        ] {
            until(missing, PATIENCE, || daemon.log().contains(missing).then_some(()));
            let whom = format!("User:{protocol}");
            kafka.grant(&[&["--allow-principal", &whom][..], &right[..]].concat());
        }
        counts(&daemon, "key_1", 20);
    }
}

#[test]
fn the_right_to_write_the_topic_is_all_that_events_over_http_need_besides_and_its_lack_is_named() {
    if skipped("kafka") {
        return;
    }
    let (certificates, folder) = (folder(), folder());
    let kafka = kafka(certificates.path());
    let grant = |right: [&str; 4]| {
        kafka.grant(&[&["--allow-principal", "User:classic"][..], &right[..]].concat());
    };
    grant(["--operation", "Read", "--group", "tripline"]);
    grant(["--operation", "Read", "--topic", "auth"]);
    let settings = librdkafka(&[
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanisms", "PLAIN"),
        ("sasl.username", "classic"),
        ("sasl.password", "a-password"),
    ]);
    let into = "[sources.default]\ninto = \"kafka\"\n";
    let daemon = Daemon::start(&folder, &(config(&kafka.listener("PLAIN")) + &settings + into));
    let send = || daemon.send("POST", "/v1/events", &[], event("key_1", now_ms())).0;
    assert_eq!(send(), 503);
    let said = daemon.log();
    let line = said.lines().find(|line| line.contains("are not stored in their topic"));
    assert!(line.expect("it is said").to_lowercase().contains("authorization failed"), "{said}");
    grant(["--operation", "Write", "--topic", "auth"]);
    until("it may be written", PATIENCE, || (send() == 200).then_some(()));
    counts(&daemon, "key_1", 1);
}
