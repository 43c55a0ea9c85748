//! The report of an audit of lifetimes as JSON: of files, or of the running daemon.

use crate::data_plane::lifetimes::audit::Params;
use crate::data_plane::lifetimes::report::{GroupReport, LifetimeReport, Lifetimes, Misuse};
use crate::model::credential::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExpiryReport {
    /// Events.
    pub events: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Verified uses; no other counts below.
    pub uses: u64,
    /// Events that are no verified use.
    pub unverified: u64,
    /// Events whose `issued` or `expires` can't be read, and counts as unknown.
    pub unreadable: u64,
    /// Uses of credentials beyond a million, which are not among the credentials.
    pub left_out: u64,
    /// Revocations that came after later uses in a stream, which is read once.
    pub late_revocations: u64,
    /// Whether a second reading found other records.
    pub changed: bool,
    /// How far clocks may differ. Unit: seconds.
    pub skew_s: f64,
    /// Whether any kind has a longest lifetime.
    #[serde(skip)]
    pub has_policy: bool,
    /// By kind, issuer and gateway.
    pub groups: Vec<ExpiryGroup>,
    /// Each breach in a sentence.
    pub breaches: Vec<String>,
    /// Why there may be breaches that are not found; none: the numbers are whole.
    pub doubts: Vec<String>,
}

/// How the files were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Events.
    pub events: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Events whose `issued` or `expires` can't be read.
    pub unreadable: u64,
    /// Whether a second reading found other records.
    pub changed: bool,
}

/// Credentials of one kind and issuer at one gateway.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExpiryGroup {
    /// Their kind; none: all groups beyond 256.
    #[schema(value_type = Option<Kind>)]
    pub kind: Option<String>,
    /// Their issuer.
    pub issuer: Option<String>,
    /// The gateway, by default the name of the source.
    pub gateway: Option<String>,
    /// Verified uses.
    pub uses: u64,
    /// Distinct credentials.
    pub credentials: u64,
    /// Credentials without `expires`.
    pub without_end: u64,
    /// From `issued` to `expires`, where both are known.
    pub lifetime: Option<LifetimeJson>,
    /// The policy. Unit: seconds.
    pub lifetime_max_s: Option<f64>,
    /// Credentials with a lifetime over policy.
    pub over_policy: u64,
    /// Accepted uses after expiry.
    pub after_expiry: MisuseJson,
    /// Accepted uses before issue.
    pub before_issue: MisuseJson,
    /// Accepted uses after the credential was rejected as revoked, at any gateway.
    pub after_revocation: MisuseJson,
    /// Verified rejections by reason; `other` is a reason outside the vocabulary, or none.
    pub rejections: BTreeMap<String, u64>,
}

/// How long credentials live. Unit: seconds, rounded up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct LifetimeJson {
    /// Credentials whose lifetime is known.
    pub credentials: u64,
    /// Half of them live no longer.
    pub median_s: u32,
    /// 99 % of them live no longer.
    pub p99_s: u32,
    /// The longest.
    pub max_s: u32,
}

impl From<Lifetimes> for LifetimeJson {
    fn from(of: Lifetimes) -> Self {
        let Lifetimes { credentials, median_s, p99_s, max_s } = of;
        Self { credentials, median_s, p99_s, max_s }
    }
}

/// Accepted uses outside the life of their credentials.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct MisuseJson {
    /// How many uses.
    pub uses: u64,
    /// Of how many credentials.
    pub credentials: u64,
    /// The longest gap. Unit: seconds.
    pub longest_s: f64,
}

impl From<Misuse> for MisuseJson {
    fn from(of: Misuse) -> Self {
        let Misuse { uses, credentials, longest_ms } = of;
        Self { uses, credentials, longest_s: seconds(longest_ms) }
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

impl ExpiryReport {
    /// The report of an audit.
    pub fn new(found: &LifetimeReport, params: &Params, reading: Reading) -> Self {
        let mut report = Self {
            events: reading.events,
            refused: reading.refused,
            unreadable: reading.unreadable,
            uses: found.uses,
            unverified: found.unverified,
            left_out: found.left_out,
            late_revocations: found.late_revocations,
            changed: reading.changed,
            skew_s: seconds(params.skew_ms),
            has_policy: params.lifetime_max_ms.iter().any(Option::is_some),
            groups: found.groups.iter().map(|group| ExpiryGroup::new(group, params)).collect(),
            breaches: found.groups.iter().flat_map(|group| breaches(group, params)).collect(),
            doubts: Vec::new(),
        };
        report.doubts = report.doubts();
        report
    }

    /// How far clocks may differ, in words.
    pub fn skew(&self) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "a duration of the configuration")]
        span((self.skew_s * 1000.0) as i64)
    }

    fn doubts(&self) -> Vec<String> {
        let doubts = [
            (self.events == 0, "there are no events, so nothing is shown"),
            (
                self.events > 0 && self.uses == 0,
                "none of the events counts as a use of its credential: say which do, by --verified 2xx, or \
                 as verified = \"2xx\" of the source (docs/events.md)",
            ),
            (
                self.late_revocations > 0,
                "some revocations came after later uses, so uses after them may be missing: name files, \
                 which can be read twice, instead of a stream",
            ),
            (
                self.left_out > 0,
                "there are more than a million credentials, so some are not counted: audit fewer files at \
                 once",
            ),
            (self.changed, "the files changed while they were read: save them first"),
        ];
        let held = doubts.into_iter().filter(|(holds, _)| *holds);
        held.map(|(_, doubt)| doubt.to_owned()).collect()
    }
}

