//! The description of a setting.

/// A setting of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its place, parts separated by points; a part in `<…>` is a name of the operator's, with an
    /// example. Segments in it may have points.
    pub path: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// Its default, as TOML.
    pub default: Option<&'static str>,
    /// A value to show where there is no default, as TOML.
    pub example: Option<&'static str>,
    /// Its description, for operators.
    pub doc: &'static str,
}

/// The kind of a value, with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
    /// Where a field is in a record: a JSON pointer, a table, or a list of these.
    Place,
    /// A path.
    File,
    /// An address with a port.
    Address,
    /// Permissions of a file, in octal.
    Permissions,
    /// A time, RFC 3339.
    Time,
    /// A table with names of the operator's.
    Table,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// A whole number.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
        /// Whether `"none"` is one, too.
        or_none: bool,
    },
    /// A duration, `60s` say. Unit: milliseconds.
    Duration {
        /// The shortest.
        min_ms: i64,
        /// The longest.
        max_ms: i64,
    },
    /// A size, `8MiB` say. Unit: bytes.
    Size {
        /// The least.
        min: u64,
    },
    /// A rate, `10k/min` say. Unit: requests per minute.
    Rate {
        /// Whether `none` is one, too.
        or_none: bool,
    },
}

pub(super) const fn duration(min_ms: i64, max_ms: i64) -> Kind {
    Kind::Duration { min_ms, max_ms }
}

pub(super) const fn size(min: u64) -> Kind {
    Kind::Size { min }
}

pub(super) const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

pub(super) const fn number(min: f64, max: f64) -> Kind {
    Kind::Number { min, max, or_none: false }
}

pub(super) const fn number_or_none(min: f64, max: f64) -> Kind {
    Kind::Number { min, max, or_none: true }
}

/// A limit: a rate, or none.
pub(super) const LIMIT: Kind = Kind::Rate { or_none: true };
/// A rate that has to be one.
pub(super) const RATE: Kind = Kind::Rate { or_none: false };

/// The formats of events.
pub(super) const FORMATS: &[&str] = &[
    "native",
    "cloudtrail",
    "access_log",
    "mapping",
    "apisix",
    "auth0",
    "aws_alb",
    "aws_api_gateway",
    "caddy",
    "cloudflare",
    "cloudfront",
    "ecs",
    "envoy",
    "haproxy",
    "keycloak",
    "kong",
    "kubernetes_audit",
    "litellm",
    "middleware",
    "nginx",
    "ocsf",
    "okta",
    "traefik",
    "vault",
];
/// The kinds of credentials.
pub(super) const KINDS: &[&str] = &["api_key", "jwt", "session", "refresh_token", "agent_token"];
/// The actions.
pub(super) const ACTIONS: &[&str] = &["observe", "alert", "throttle", "suspend", "revoke"];
/// The enforcement modes.
pub(super) const MODES: &[&str] = &["shadow", "alert", "throttle", "suspend", "revoke"];
/// The roles of tokens.
pub(super) const ROLES: &[&str] = &["ingest", "check", "read", "operate"];
/// The detectors.
pub(super) const DETECTORS: &[&str] = &[
    "limit",
    "burst",
    "ramp",
    "origin",
    "fan_out",
    "endpoints",
    "failures",
    "cost",
    "cadence",
    "dormant",
    "tenant_flood",
    "leak",
    "validity",
    "reuse",
    "session",
    "canary",
];

impl Setting {
    /// The parts of its place, and whether each is a name of the operator's.
    pub fn parts(&self) -> Vec<(&'static str, bool)> {
        let mut parts = Vec::new();
        let mut rest = self.path;
        while !rest.is_empty() {
            let (part, is_name, after) = if let Some(name) = rest.strip_prefix('<') {
                let (name, after) = name.split_once('>').unwrap_or((name, ""));
                (name, true, after)
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (part, false, after)
            };
            parts.push((part, is_name));
            rest = after.strip_prefix('.').unwrap_or(after);
        }
        parts
    }

    /// Whether it describes the value at that place.
    pub fn is_at(&self, place: &[&str]) -> bool {
        let parts = self.parts();
        parts.len() == place.len()
            && parts.iter().zip(place).all(|((part, is_name), at)| *is_name || part == at)
    }
}
