//! Proof: uses that are not valid, refresh tokens that come back, sessions.

use super::setting::{ACTIONS, Kind, Setting, duration, integer};

const WEEK_MS: i64 = 7 * 86_400_000;
const YEAR_MS: i64 = 366 * 86_400_000;

/// The settings, in the order of the file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: "validity.action",
        kind: Kind::Choice(ACTIONS),
        default: Some(r#""alert""#),
        example: None,
        doc: "What it justifies that a gateway accepted a credential after its end, or before it was issued. \
              More than alert takes the credential out of service in the auth stores, where the gateway may \
              ask.",
    },
    Setting {
        path: "validity.clock_skew",
        kind: duration(0, 3_600_000),
        default: Some(r#""60s""#),
        example: None,
        doc: "How far clocks of issuers and gateways may be apart.",
    },
    Setting {
        path: "validity.enforcement_grace",
        kind: duration(0, 3_600_000),
        default: Some(r#""5s""#),
        example: None,
        doc: "How long after a suspension or revocation a gateway may still accept a credential before that is a \
              finding; longer for gateways that cache answers.",
    },
    Setting {
        path: "refresh_tokens.action",
        kind: Kind::Choice(ACTIONS),
        default: Some(r#""revoke""#),
        example: None,
        doc: "What it justifies, about each token of a grant, that a used-up refresh token of its family came back. \
              With \"alert\" nobody who holds an old token can end a live grant.",
    },
    Setting {
        path: "refresh_tokens.grace",
        kind: duration(0, 3_600_000),
        default: Some(r#""30s""#),
        example: None,
        doc: "How long one client may present a refresh token again: tabs race, requests are repeated. While the next \
              token was never used the same client always may, as the answer may have been lost.",
    },
    Setting {
        path: "sessions.action",
        kind: Kind::Choice(ACTIONS),
        default: Some(r#""revoke""#),
        example: None,
        doc: "What it justifies that a session is used in two countries by turns, by another agent in each. Two places \
              with one agent, and two agents in one country, alert at most.",
    },
    Setting {
        path: "sessions.return_within",
        kind: duration(60_000, WEEK_MS),
        default: Some(r#""30m""#),
        example: None,
        doc: "How soon a session must come back to a place to be at two places at once. Whole minutes.",
    },
    Setting {
        path: "sessions.returns",
        kind: integer(1, 15),
        default: Some("2"),
        example: None,
        doc: "How often it must come back.",
    },
    Setting {
        path: "sessions.idle_max",
        kind: duration(0, YEAR_MS),
        default: Some(r#""0s""#),
        example: None,
        doc: "The longest pause after which your gateways may accept a session; a use after a longer one alerts. 0s: \
              any.",
    },
    Setting {
        path: "sessions.age_max",
        kind: duration(0, YEAR_MS),
        default: Some(r#""0s""#),
        example: None,
        doc: "The oldest session that your gateways may accept, from `issued` or its first use; a later use alerts. \
              0s: any.",
    },
    Setting {
        path: "sessions.shared_asns",
        kind: Kind::Texts,
        default: Some("[]"),
        example: None,
        doc: "Autonomous systems where one user appears at many places, as `\"AS64500\"`: tunnels, carriers. Uses \
              from there have no place. It needs `asn` in events.",
    },
];
