//! Summaries that instances exchange, as JSON.
//!
//! `{"active":12,"bursts":{"api_key":[[1700000000,3]]},
//! "tenants":[{"minute":28333333,"requests":900,"usual":800,"busiest":[["acme",600,90,4000]]}]}`:
//! credentials in use; by kind how many bursts opened in which second; by minute since 1970 the requests
//! of all and of a usual minute, and the same of the busiest tenants, and for how many minutes these were
//! watched. Besides its [`registration`].

use super::registration::{self, RegistrationFields};
use crate::control_plane::instance_summary::InstanceSummary;
use crate::control_plane::policy::common_cause::{BurstOnsets, Summary};
use crate::control_plane::tenant_ranking::{MINUTES_MAX, Minutes};
use crate::model::credential::{Kind, NAME_BYTES_MAX};
use crate::model::registration::Registration;
use crate::model::signal::{BUSIEST_MAX, MinuteTotals, TenantTotals};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most seconds of a kind that an instance may tell of: twice the window, and one.
const SECONDS_MAX: usize = 121;
/// The longest that one may be. Unit: bytes.
const BYTES_MAX: usize = 256 * 1024;
/// The longest that the names of a minute's tenants may be, as JSON. Unit: bytes. Chosen: names that
/// someone made up to be long as JSON must not keep the rest from being reported.
const NAMES_BYTES_MAX: usize = 12 * 1024;

/// A tenant, its requests, how many are usual, and for how many minutes it was watched.
type TenantRow = (String, u64, u64, u32);

#[derive(Serialize, Deserialize)]
struct SummaryFields {
    active: u64,
    bursts: BTreeMap<String, Vec<(i64, u32)>>,
    /// A list of [`WrittenMinute`]. Older instances don't report them, and newer ones may do otherwise:
    /// that must not hide the rest.
    #[serde(default)]
    tenants: serde_json::Value,
    /// A [`RegistrationFields`]: the same holds for it.
    #[serde(default)]
    registration: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct WrittenMinute {
    minute: u32,
    requests: u64,
    usual: u64,
    busiest: Vec<TenantRow>,
}

/// Writes a summary, and whose it is.
pub fn encode(summary: &InstanceSummary, registration: &Registration) -> String {
    let bursts = Kind::ALL.into_iter().zip(&summary.fleet.bursts);
    let bursts = bursts.filter(|(_, openings)| !openings.is_empty()).map(|(kind, openings)| {
        let newest = openings.iter().rev().take(SECONDS_MAX);
        (kind.as_str().to_owned(), newest.map(|(second, count)| (*second, *count)).collect())
    });
    let tenants = summary.tenants.iter().rev().take(MINUTES_MAX);
    let tenants = tenants.map(|(minute, totals)| WrittenMinute {
        minute: *minute,
        requests: totals.requests,
        usual: totals.usual,
        busiest: busiest(totals),
    });
    let tenants: Vec<WrittenMinute> = tenants.collect();
    let tenants = serde_json::to_value(tenants).unwrap_or_default();
    let fields = RegistrationFields::of(registration);
    let (active, bursts) = (summary.fleet.active, bursts.collect());
    let registration = serde_json::to_value(fields).unwrap_or_default();
    let mut written = SummaryFields { active, bursts, tenants, registration };
    let text = serde_json::to_string(&written).unwrap_or_default();
    if text.len() <= BYTES_MAX {
        return text;
    }
    // An instance that reads thousands of topics is heard at least; then no verdict on partitions is given.
    written.registration = serde_json::Value::Null;
    serde_json::to_string(&written).unwrap_or_default()
}

fn busiest(totals: &MinuteTotals) -> Vec<TenantRow> {
    let mut left = NAMES_BYTES_MAX;
    let mut told = Vec::new();
    for (tenant, of) in totals.busiest() {
        let name = serde_json::to_string(tenant.as_str()).unwrap_or_default();
        if let Some(rest) = left.checked_sub(name.len()) {
            left = rest;
            told.push((tenant.to_string(), of.requests, of.usual, of.watched_minutes));
        }
    }
    told
}

/// Reads a summary, and whose it is; none if it is none. Kinds that are not known are left out.
///
/// Who did not say who they are, or not so that it can be read, have no registration.
pub fn decode(text: &str) -> Option<(InstanceSummary, Option<Registration>)> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let mut written: SummaryFields = serde_json::from_str(text).ok()?;
    let openings = |kind: Kind| -> BurstOnsets {
        let told = written.bursts.remove(kind.as_str()).unwrap_or_default();
        told.into_iter().take(SECONDS_MAX).collect()
    };
    let bursts = Kind::ALL.map(openings);
    let told: Vec<WrittenMinute> = serde_json::from_value(written.tenants).unwrap_or_default();
    let tenants: Minutes =
        told.into_iter().take(MINUTES_MAX).map(|one| (one.minute, read(one))).collect();
    let registration: Option<RegistrationFields> =
        serde_json::from_value(written.registration).ok();
    let registration = registration.and_then(registration::read);
    let fleet = Summary { active: written.active, bursts };
    Some((InstanceSummary { fleet, tenants }, registration))
}

