//! Sources: HTTP, Kafka, files, and how records are read.

use super::setting::{FORMATS, KINDS, ROLES};
use super::setting::{Kind, Setting, duration, integer, size};

/// The settings, in the order of the file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: "data_dir",
        kind: Kind::File,
        default: Some(r#""tripline-data""#),
        example: None,
        doc: "Where the journal, the embedded store, the fingerprint key and rejected records are. One \
              daemon each.",
    },
    Setting {
        path: "fingerprint_key_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/fingerprint.key""#),
        doc: "The key under which raw secrets become fingerprints, a file of 32 bytes or more that is \
              there. Without it one is made in data_dir. All instances of a fleet, and everyone \
              who compares fingerprints, need the same one.",
    },
    Setting {
        path: "random_ids",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "Whether ids, tenants and subjects of 32 or more random letters (a hash, say) are ids: \
              without it they are taken for secrets, and fingerprints stand for them. Known forms of \
              secrets are replaced all the same.",
    },
    Setting {
        path: "http.listen",
        kind: Kind::Address,
        default: Some(r#""127.0.0.1:7878""#),
        example: None,
        doc: "Where it listens. Beyond loopback only with tokens.",
    },
    Setting {
        path: "http.body_max",
        kind: size(1 << 10),
        default: Some(r#""8MiB""#),
        example: None,
        doc: "The largest body of POST /v1/events, unpacked.",
    },
    Setting {
        path: "http.tokens.<gateway>.roles",
        kind: Kind::Choices(ROLES),
        default: None,
        example: Some(r#"["ingest", "check"]"#),
        doc: "Rights of the token: ingest (send events), check (ask /v1/check), read, operate \
              (suspend, revoke, restore, approve). Without any token everyone on this machine may do \
              everything but operate, which is then left to the Unix socket.",
    },
    Setting {
        path: "http.tokens.<gateway>.token_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/gateway.token""#),
        doc: "File with the token, of 16 characters or more.",
    },
    Setting {
        path: "admin.socket",
        kind: Kind::File,
        default: None,
        example: Some(r#""/run/tripline/tripline.sock""#),
        doc: "The Unix socket for operators on this machine: without a setting tripline.sock in \
              data_dir, \"\" for none. Everyone who may open it may operate.",
    },
    Setting {
        path: "admin.socket_mode",
        kind: Kind::Permissions,
        default: Some(r#""0600""#),
        example: None,
        doc: "Permissions of the socket: 0600 for its owner, 0660 for a group, too.",
    },
    Setting {
        path: "source.format",
        kind: Kind::Choice(FORMATS),
        default: Some(r#""native""#),
        example: None,
        doc: "How events of the HTTP source and of files are read: native, cloudtrail, access_log, \
              mapping.",
    },
    Setting {
        path: "source.trusted_proxies",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["10.0.0.0/8", "192.0.2.7/32"]"#),
        doc: "Which hops of a list of addresses (X-Forwarded-For) are proxies: the last other one is \
              the client. Without it: loopback, link-local and private networks.",
    },
    Setting {
        path: "source.fingerprint_credentials",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "Whether every credential is a secret as callers send it, whatever it looks like, and is \
              known by its fingerprint alone.",
    },
    Setting {
        path: "source.threads",
        kind: integer(1, 16),
        default: Some("2"),
        example: None,
        doc: "Threads that own credentials; as many again for Kafka, where it is set up.",
    },
    Setting {
        path: "source.access_log.credential",
        kind: Kind::Choice(&["user", "address"]),
        default: Some(r#""user""#),
        example: None,
        doc: "Which field names the credential: the third (user) or the first (address).",
    },
    Setting {
        path: "source.access_log.kind",
        kind: Kind::Choice(KINDS),
        default: Some(r#""api_key""#),
        example: None,
        doc: "The kind of the credentials.",
    },
    Setting {
        path: "source.access_log.verified",
        kind: Kind::Choice(&["never", "2xx", "always"]),
        default: Some(r#""never""#),
        example: None,
        doc: "Which lines show that the caller holds the credential: never, 2xx (those with such a \
              status), always. Others justify at most an alert. A server logs a user that a stranger \
              named as it logs a real one.",
    },
    Setting {
        path: "source.mapping.credential",
        kind: Kind::Text,
        default: None,
        example: Some(r#""/auth/key_id""#),
        doc: "Your own JSON, by JSON pointers (RFC 6901); for format = \"mapping\". Place of the \
              credential's id. Required.",
    },
    Setting {
        path: "source.mapping.time",
        kind: Kind::Text,
        default: None,
        example: Some(r#""/ts""#),
        doc: "Place of the event's time. Required.",
    },
    Setting {
        path: "source.mapping.default_kind",
        kind: Kind::Choice(KINDS),
        default: Some(r#""api_key""#),
        example: None,
        doc: "The kind of credentials whose record names none.",
    },
    Setting {
        path: "source.mapping.<tenant>",
        kind: Kind::Text,
        default: None,
        example: Some(r#""/org/id""#),
        doc: "Place of a field of the auth event: kind, id, tenant, subject, outcome, reason, status, \
              ip, asn, country, user_agent, method, endpoint, tokens, issued, expires, family.",
    },
    Setting {
        path: "source.mapping.outcomes",
        kind: Kind::Table,
        default: None,
        example: Some(r#"{ ALLOW = "accepted", DENY = "rejected" }"#),
        doc: "Meanings of your words for outcomes: accepted, rejected, throttled.",
    },
    Setting {
        path: "source.mapping.verified",
        kind: Kind::Text,
        default: Some(r#""never""#),
        example: None,
        doc: "The records whose caller proved to hold the credential: never (without it), outcome \
              (accepted or throttled), 2xx, always, or the place of a boolean, like \"/auth/verified\". \
              Others justify at most an alert.",
    },
    Setting {
        path: "kafka.brokers",
        kind: Kind::Text,
        default: None,
        example: Some(r#""kafka-1:9092,kafka-2:9092""#),
        doc: "Kafka as a source. Records must be keyed by credential, so that one instance sees all of \
              its uses. Addresses of some brokers. Required.",
    },
    Setting {
        path: "kafka.topics",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["auth-events"]"#),
        doc: "Topics with events. Required.",
    },
    Setting {
        path: "kafka.group",
        kind: Kind::Text,
        default: Some(r#""tripline""#),
        example: None,
        doc: "The consumer group.",
    },
    Setting {
        path: "kafka.format",
        kind: Kind::Choice(FORMATS),
        default: Some(r#""native""#),
        example: None,
        doc: "How records are read: as in [source].",
    },
    Setting {
        path: "kafka.fingerprint_credentials",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "As in [source].",
    },
    Setting {
        path: "kafka.trusted_proxies",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["10.0.0.0/8"]"#),
        doc: "As in [source].",
    },
    Setting {
        path: "kafka.rejects_topic",
        kind: Kind::Text,
        default: None,
        example: Some(r#""auth-events-refused""#),
        doc: "Topic for refused records: places and reasons. Without it: the file in data_dir.",
    },
    Setting {
        path: "kafka.start",
        kind: Kind::Choice(&["earliest", "latest"]),
        default: Some(r#""earliest""#),
        example: None,
        doc: "Where reading begins in a partition that is new to the group, or was recreated or cut \
              off.",
    },
    Setting {
        path: "kafka.instance",
        kind: Kind::Text,
        default: None,
        example: Some(r#""tripline-1""#),
        doc: "Static membership: a restart moves no partitions. Another one for each instance, and the \
              same after a restart.",
    },
    Setting {
        path: "kafka.stall_after",
        kind: duration(1_000, i64::MAX),
        default: Some(r#""60s""#),
        example: None,
        doc: "A consumer that reads nothing for so long, though there is more to read, is recreated.",
    },
    Setting {
        path: "kafka.access_log.credential",
        kind: Kind::Choice(&["user", "address"]),
        default: Some(r#""user""#),
        example: None,
        doc: "As in [source.access_log].",
    },
    Setting {
        path: "kafka.access_log.kind",
        kind: Kind::Choice(KINDS),
        default: Some(r#""api_key""#),
        example: None,
        doc: "As in [source.access_log].",
    },
    Setting {
        path: "kafka.access_log.verified",
        kind: Kind::Choice(&["never", "2xx", "always"]),
        default: Some(r#""never""#),
        example: None,
        doc: "As in [source.access_log].",
    },
    Setting {
        path: "kafka.mapping.<credential>",
        kind: Kind::Text,
        default: None,
        example: Some(r#""/auth/key_id""#),
        doc: "As in [source.mapping].",
    },
    Setting {
        path: "kafka.mapping.outcomes",
        kind: Kind::Table,
        default: None,
        example: Some(r#"{ ALLOW = "accepted" }"#),
        doc: "As in [source.mapping].",
    },
    Setting {
        path: "kafka.librdkafka.<security.protocol>",
        kind: Kind::Text,
        default: None,
        example: Some(r#""ssl""#),
        doc: "Passed on to librdkafka as it is. TLS needs a build with --features kafka-ssl.",
    },
];
