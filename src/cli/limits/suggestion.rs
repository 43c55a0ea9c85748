//! Which limits suit a history.
//!
//! A credential's level is what 99.9 % of the minutes in which it was used do not exceed. The limit of
//! a kind or tenant is the highest level of its credentials, times the headroom, rounded up to two
//! digits. Credentials whose level stands out, by at least `STANDS_OUT` above the next, get limits of
//! their own, so that one loud credential does not loosen the limit of all.

use super::history::Credential;
use crate::detect::limit::{Limit, Limits};
use crate::model::credential::Kind;
use crate::sim::random::whole;
use serde::Serialize;
use std::collections::BTreeMap;

/// The share of a credential's minutes that its level covers.
const SHARE: f64 = 0.999;
/// The least limit. Unit: requests per minute. Chosen: a sixth of it within 10 s warns already.
const LIMIT_MIN: f64 = 60.0;
/// From this ratio to the next level on a level stands out. Chosen.
const STANDS_OUT: f64 = 4.0;
/// Credentials of a kind that may stand out.
const OUTSTANDING_MAX: usize = 10;
/// The least minutes of use of a tenant with a limit of its own. Chosen.
const TENANT_MINUTES_MIN: u64 = 1_000;
/// Tenants with limits of their own, those of most requests. Chosen.
const TENANTS_MAX: usize = 50;
/// The flood. Unit: requests per minute.
pub const FLOOD_PER_MIN: f64 = 10_000.0;

/// For whom a limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All credentials of a kind.
    Kind,
    /// Each credential of a tenant.
    Tenant,
    /// One credential.
    Credential,
}

impl Scope {
    /// The table of `[limits]` in a configuration.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Tenant => "tenant_each",
            Self::Credential => "credential",
        }
    }
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// For whom it holds.
    pub scope: Scope,
    /// The name of the kind or tenant; of a credential, `kind:id`.
    pub name: String,
    /// The limit. Unit: requests per minute.
    pub limit_per_min: u32,
    /// The highest level of the credentials. Unit: requests per minute.
    pub level_per_min: f64,
    /// The credentials that it holds for.
    pub credentials: u64,
    /// The minutes in which they were used, added up.
    pub used_minutes: u64,
    /// How often the history would have broken it: false alarms, if all of it was honest.
    pub broken: u64,
    /// How often a sixth of it came within 10 s, and no more: early warnings.
    pub warned: u64,
    /// The share of these credentials on which 10,000 a minute more than in their median minute
    /// would break it.
    pub flood_caught: f64,
    /// How many requests of such a flood come before it is broken; none: it catches none.
    pub flood_let_through: Option<u32>,
}

/// The credentials that one limit holds for.
#[derive(Debug, Default)]
struct Group<'a>(Vec<(f64, &'a Credential)>);

impl Group<'_> {
    fn level(&self) -> f64 {
        self.0.iter().map(|(level, _)| *level).fold(0.0, f64::max)
    }

    fn suggestion(&self, scope: Scope, name: String, limit_per_min: u32) -> Suggestion {
        let limit = f64::from(limit_per_min);
        let is_caught =
            |(_, one): &&(f64, &Credential)| one.minutes.quantile(0.5) + FLOOD_PER_MIN > limit;
        let caught = self.0.iter().filter(is_caught).count();
        Suggestion {
            scope,
            name,
            limit_per_min,
            level_per_min: self.level(),
            credentials: self.0.len() as u64,
            used_minutes: self.0.iter().map(|(_, one)| one.minutes.used()).sum(),
            broken: 0,
            warned: 0,
            flood_caught: caught as f64 / self.0.len().max(1) as f64,
            flood_let_through: (caught > 0).then_some(limit_per_min),
        }
    }
}

