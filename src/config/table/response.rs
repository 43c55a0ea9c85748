//! Response: modes, actions and safeguards.

use super::setting::MODES;
use super::setting::{Kind, Setting, duration, integer, number, number_or_none};

/// The settings, in the order of the file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: "mode.default",
        kind: Kind::Choice(MODES),
        default: Some(r#""shadow""#),
        example: None,
        doc: "The enforcement mode: the most severe action that is carried out. Actions above it are \
              written down all the same. Begin in shadow.",
    },
    Setting {
        path: "mode.kind.<session>",
        kind: Kind::Choice(MODES),
        default: None,
        example: Some(r#""suspend""#),
        doc: "The mode for one kind. The most specific one holds: tenant, kind, default.",
    },
    Setting {
        path: "mode.tenant.<acme>",
        kind: Kind::Choice(MODES),
        default: None,
        example: Some(r#""revoke""#),
        doc: "The mode for a tenant.",
    },
    Setting {
        path: "actions.throttle_for",
        kind: duration(1_000, i64::MAX),
        default: Some(r#""15min""#),
        example: None,
        doc: "How long throttling lasts.",
    },
    Setting {
        path: "actions.suspend_for",
        kind: duration(1_000, i64::MAX),
        default: Some(r#""60min""#),
        example: None,
        doc: "How long a suspension lasts.",
    },
    Setting {
        path: "actions.operator_restore_grace",
        kind: duration(0, i64::MAX),
        default: Some(r#""60min""#),
        example: None,
        doc: "For so long nothing is done on findings that were open when an operator restored. If one \
              goes on for longer it is judged again; use the allow list for use that is meant to go \
              on.",
    },
    Setting {
        path: "actions.warm_up",
        kind: duration(0, i64::MAX),
        default: Some(r#""5min""#),
        example: None,
        doc: "For so long after a start nothing above throttle is carried out, as little is known of \
              any credential; limits, which are contracts, are not held back.",
    },
    Setting {
        path: "revocation_limit.per_tenant_hour",
        kind: integer(0, 1_000_000),
        default: Some("1"),
        example: None,
        doc: "Revocations in any hour for a tenant, whatever the detectors find; beyond that tripline \
              suspends. Credentials whose events name no tenant are bounded by the limit for all \
              alone, so send `tenant`.",
    },
    Setting {
        path: "revocation_limit.per_hour",
        kind: integer(0, 1_000_000),
        default: Some("3"),
        example: None,
        doc: "Revocations in any hour for all: the greater of this and per_hour_share of the \
              credentials known.",
    },
    Setting {
        path: "revocation_limit.per_hour_share",
        kind: number(0.0, 1.0),
        default: Some("0.00001"),
        example: None,
        doc: "The same as a share of the credentials known.",
    },
    Setting {
        path: "revocation_limit.instances",
        kind: integer(1, 1_000),
        default: Some("1"),
        example: None,
        doc: "How many instances the fleet has. With [auth_store.redis], which all of them write, they \
              count revocations together and act as one daemon; without it each has its share of the \
              limit.",
    },
    Setting {
        path: "fleet.url",
        kind: Kind::Text,
        default: None,
        example: Some(r#""http://10.0.0.7:7878""#),
        doc: "Where the other instances reach this one: https://host:port, or http:// in a network of \
              [egress] networks. With it, and Redis, every instance answers for all of them: \
              credentials, findings, decisions and the status, in the API, the console, `top` and the \
              command line. Requests between instances are signed by a key that follows from \
              fingerprint_key_file, which all of them need alike. As an environment variable: \
              TRIPLINE_FLEET__URL.",
    },
    Setting {
        path: "approval.required_approvers",
        kind: integer(0, 5),
        default: Some("0"),
        example: None,
        doc: "How many people have to agree before tripline revokes, by `tripline decisions approve`. \
              The credential is suspended meanwhile. From 2 on it holds for people's own revocations \
              too. A pending approval keeps the number and the time of when it began; 0 ends all of \
              them.",
    },
    Setting {
        path: "approval.timeout",
        kind: duration(1_000, i64::MAX),
        default: Some(r#""60min""#),
        example: None,
        doc: "How long they have to agree.",
    },
    Setting {
        path: "budget.alert",
        kind: number_or_none(1e-12, 1e3),
        default: Some("0.01"),
        example: None,
        doc: "How many false actions are allowed for each day (24 hours) of use of a credential. \
              tripline counts every burst as false unless a person revokes the credential within a \
              day, by kind of credential and from the first day in shadow; an action that is not \
              proven at 95 % is lowered to the most severe one that is. A tenant's false alarms count \
              in full for itself, and for others as one. `tripline budget` shows what is proven and how \
              much is missing. Not held back: alerts, limits of `[limits]`, and people. \"none\": \
              nothing needs to be proven for that action.",
    },
    Setting {
        path: "budget.throttle",
        kind: number_or_none(1e-12, 1e3),
        default: Some("0.001"),
        example: None,
        doc: "The same for throttling.",
    },
    Setting {
        path: "budget.suspend",
        kind: number_or_none(1e-12, 1e3),
        default: Some("0.00001"),
        example: None,
        doc: "The same for suspensions.",
    },
    Setting {
        path: "budget.revoke",
        kind: number_or_none(1e-12, 1e3),
        default: Some("0.0000001"),
        example: None,
        doc: "The same for revocations.",
    },
    Setting {
        path: "common_cause.min_ratio",
        kind: number(0.0, 1.0),
        default: Some("0.01"),
        example: None,
        doc: "Where so great a part of all credentials begins to burst within a minute, the cause is a \
              common one, a launch say: for two minutes nothing more severe than throttling, limits \
              included.",
    },
    Setting {
        path: "common_cause.min_credentials",
        kind: integer(0, 1_000_000),
        default: Some("10"),
        example: None,
        doc: "And how many credentials at the least.",
    },
    Setting {
        path: "allow_list.credential.<api_key:key_load_test>.owner",
        kind: Kind::Text,
        default: None,
        example: Some(r#""sre""#),
        doc: "Credentials that never get more than an alert. The person who answers for it. Required.",
    },
    Setting {
        path: "allow_list.credential.<api_key:key_load_test>.reason",
        kind: Kind::Text,
        default: None,
        example: Some(r#""load test of the release""#),
        doc: "Why. Required.",
    },
    Setting {
        path: "allow_list.credential.<api_key:key_load_test>.expires",
        kind: Kind::Time,
        default: None,
        example: Some(r#""2026-12-31T00:00:00Z""#),
        doc: "When the entry ends; without it, never.",
    },
    Setting {
        path: "allow_list.tenant.<acme>.owner",
        kind: Kind::Text,
        default: None,
        example: Some(r#""sales""#),
        doc: "The same for all credentials of a tenant. Required.",
    },
    Setting {
        path: "allow_list.tenant.<acme>.reason",
        kind: Kind::Text,
        default: None,
        example: Some(r#""migration""#),
        doc: "Why. Required.",
    },
    Setting {
        path: "allow_list.tenant.<acme>.expires",
        kind: Kind::Time,
        default: None,
        example: Some(r#""2026-12-31T00:00:00Z""#),
        doc: "When the entry ends; without it, never.",
    },
];
