//! The data folder, the HTTP API, and sources: HTTP, Kafka, files, and how records are read.

use super::setting::{FORMATS, KINDS, LIMIT, ROLES};
use super::setting::{Kind, Setting, duration, number, size};

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
        path: "http.tokens.<gateway>.sources",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["nginx"]"#),
        doc: "The sources whose events its holder may send, by name; `default` is that of POST /v1/events. \
              Without it: all.",
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
        path: "sources.<nginx>.type",
        kind: Kind::Choice(&[
            "http",
            "otlp",
            "file",
            "stdin",
            "syslog",
            "kafka",
            "redis_stream",
            "sqs",
        ]),
        default: Some(r#""http""#),
        example: None,
        doc: "Where events come from. The source `default` takes POST /v1/events, and is there without a \
              section; another one of http takes POST /v1/sources/NAME/events. otlp takes log records of \
              OpenTelemetry over HTTP, at /v1/sources/NAME/v1/logs. file follows log files. \
              stdin reads lines of standard input. syslog receives messages over UDP, TCP or TLS. \
              kafka reads records that are keyed by credential, so that one instance sees all of its \
              uses. redis_stream reads a stream of Redis as a consumer of a group. sqs \
              reads the objects of S3 that notifications in a queue name.",
    },
    Setting {
        path: "sources.<nginx>.format",
        kind: Kind::Choice(FORMATS),
        default: Some(r#""native""#),
        example: None,
        doc: "How records are read. `tripline generate format NAME` prints those that are a mapping, to \
              start from; settings of [sources.NAME] and [sources.NAME.mapping] replace single lines of \
              them.",
    },
    Setting {
        path: "sources.<nginx>.kind",
        kind: Kind::Choice(KINDS),
        default: None,
        example: Some(r#""api_key""#),
        doc: "The kind of credentials whose record names none: without it that of the format, or api_key.",
    },
    Setting {
        path: "sources.<nginx>.verified",
        kind: Kind::Text,
        default: None,
        example: Some(r#""2xx""#),
        doc: "Which records show that the caller holds the credential: never, 2xx (those with such a \
              status), always; in a mapping also outcome (accepted or throttled), or the place of a \
              boolean, like \"/auth/verified\". Others justify at most an alert. Without it the rule of \
              the format; in access logs and mappings of your own, never: a server logs a user that a \
              stranger named as it logs a real one.",
    },
    Setting {
        path: "sources.<nginx>.tenant",
        kind: Kind::Text,
        default: None,
        example: Some(r#""acme""#),
        doc: "The tenant of credentials whose record names none.",
    },
    Setting {
        path: "sources.<nginx>.trusted_proxies",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["10.0.0.0/8", "192.0.2.7/32"]"#),
        doc: "Which hops of a list of addresses (X-Forwarded-For) are proxies: the last other one is \
              the client. Without it: loopback, link-local and private networks.",
    },
    Setting {
        path: "sources.<nginx>.fingerprint_credentials",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "Whether every credential is a secret as callers send it, whatever it looks like, and is \
              known by its fingerprint alone.",
    },
    Setting {
        path: "sources.<nginx>.rate_max",
        kind: LIMIT,
        default: Some(r#""none""#),
        example: None,
        doc: "The most events that the source takes, and two seconds of it at once, so that a flood of it leaves room \
              for the others: requests beyond are answered 429, files, streams and connections are read later, \
              datagrams are dropped by the system. Not for kafka.",
    },
    Setting {
        path: "sources.<nginx>.into",
        kind: Kind::Text,
        default: None,
        example: Some(r#""kafka""#),
        doc: "For type = \"http\" and \"otlp\": the source of type kafka into whose topic events go, keyed by \
              credential, instead of being counted here: so instances behind a load balancer count each \
              credential once. It reads one topic with format = \"native\". Kafka's user needs the right Write on \
              the topic.",
    },
    Setting {
        path: "sources.<nginx>.several_secrets",
        kind: Kind::Choice(&["each", "first"]),
        default: Some(r#""each""#),
        example: None,
        doc: "Of a request with several secrets (an API key and a bearer token, say): each is a credential, a JWT \
              among them known by its fingerprint; or the first of the places in mapping.credential alone, as the \
              gateway looks at no other. With each, who holds a stolen JWT has no history where a junk key is \
              sent along: log the header that the gateway checks alone, or say first.",
    },
    Setting {
        path: "sources.<nginx>.credential",
        kind: Kind::Choice(&["user", "address"]),
        default: Some(r#""user""#),
        example: None,
        doc: "For format = \"access_log\": which field names the credential, the third (user) or the \
              first (address).",
    },
    Setting {
        path: "sources.<nginx>.log_format",
        kind: Kind::Text,
        default: None,
        example: Some(
            r#"'$remote_addr - $remote_user [$time_local] "$request" $status "$http_x_api_key"'"#,
        ),
        doc: "For format = \"access_log\": the format of lines other than common and combined, as nginx's \
              log_format or Apache's LogFormat has it. The credential is the user, else X-Api-Key, else the \
              bearer token, as far as they are in it.",
    },
    Setting {
        path: "sources.<nginx>.record",
        kind: Kind::Choice(&["body", "attributes", "whole"]),
        default: Some(r#""body""#),
        example: None,
        doc: "For type = \"otlp\": which part of a log record is a record of the format: its body, its \
              attributes as an object, or all of it, for a mapping with places like /attributes/http.route, \
              /resource/service.name and /time_unix_nano.",
    },
    Setting {
        path: "sources.<nginx>.paths",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["/var/log/nginx/*.log"]"#),
        doc: "For type = \"file\": the files to follow, through rotation; `*` stands for any part of a file's \
              name. Required.",
    },
    Setting {
        path: "sources.<nginx>.listen",
        kind: Kind::Text,
        default: None,
        example: Some(r#""udp://127.0.0.1:5514""#),
        doc: "For type = \"syslog\": where it listens, by udp://, tcp:// or tls://. A message's text is a record \
              of the format; its header is dropped. Required.",
    },
    Setting {
        path: "sources.<nginx>.senders",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["10.0.0.0/8"]"#),
        doc: "For type = \"syslog\": the networks from which messages are taken. Without it: loopback alone, or all \
              where client_ca_file asks for a certificate. An \
              address over UDP can be forged: take them over TLS from machines that you don't trust.",
    },
    Setting {
        path: "sources.<nginx>.certificate_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/syslog.pem""#),
        doc: "For tls://: the certificate, with those between it and its authority, in PEM.",
    },
    Setting {
        path: "sources.<nginx>.key_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/syslog.key""#),
        doc: "For tls://: the private key of the certificate, in PEM.",
    },
    Setting {
        path: "sources.<nginx>.client_ca_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/gateways-ca.pem""#),
        doc: "For tls://: the authority of the senders' certificates, in PEM. Without it senders need none.",
    },
    Setting {
        path: "sources.<nginx>.start",
        kind: Kind::Choice(&["earliest", "latest"]),
        default: Some(r#""earliest""#),
        example: None,
        doc: "Where reading begins in a file that is new, or in a partition that is new to the group. A \
              partition that was added, recreated or truncated is read from its beginning.",
    },
    Setting {
        path: "sources.<nginx>.brokers",
        kind: Kind::Text,
        default: None,
        example: Some(r#""kafka-1:9092,kafka-2:9092""#),
        doc: "For type = \"kafka\": addresses of some brokers. Required.",
    },
    Setting {
        path: "sources.<nginx>.topics",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["auth-events"]"#),
        doc: "Topics with events. Required.",
    },
    Setting {
        path: "sources.<nginx>.group",
        kind: Kind::Text,
        default: Some(r#""tripline""#),
        example: None,
        doc: "The consumer group, of Kafka or Redis.",
    },
    Setting {
        path: "sources.<nginx>.rejects_topic",
        kind: Kind::Text,
        default: None,
        example: Some(r#""auth-events-refused""#),
        doc: "Topic for refused records: places and reasons. Without it: the file in data_dir.",
    },
    Setting {
        path: "sources.<nginx>.instance",
        kind: Kind::Text,
        default: None,
        example: Some(r#""tripline-1""#),
        doc: "For type = \"kafka\", static membership: a restart moves no partitions. For type = \
              \"redis_stream\", the consumer, by default tripline. Another one for each instance, and the \
              same after a restart.",
    },
    Setting {
        path: "sources.<nginx>.stream",
        kind: Kind::Text,
        default: None,
        example: Some(r#""auth-events""#),
        doc: "For type = \"redis_stream\": the key of the stream. Required.",
    },
    Setting {
        path: "sources.<nginx>.field",
        kind: Kind::Text,
        default: Some(r#""event""#),
        example: None,
        doc: "For type = \"redis_stream\": the field of an entry that holds the record: XADD auth-events MAXLEN '~' \
              1000000 '*' event '{…}'.",
    },
    Setting {
        path: "sources.<nginx>.url_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/events-redis.url""#),
        doc: "For type = \"redis_stream\": file with the address of Redis, redis://user:password@host:port/db. \
              Without it the Redis of [auth_store.redis], with its Sentinels, Cluster and certificates.",
    },
    Setting {
        path: "sources.<nginx>.url",
        kind: Kind::Text,
        default: None,
        example: Some(r#""redis://127.0.0.1:6379""#),
        doc: "The same, where it holds no secret.",
    },
    Setting {
        path: "sources.<nginx>.queue_url",
        kind: Kind::Text,
        default: None,
        example: Some(r#""https://sqs.eu-central-1.amazonaws.com/123456789012/trail""#),
        doc: "For type = \"sqs\" (a build with --features cloud): the queue to which S3 sends its notifications, alone \
              or by SNS. Credentials are those of the environment, the container or the machine. Required.",
    },
    Setting {
        path: "sources.<nginx>.bucket",
        kind: Kind::Text,
        default: None,
        example: Some(r#""trail""#),
        doc: "For type = \"sqs\": the bucket. Notifications about another one are passed over. Required.",
    },
    Setting {
        path: "sources.<nginx>.region",
        kind: Kind::Text,
        default: None,
        example: Some(r#""eu-central-1""#),
        doc: "For type = \"sqs\": the region of both, where queue_url doesn't name it.",
    },
    Setting {
        path: "sources.<nginx>.s3_endpoint",
        kind: Kind::Text,
        default: None,
        example: Some(r#""https://s3.example.com""#),
        doc: "For type = \"sqs\": where S3 is, if that isn't AWS.",
    },
    Setting {
        path: "sources.<nginx>.stall_after",
        kind: duration(1_000, i64::MAX),
        default: Some(r#""60s""#),
        example: None,
        doc: "A consumer that reads nothing for so long, though there is more to read, is recreated.",
    },
    Setting {
        path: "sources.<nginx>.mapping.credential",
        kind: Kind::Place,
        default: None,
        example: Some(r#"["/auth/key_id", { at = "/headers/x-api-key", fingerprint = true }]"#),
        doc: "Your own JSON, for format = \"mapping\". Each field has a place: a JSON pointer (RFC 6901); a \
              table with `at` (a pointer) or `value` (the same for all records), and if needed `query` (names \
              of parameters, whose values are taken from the URL there), `match` (a regular expression, whose first \
              group is the value), `escaped` (true: %20 is a space), `format` (of a time), `fingerprint` \
              (true: the value is a raw secret; false: an id, though it looks drawn at random); or a list of these, of which the first that holds a value counts. \
              This is the place of the credential. Required.",
    },
    Setting {
        path: "sources.<nginx>.mapping.time",
        kind: Kind::Place,
        default: None,
        example: Some(r#"{ at = "/ts", format = "s" }"#),
        doc: "Place of the event's time. Formats: s, ms, us, ns (numbers, also as texts), rfc3339 (UTC \
              without a zone), auto (a unit by magnitude), or a pattern of strptime. Without one: RFC 3339 or \
              integer milliseconds. Required.",
    },
    Setting {
        path: "sources.<nginx>.mapping.<tenant>",
        kind: Kind::Place,
        default: None,
        example: Some(r#""/org/id""#),
        doc: "Place of a field of the auth event: kind, id, tenant, subject, outcome, reason, status, \
              ip, asn, country, user_agent, method, endpoint, model, tokens, spend, issued, expires, \
              family.",
    },
    Setting {
        path: "sources.<nginx>.mapping.outcomes",
        kind: Kind::Table,
        default: None,
        example: Some(r#"{ ALLOW = "accepted", DENY = "rejected" }"#),
        doc: "Meanings of your words, numbers and booleans for outcomes: accepted, rejected, throttled.",
    },
    Setting {
        path: "sources.<nginx>.mapping.only",
        kind: Kind::Table,
        default: None,
        example: Some(r#"{ "/type" = "response", "/stage" = ["a", "b"] }"#),
        doc: "Values that a record must have, by JSON pointers, one of the texts at each or in the \
              list there; others are passed over, as those that report one request twice.",
    },
    Setting {
        path: "sources.<nginx>.mapping.line",
        kind: Kind::Text,
        default: None,
        example: Some(r"'(?P<time>\S+)\t(?P<key>[^\t]*)\t(?P<status>[0-9]+)'"),
        doc: "For lines that are no JSON: a regular expression that matches a whole line and whose named groups are \
              the fields of a record, /time say. See to it that no text of a client can hold the text that ends it.",
    },
    Setting {
        path: "sources.<nginx>.mapping.skip",
        kind: Kind::Text,
        default: None,
        example: Some(r"'^#'"),
        doc: "With `line`: lines that are passed over, such as headers, as a regular expression.",
    },
    Setting {
        path: "sources.<nginx>.mapping.dotted",
        kind: Kind::Flag,
        default: None,
        example: Some("true"),
        doc: "Whether {\"event.outcome\": \"success\"} is read as {\"event\": {\"outcome\": \"success\"}}, as \
              Elasticsearch does.",
    },
    Setting {
        path: "sources.<nginx>.mapping.default_outcome",
        kind: Kind::Choice(&["accepted", "rejected", "throttled"]),
        default: None,
        example: Some(r#""rejected""#),
        doc: "The meaning of all other words. Without it a record with another word is refused.",
    },
    Setting {
        path: "sources.<nginx>.librdkafka.<security.protocol>",
        kind: Kind::Text,
        default: None,
        example: Some(r#""ssl""#),
        doc: "Passed on to librdkafka as it is, if this build of it takes it.",
    },
    Setting {
        path: "prices.<gpt-4o>",
        kind: number(0.0, 1e9),
        default: None,
        example: Some("2.5"),
        doc: "Money for a million tokens of a model, by its name as events have it, whatever its case; \
              `\"gpt-4*\"` stands for all that begin so. Quote a name with a point. For events with tokens and a model, but no spend: their spend is calculated.",
    },
];