fn read(written: WrittenMinute) -> MinuteTotals {
    let told = written.busiest.into_iter().take(BUSIEST_MAX);
    let told = told.filter(|(tenant, ..)| tenant.len() <= NAME_BYTES_MAX);
    let of = |(tenant, requests, usual, watched_minutes): TenantRow| {
        (tenant.into(), TenantTotals { requests, usual, watched_minutes })
    };
    let (requests, usual) = (written.requests, written.usual);
    MinuteTotals { requests, usual, tenants: told.map(of).collect() }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::control_plane::instance_summary::InstanceSummary;
    use crate::model::decision::InstanceId;
    use crate::model::registration::{Registration, TopicShare};
    use crate::model::signal::{MinuteTotals, TenantTotals};

    #[test]
    fn names_that_are_made_up_to_be_long_hide_nothing_else() {
        let busy = TenantTotals { requests: 600, usual: 90, watched_minutes: 4000 };
        let mut minute = MinuteTotals { requests: 90_000, ..MinuteTotals::default() };
        for n in 0..50 {
            let long = format!("{n:02}{}", "\u{1}".repeat(254));
            minute.tenants.insert(long.into(), TenantTotals { requests: 1000, ..busy });
            minute.tenants.insert(format!("tenant_{n}").into(), busy);
        }
        let acme = TenantTotals { requests: 2000, ..busy };
        minute.tenants.insert("acme".into(), acme);
        let mut summary = InstanceSummary::default();
        summary.fleet.active = 12;
        summary.tenants = [(1, minute.clone()), (2, minute)].into();
        for openings in &mut summary.fleet.bursts {
            *openings = (0..121).map(|n| (1_700_000_000 + n, u32::MAX)).collect();
        }
        let whose = Registration::default();
        let (read, _) = decode(&encode(&summary, &whose)).expect("a summary");
        assert_eq!((read.fleet.active, &read.fleet.bursts), (12, &summary.fleet.bursts));
        assert_eq!(read.tenants[&2].tenants.get("acme"), Some(&acme));
        assert_eq!(read.tenants[&2].requests, 90_000);
    }

    #[test]
    fn a_summary_is_read_as_it_was_written_and_nonsense_is_none() {
        let mut summary = InstanceSummary::default();
        summary.fleet.active = 12;
        summary.fleet.bursts[0] = [(1_700_000_000, 3), (1_700_000_001, 1)].into();
        summary.fleet.bursts[2] = [(5, 1)].into();
        let busy = TenantTotals { requests: 600, usual: 90, watched_minutes: 4000 };
        let tenants = [("acme".into(), busy)].into();
        let minute = MinuteTotals { requests: 900, usual: 800, tenants };
        summary.tenants = [(28_333_332, MinuteTotals::default()), (28_333_333, minute)].into();
        let share =
            TopicShare { partitions: 3, owned: [(0, vec![7, u64::MAX]), (2, vec![])].into() };
        let whose = Registration {
            instance: InstanceId(0xc0_ffee),
            name: "tripline-1".to_owned(),
            url: Some("http://10.0.0.7:7878".to_owned()),
            version: "0.1.0".to_owned(),
            mode: "shadow".to_owned(),
            key: u64::MAX,
            topics: [("auth".to_owned(), share)].into(),
            lag: 12,
        };
        assert_eq!(decode(&encode(&summary, &whose)), Some((summary.clone(), Some(whose.clone()))));
        let mut huge = whose;
        for number in 0..300 {
            let owned = (0..200).map(|partition| (partition, vec![u64::MAX; 8])).collect();
            let share = TopicShare { partitions: 200, owned };
            huge.topics.insert(format!("{number:0200}"), share);
        }
        assert_eq!(decode(&encode(&summary, &huge)), Some((summary, None)), "it is heard at least");
        for text in ["", "{}", "[]", "{\"active\":-1,\"bursts\":{}}", &"x".repeat(300_000)] {
            assert_eq!(decode(text), None, "{}", text.get(..20).unwrap_or(text));
        }
        let of_older = "{\"active\":1,\"bursts\":{}}";
        assert_eq!(decode(of_older).map(|(one, _)| one.tenants.len()), Some(0));
        let of_otherwise = "{\"active\":7,\"bursts\":{},\"tenants\":[{\"minute\":1.5}]}";
        assert_eq!(
            decode(of_otherwise).map(|(one, _)| (one.fleet.active, one.tenants.len())),
            Some((7, 0))
        );
        let of_newer = "{\"active\":1,\"bursts\":{\"badge\":[[1,1]]},\"more\":1}";
        assert_eq!(decode(of_newer).map(|(one, _)| one.fleet.active), Some(1));
    }
}