impl ExpiryGroup {
    fn new(of: &GroupReport, params: &Params) -> Self {
        let name = of.name.as_ref();
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let reasons = of.rejections.iter();
        let most = name.and_then(|name| params.lifetime_max_ms(name.kind));
        Self {
            kind: name.map(|name| name.kind.as_str().to_owned()),
            issuer: name.and_then(|name| text(&name.issuer)),
            gateway: name.and_then(|name| text(&name.gateway)),
            uses: of.uses,
            credentials: of.credentials,
            without_end: of.endless,
            lifetime: of.lifetimes.map(LifetimeJson::from),
            lifetime_max_s: most.map(seconds),
            over_policy: of.over_policy,
            after_expiry: of.after_expiry.into(),
            before_issue: of.before_issue.into(),
            after_revocation: of.after_revocation.into(),
            rejections: reasons
                .map(|(reason, count)| {
                    (reason.map_or("other", |one| one.as_str()).to_owned(), *count)
                })
                .collect(),
        }
    }

    /// The credentials of a group, so many of them: `3 JWTs of https://id.example`.
    pub fn credentials_of(&self, count: u64) -> String {
        let kind = self.kind.as_deref().and_then(Kind::parse);
        let issuer = self.issuer.as_ref().map(|issuer| format!(" of {issuer}"));
        format!("{}{}", counted(count, kind), issuer.unwrap_or_default())
    }
}

/// So many credentials of a kind in words.
fn counted(count: u64, kind: Option<Kind>) -> String {
    let noun = match kind {
        Some(Kind::ApiKey) => "API key",
        Some(Kind::Jwt) => "JWT",
        Some(Kind::Session) => "session",
        Some(Kind::RefreshToken) => "refresh token",
        Some(Kind::AgentToken) => "agent token",
        None => "credential",
    };
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A span of time in the two largest units that it has, so that a second over an hour is seen: `45s`, `1h 1s`,
/// `2h 30min`, `90d`. Unit: milliseconds.
pub fn span(ms: i64) -> String {
    const UNITS: [(&str, i64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = ms.max(0);
    let mut parts = Vec::new();
    for (unit, length) in UNITS {
        let whole = rest / length;
        rest %= length;
        if whole > 0 && parts.len() < 2 {
            parts.push(format!("{whole}{unit}"));
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// The breaches of a group, a sentence each.
fn breaches(of: &GroupReport, params: &Params) -> Vec<String> {
    let group = ExpiryGroup::new(of, params);
    let at = group.gateway.as_deref().unwrap_or("other gateways");
    let accepted = |misuse: Misuse, border: &str, gap: &str| {
        (misuse.uses > 0).then(|| {
            let uses = if misuse.uses == 1 { "use" } else { "uses" };
            format!(
                "{at} accepted {} {uses} of {} {border}, up to {} {gap}",
                misuse.uses,
                group.credentials_of(misuse.credentials),
                span(misuse.longest_ms)
            )
        })
    };
    let over = (of.over_policy > 0).then(|| {
        let most = group.lifetime_max_s.and(of.name.as_ref());
        let most = most.and_then(|name| params.lifetime_max_ms(name.kind));
        let longest = of.lifetimes.map_or(0, |of| i64::from(of.max_s) * 1000);
        format!(
            "{at} saw {} with a lifetime over {}, up to {}",
            group.credentials_of(of.over_policy),
            most.map_or_else(
                || "policy".to_owned(),
                |most| format!("the policy of {}", span(most))
            ),
            span(longest)
        )
    });
    let all = [
        accepted(of.after_expiry, "after expiry", "after it"),
        accepted(of.after_revocation, "after revocation", "after it"),
        accepted(of.before_issue, "before issue", "before it"),
        over,
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::{counted, span};
    use crate::model::credential::Kind;

    #[test]
    fn spans_and_counts_read_as_people_write_them() {
        let spans = [0, 250, 45_000, 3_600_000, 9_000_500, 7_776_000_000, 86_460_000];
        let said = ["0s", "250ms", "45s", "1h", "2h 30min", "90d", "1d 1min"];
        assert_eq!(spans.map(span), said);
        assert_eq!(counted(1, Some(Kind::Jwt)), "1 JWT");
        assert_eq!(counted(2, Some(Kind::ApiKey)), "2 API keys");
        assert_eq!(counted(0, None), "0 credentials");
    }
}
