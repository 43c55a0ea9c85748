//! Detection: the engine's bounds and what each detector follows.

use super::values::{by_kind, kinds_of_names, one_of, real_names};
use crate::config::reader::Section;
use crate::config::units::rate_per_min;
use crate::config::value::{InvalidValue, Value};
use crate::data_plane::partition;
use crate::detect;
use crate::detect::limit::Limit;
use crate::detect::{cost, ramp};
use crate::model::credential::Kind;
use crate::model::finding::{Action, Detector, Detectors};
use crate::stats::rate::narrow;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// Parameters of partitions, but for the detectors', and how many threads own them.
pub(super) fn engine(section: Section<'_>) -> (partition::Params, usize) {
    let params = partition::Params {
        lateness_ms: section.duration_ms("lateness"),
        skew_ms_max: section.duration_ms("skew_max"),
        catch_up_ms: section.duration_ms("catch_up"),
        ..partition::Params::default()
    };
    let memory = section.size("memory");
    let threads: u32 = section.integer("threads");
    section.finish();
    let params = params.with_memory(usize::try_from(memory).unwrap_or(usize::MAX));
    (params, usize::try_from(threads).unwrap_or(2))
}

/// Parameters of the detectors, and the limits of what a tenant's credentials make together.
pub(super) fn profile(root: &Section<'_>) -> (detect::params::Params, BTreeMap<String, u32>) {
    let mut params = detect::params::Params::default();
    let limit = root.section("limits");
    if let Some(action) =
        limit.read("action", |v| one_of(v, Action::parse, &Action::ALL.map(Action::as_str)))
    {
        params.limit_action = action;
    }
    let written = limit.get("default", rate_per_min).map(Limit::written);
    params.limits.by_kind = [written.unwrap_or(Limit::BUILT_IN); Kind::ALL.len()];
    let kinds = limit.section("kind");
    for (kind, name) in by_kind(&kinds) {
        if let (Some(limit), Some(slot)) =
            (kinds.get(&name, rate_per_min), params.limits.by_kind.get_mut(kind as usize))
        {
            *slot = Limit::written(limit);
        }
    }
    kinds.finish();
    kinds_of_names(&limit.section("credential"));
    let mut sums = HashMap::new();
    for (table, limits) in [
        ("tenant_each", &mut params.limits.by_tenant),
        ("credential", &mut params.limits.by_credential),
        ("tenant_sum", &mut sums),
    ] {
        let section = limit.section(table);
        real_names(&section);
        for name in section.names() {
            if let Some(limit) = section.get(&name, rate_per_min) {
                limits.insert(name, limit);
            }
        }
    }
    limit.finish();
    burst(root.section("burst"), &mut params);
    ramp(root.section("ramp"), &mut params.ramp);
    cost(root.section("cost"), &mut params.cost);
    detectors(root.section("detectors"), &mut params);
    super::proof::proof(root, &mut params);
    (params, sums.into_iter().collect())
}

fn burst(section: Section<'_>, params: &mut detect::params::Params) {
    let burst = &mut params.burst;
    burst.gate_nats = section.number("gate_nats");
    burst.observe_ratio = narrow(section.number("observe_ratio"));
    burst.alert_ratio = section.number("alert_ratio");
    burst.throttle_ratio = section.number("throttle_ratio");
    burst.settled_ratio = section.number("settled_ratio");
    burst.suspend_ratio = section.number("suspend_ratio");
    burst.throttle_rate_per_min = f64::from(section.rate_per_min("throttle_rate"));
    params.rate_hours = section.integer("mature_hours");
    section.finish();
}

fn ramp(section: Section<'_>, params: &mut ramp::Params) {
    params.observe_ratio = section.number("observe_ratio");
    params.alert_ratio = section.number("alert_ratio");
    section.finish();
}

fn cost(section: Section<'_>, params: &mut cost::Params) {
    params.units_min = narrow(section.number("units_min"));
    params.spend_min = narrow(section.number("spend_min"));
    params.token_price = narrow(section.number("token_price"));
    section.finish();
}

fn detectors(section: Section<'_>, params: &mut detect::params::Params) {
    let read = |value: Value<'_>| {
        let mut off = Detectors::default();
        for name in value.texts()? {
            let known = Detector::parse(name).ok_or_else(|| {
                let names = Detector::ALL.map(Detector::as_str).join(", ");
                InvalidValue::new(
                    format!("unknown detector \"{name}\""),
                    format!("write some of {names}"),
                )
            })?;
            off = off.with(known, true);
        }
        Ok(off)
    };
    params.disabled = section.read("disabled", read).unwrap_or_default();
    section.finish();
}
