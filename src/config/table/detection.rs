//! Detection: memory, limits and detectors.

use super::setting::{ACTIONS, DETECTORS, LIMIT, RATE};
use super::setting::{Kind, Setting, duration, integer, number, number_or_none, size};

/// The settings, in the order of the file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: "engine.threads",
        kind: integer(1, 16),
        default: Some("2"),
        example: None,
        doc: "Threads that own credentials; as many again for Kafka, where it is set up.",
    },
    Setting {
        path: "engine.lateness",
        kind: duration(0, i64::MAX),
        default: Some(r#""5s""#),
        example: None,
        doc: "How late an event may be before it counts as late; it is counted where it belongs all \
              the same.",
    },
    Setting {
        path: "engine.skew_max",
        kind: duration(0, 60_000),
        default: Some(r#""60s""#),
        example: None,
        doc: "How far ahead of this machine's clock an event may be, at most 60s: it counts at its own \
              time. One that is further ahead counts for nothing, and its sender is named in \
              /v1/status and the log.",
    },
    Setting {
        path: "engine.catch_up",
        kind: duration(0, i64::MAX),
        default: Some(r#""60s""#),
        example: None,
        doc: "How far behind the clock the newest event is while the past is being read: nothing above \
              alert.",
    },
    Setting {
        path: "engine.memory",
        kind: size(16 << 20),
        default: Some(r#""1GiB""#),
        example: None,
        doc: "The memory that profiles may take: about 360 bytes for each credential, less than half \
              of that after an hour of silence. Kafka has half of it where other sources count \
              here, too, and nearly all where they don't; the Kafka partitions that this \
              instance owns share theirs. When it is full, new credentials are evicted first, \
              those that were used in a single hour.",
    },
    Setting {
        path: "limits.action",
        kind: Kind::Choice(ACTIONS),
        default: Some(r#""revoke""#),
        example: None,
        doc: "The action that breaking a limit justifies. It is a contract: no model, no learning. The \
              mode and the revocation limit still bound it.",
    },
    Setting {
        path: "limits.default",
        kind: LIMIT,
        default: None,
        example: Some(r#""10k/min""#),
        doc: "The limit of every credential: more than this in any 60 s justifies `action`. More than \
              1/6 of it within 10 s is an early warning, and justifies throttling at most. Without it: \
              10k/min, which is no contract: it justifies throttling at most, within `[budget]`.",
    },
    Setting {
        path: "limits.kind.<session>",
        kind: LIMIT,
        default: None,
        example: Some(r#""600/min""#),
        doc: "The limit of the credentials of one kind. The most specific one holds: credential, \
              tenant, kind, default.",
    },
    Setting {
        path: "limits.tenant_sum.<acme>",
        kind: LIMIT,
        default: None,
        example: Some(r#""500k/min""#),
        doc: "The limit of all credentials of a tenant together: alerts (TriplineTenantLimit), no \
              more.",
    },
    Setting {
        path: "limits.tenant_each.<acme>",
        kind: LIMIT,
        default: None,
        example: Some(r#""50k/min""#),
        doc: "The limit of each credential of a tenant.",
    },
    Setting {
        path: "limits.credential.<api_key:key_nightly_export>",
        kind: LIMIT,
        default: None,
        example: Some(r#""none""#),
        doc: "The limit of one credential.",
    },
    Setting {
        path: "burst.gate_nats",
        kind: number(1.0, 1000.0),
        default: Some("20"),
        example: None,
        doc: "The least evidence for a finding. Unit: nats; 20 is a chance of 2 in a billion.",
    },
    Setting {
        path: "burst.observe_ratio",
        kind: number(1.0, 1e6),
        default: Some("1.2"),
        example: None,
        doc: "How many times its peak in a window (of 1, 5, 15, 60 or 300 s) a burst has to be to be \
              observed.",
    },
    Setting {
        path: "burst.alert_ratio",
        kind: number(1.0, 1e6),
        default: Some("2"),
        example: None,
        doc: "The same to alert.",
    },
    Setting {
        path: "burst.throttle_ratio",
        kind: number(1.0, 1e6),
        default: Some("12"),
        example: None,
        doc: "The same to throttle.",
    },
    Setting {
        path: "burst.settled_ratio",
        kind: number(1.0, 1e6),
        default: Some("16"),
        example: None,
        doc: "How many times its settled peak, that of a minute which grows by a seventh a day at most, \
              60 s have to be to throttle, however high the peak was raised in steps.",
    },
    Setting {
        path: "burst.suspend_ratio",
        kind: number(1.0, 1e6),
        default: Some("4"),
        example: None,
        doc: "The same to suspend, together with the context: new sources that surprise and make most \
              of the excess.",
    },
    Setting {
        path: "burst.throttle_rate",
        kind: RATE,
        default: Some(r#""600/min""#),
        example: None,
        doc: "The least rate to throttle or suspend.",
    },
    Setting {
        path: "burst.mature_hours",
        kind: integer(1, 255),
        default: Some("24"),
        example: None,
        doc: "In how many hours of the clock a credential must have been used before its baseline is \
              trusted whole: before a burst throttles or suspends, and a climb or a cost is remarkable. \
              Until then a burst alerts at a higher ratio, which falls with the hours.",
    },
    Setting {
        path: "ramp.observe_ratio",
        kind: number(1.0, 1e6),
        default: Some("4"),
        example: None,
        doc: "How many times better than ever a raised rate must explain the last minutes. Clients \
              grow in steps that last, so by default a climb is only observed; 20 would alert 0.01 \
              times in a day of honest use.",
    },
    Setting {
        path: "ramp.alert_ratio",
        kind: number_or_none(1.0, 1e6),
        default: Some(r#""none""#),
        example: None,
        doc: "The same to alert; \"none\": never.",
    },
    Setting {
        path: "cost.units_min",
        kind: number(1.0, 1e9),
        default: Some("20000"),
        example: None,
        doc: "Units a minute (LLM tokens say) below which no credential's peak is taken to lie: 3 times of it \
              observe, 6 times alert. Costs are judged from mature_hours used hours after a credential's first on.",
    },
    Setting {
        path: "cost.spend_min",
        kind: number(0.000_001, 1e9),
        default: Some("1"),
        example: None,
        doc: "The same for money, in the currency of the events' `spend` and of [prices]: set it to what a minute \
              of a small credential may cost.",
    },
    Setting {
        path: "cost.token_price",
        kind: number(0.000_001, 1e9),
        default: Some("10"),
        example: None,
        doc: "Money for a million tokens of an event without a price, where its credential had events with one: \
              take that of a dear model, as a client chooses its model.",
    },
    Setting {
        path: "detectors.disabled",
        kind: Kind::Choices(DETECTORS),
        default: Some("[]"),
        example: None,
        doc: "Detectors to disable; docs/detection.md describes each.",
    },
];