/// The limit of a level: with headroom, rounded up to two digits. Unit: requests per minute.
fn limit_of(level: f64, headroom: f64) -> u32 {
    let exact = (level * headroom).max(LIMIT_MIN);
    let digits = 10.0_f64.powf(exact.log10().floor() - 1.0).max(1.0);
    // The rounding error of a quotient is no reason for a higher digit.
    whole((exact / digits - 1e-9).ceil() * digits)
}

/// How many of the levels, highest first, stand out: those above the lowest wide gap.
fn outstanding(levels: &[f64]) -> usize {
    let most = OUTSTANDING_MAX.min(levels.len().saturating_sub(1) / 2);
    let gaps = levels.iter().zip(levels.iter().skip(1)).take(most);
    let is_wide = |(above, below): (&f64, &f64)| *above >= STANDS_OUT * below.max(LIMIT_MIN);
    gaps.map(is_wide).rposition(|wide| wide).map_or(0, |at| at + 1)
}

/// The limits that suit the credentials, kinds first.
pub fn suggest(credentials: &[Credential], headroom: f64) -> Vec<Suggestion> {
    let mut kinds: BTreeMap<Kind, Group<'_>> = BTreeMap::new();
    for one in credentials.iter().filter(|one| one.minutes.used() > 0) {
        kinds.entry(one.kind).or_default().0.push((one.minutes.quantile(SHARE), one));
    }
    let mut tenants: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    let mut own = Vec::new();
    let mut by_kind = BTreeMap::new();
    for (kind, group) in &mut kinds {
        group.0.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
        let levels: Vec<f64> = group.0.iter().map(|(level, _)| *level).collect();
        let rest = group.0.split_off(outstanding(&levels));
        for one in std::mem::replace(&mut group.0, rest) {
            let limit = limit_of(one.0, headroom);
            let name = format!("{}:{}", one.1.kind, one.1.id);
            own.push(Group(vec![one]).suggestion(Scope::Credential, name, limit));
        }
        by_kind.insert(*kind, limit_of(group.level(), headroom));
        for one in &group.0 {
            if let Some(tenant) = &one.1.tenant {
                tenants.entry(tenant).or_default().0.push(*one);
            }
        }
    }
    // A tenant's limit is worth a line where it is at most half of those of its credentials' kinds.
    let is_worth_it = |group: &Group<'_>| {
        let limits = group.0.iter().filter_map(|(_, one)| by_kind.get(&one.kind));
        let least = limits.min().copied().unwrap_or(0);
        let minutes: u64 = group.0.iter().map(|(_, one)| one.minutes.used()).sum();
        limit_of(group.level(), headroom) <= least / 2 && minutes >= TENANT_MINUTES_MIN
    };
    let mut worth: Vec<(&str, Group<'_>)> =
        tenants.into_iter().filter(|(_, group)| is_worth_it(group)).collect();
    let requests = |group: &Group<'_>| group.0.iter().map(|(_, one)| one.requests).sum::<u64>();
    worth.sort_by_key(|(name, group)| (std::cmp::Reverse(requests(group)), *name));
    worth.truncate(TENANTS_MAX);
    let mut found: Vec<Suggestion> = Vec::new();
    for (kind, mut group) in kinds {
        let has_own = |tenant: &str| worth.iter().any(|(name, _)| *name == tenant);
        let limit = by_kind.get(&kind).copied().unwrap_or(0);
        group.0.retain(|(_, one)| !one.tenant.as_deref().is_some_and(has_own));
        if !group.0.is_empty() {
            found.push(group.suggestion(Scope::Kind, kind.as_str().to_owned(), limit));
        }
    }
    for (name, group) in worth {
        let limit = limit_of(group.level(), headroom);
        found.push(group.suggestion(Scope::Tenant, name.to_owned(), limit));
    }
    found.extend(own);
    found
}

