//! Reports of leaked secrets.

use super::setting::{KINDS, Kind, Setting, integer};

/// The settings, in the order of the file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: "leaks.github.keys_url",
        kind: Kind::Text,
        default: Some(r#""https://api.github.com/meta/public_keys/secret_scanning""#),
        example: None,
        doc: "POST /v1/leaks/github takes reports of GitHub's secret scanning for partners, where this section is: \
              see docs/guides/leaks.md. Where the public keys of GitHub are.",
    },
    Setting {
        path: "leaks.github.keys_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/github-keys.json""#),
        doc: "A file with that list, instead of the address: for machines that can't reach GitHub.",
    },
    Setting {
        path: "leaks.gitlab.token_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/gitlab.token""#),
        doc: "POST /v1/revoke_tokens takes tokens that GitLab's secret detection found, where this section is. File \
              with the token that GitLab shows, 16 characters or more. Required.",
    },
    Setting {
        path: "leaks.gitlab.types",
        kind: Kind::Texts,
        default: None,
        example: Some(r#"["gitleaks_rule_id_acme_api_token"]"#),
        doc: "The types of tokens that are yours, as GitLab's analyzer names them. Required.",
    },
    Setting {
        path: "leaks.webhook.secret_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/leaks.secret""#),
        doc: "POST /v1/leaks takes reports of scanners, signed by Standard Webhooks, where this section is. File with \
              the secret, whsec_… Required.",
    },
    Setting {
        path: "leaks.self_service.per_minute",
        kind: integer(1, 1_000),
        default: Some("10"),
        example: None,
        doc: "POST /v1/leaks/self takes a secret from anyone who holds it, where this section is. Reports a minute, \
              in all.",
    },
    Setting {
        path: "leaks.self_service.address_per_minute",
        kind: integer(1, 1_000),
        default: Some("3"),
        example: None,
        doc: "Reports a minute from one address, so that one leaves room for others. Behind a proxy all have the \
              proxy's.",
    },
    Setting {
        path: "leaks.hash.algorithm",
        kind: Kind::Choice(&["sha256", "sha512", "hmac_sha256"]),
        default: Some(r#""sha256""#),
        example: None,
        doc: "How your ids of credentials are made from their secrets, where events have such ids: prefix, then the \
              beginning of the encoded hash.",
    },
    Setting {
        path: "leaks.hash.key_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/hash.key""#),
        doc: "File with the key of hmac_sha256, as text.",
    },
    Setting {
        path: "leaks.hash.encoding",
        kind: Kind::Choice(&["hex", "base64", "base64url"]),
        default: Some(r#""hex""#),
        example: None,
        doc: "How the hash is written: in lower case, without padding.",
    },
    Setting {
        path: "leaks.hash.prefix",
        kind: Kind::Text,
        default: Some(r#""""#),
        example: None,
        doc: "Text before the hash.",
    },
    Setting {
        path: "leaks.hash.length",
        kind: integer(8, 128),
        default: Some("128"),
        example: None,
        doc: "Characters of the hash that are kept; more than it has: all. Of a hash without a key with less than 80 \
              bits (20 characters of hex) a leak only alerts: another secret of the same hash can be made up.",
    },
    Setting {
        path: "leaks.hash.kind",
        kind: Kind::Choice(KINDS),
        default: Some(r#""api_key""#),
        example: None,
        doc: "The kind of the credentials.",
    },
    Setting {
        path: "leaks.redis.key",
        kind: Kind::Text,
        default: None,
        example: Some(r#""token:{sha256}""#),
        doc: "A key of Redis whose value (GET) is the credential of a secret, kind:id. {sha256} is the secret's hash \
              in hexadecimal, {fingerprint} that of tripline. Required.",
    },
    Setting {
        path: "leaks.redis.url",
        kind: Kind::Text,
        default: None,
        example: Some(r#""redis://127.0.0.1:6379""#),
        doc: "Where that Redis is; without it, that of the auth store.",
    },
    Setting {
        path: "leaks.redis.url_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/leaks-redis.url""#),
        doc: "The same, where it holds a secret.",
    },
    Setting {
        path: "leaks.resolver.url",
        kind: Kind::Text,
        default: None,
        example: Some(r#""https://auth.example.com/whose""#),
        doc: "A service that is sent {\"token\": \"…\"} and answers {\"credential\": \"kind:id\"}, or 404. Required.",
    },
    Setting {
        path: "leaks.resolver.token_file",
        kind: Kind::File,
        default: None,
        example: Some(r#""/etc/tripline/resolver.token""#),
        doc: "File with the bearer token that it wants, if it wants one.",
    },
];