/// The suggested limits as an engine takes them; kinds without one have none.
pub fn limits(suggestions: &[Suggestion]) -> Limits {
    let mut limits = Limits::default();
    limits.by_kind.fill(Limit::NONE);
    for one in suggestions {
        let (name, limit) = (one.name.clone(), one.limit_per_min);
        match one.scope {
            Scope::Kind => {
                let slot =
                    Kind::parse(&name).and_then(|kind| limits.by_kind.get_mut(kind as usize));
                if let Some(slot) = slot {
                    *slot = Limit::written(limit);
                }
            }
            Scope::Tenant => {
                limits.by_tenant.insert(name, limit);
            }
            Scope::Credential => {
                limits.by_credential.insert(name, limit);
            }
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::{Scope, Suggestion, limit_of, suggest};
    use crate::cli::limits::history::{Credential, History};
    use crate::model::event::AuthEvent;
    use crate::model::time::EventTime;
    use std::borrow::Cow;

    /// Credentials of a tenant each with that many requests in each of 600 minutes.
    fn history(rates: &[(&str, &str, u32)]) -> Vec<Credential> {
        let mut history = History::new(false);
        for (id, tenant, rate) in rates {
            for n in 0..rate * 600 {
                let ms = i64::from(n) * 60_000 / i64::from(*rate);
                let time = EventTime::from_ms(1_736_121_600_000 + ms);
                let mut event = AuthEvent::new(time, Cow::Borrowed(id));
                event.tenant = Some(Cow::Borrowed(tenant));
                event.verified = true;
                history.add(&event);
            }
        }
        history.finish().0
    }

    fn lines(suggestions: &[Suggestion]) -> Vec<(Scope, &str, u32, u64)> {
        let line = |one: &'_ Suggestion| (one.scope, one.limit_per_min, one.credentials);
        let all = suggestions.iter().map(|one| (line(one), one.name.as_str()));
        all.map(|((scope, limit, credentials), name)| (scope, name, limit, credentials)).collect()
    }

    #[test]
    fn a_kinds_limit_covers_its_credentials_and_quieter_tenants_have_lower_ones() {
        let credentials = history(&[
            ("a", "acme", 200),
            ("b", "acme", 64),
            ("c", "bloom", 64),
            ("d", "bloom", 32),
        ]);
        let found = suggest(&credentials, 2.0);
        assert_eq!(
            lines(&found),
            [(Scope::Kind, "api_key", 440, 2), (Scope::Tenant, "bloom", 130, 2)]
        );
        assert_eq!((found[0].flood_caught, found[0].flood_let_through), (1.0, Some(440)));
        assert_eq!(found[0].used_minutes, 1_200);
    }

    #[test]
    fn a_loud_credential_has_a_limit_of_its_own_and_loosens_no_other() {
        let credentials = history(&[
            ("loud", "acme", 1_024),
            ("a", "acme", 64),
            ("b", "acme", 64),
            ("c", "acme", 32),
        ]);
        assert_eq!(
            lines(&suggest(&credentials, 2.0)),
            [(Scope::Kind, "api_key", 130, 3), (Scope::Credential, "api_key:loud", 2_100, 1)]
        );
        // Two credentials alone say nothing of what is usual.
        let two = history(&[("loud", "acme", 1_024), ("a", "acme", 64)]);
        assert_eq!(suggest(&two, 2.0)[0].scope, Scope::Kind);
    }

    #[test]
    fn limits_have_two_digits_and_are_not_below_a_request_a_second() {
        let limits = [(3.0, 60), (50.0, 100), (60.0, 120), (617.0, 1_300), (5_000.0, 10_000)];
        for (level, limit) in limits {
            assert_eq!(limit_of(level, 2.0), limit, "{level}");
        }
    }

    #[test]
    fn a_limit_far_above_the_flood_catches_none_of_it() {
        let credentials = history(&[("a", "acme", 8_192)]);
        let found = suggest(&credentials, 3.0);
        assert_eq!((found[0].limit_per_min, found[0].flood_caught), (25_000, 0.0));
        assert_eq!(found[0].flood_let_through, None);
    }
}
