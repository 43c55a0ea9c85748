//! Detection: the engine's bounds and what each detector follows.

use super::values::{by_kind, kinds_of_names, number_within, one_of, real_names, within};
use crate::config::reader::{InvalidValue, Section, Value};
use crate::config::units::{bytes, duration_ms, rate_per_min};
use crate::data_plane::partition;
use crate::data_plane::partition::SKEW_MS_MAX;
use crate::detect;
use crate::detect::ramp;
use crate::model::credential::Kind;
use crate::model::finding::{Action, Detector, Detectors};
use hashbrown::HashMap;
use std::collections::BTreeMap;

pub(super) fn engine(section: Section<'_>) -> partition::Params {
    let default = partition::Params::default();
    let memory = section.get("memory", |value| match bytes(value)? {
        small if small < 16 << 20 => {
            Err(InvalidValue::new("this is too little", "write 16MiB or more"))
        }
        size => Ok(size),
    });
    let skew = |value: Value<'_>| match duration_ms(value)? {
        ms if ms > SKEW_MS_MAX => Err(InvalidValue::new(
            "this is too much: windows keep the seconds of a minute",
            "write 60s or less, and set the clocks of senders",
        )),
        ms => Ok(ms),
    };
    let params = partition::Params {
        lateness_ms: section.get("lateness", duration_ms).unwrap_or(default.lateness_ms),
        skew_ms_max: section.get("skew_max", skew).unwrap_or(default.skew_ms_max),
        catch_up_ms: section.get("catch_up", duration_ms).unwrap_or(default.catch_up_ms),
        ..default
    };
    section.finish();
    match memory.and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(bytes) => params.with_memory(bytes),
        None => params,
    }
}

/// Parameters of the detectors, and the limits of what a tenant's credentials make together.
pub(super) fn profile(root: &Section<'_>) -> (detect::params::Params, BTreeMap<String, u32>) {
    let mut params = detect::params::Params::default();
    let limit = root.section("limits");
    if let Some(action) =
        limit.get("action", |v| one_of(v, Action::parse, &Action::ALL.map(Action::as_str)))
    {
        params.limit_action = action;
    }
    if let Some(limit) = limit.get("default", rate_per_min) {
        params.limits.by_kind = [limit; Kind::ALL.len()];
    }
    let kinds = limit.section("kind");
    for (kind, name) in by_kind(&kinds) {
        if let (Some(limit), Some(slot)) =
            (kinds.get(&name, rate_per_min), params.limits.by_kind.get_mut(kind as usize))
        {
            *slot = limit;
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
    detectors(root.section("detectors"), &mut params);
    (params, sums.into_iter().collect())
}

fn burst(section: Section<'_>, params: &mut detect::params::Params) {
    let burst = &mut params.burst;
    let ratio = |v: Value<'_>| number_within(v, 1.0, 1e6);
    if let Some(nats) = section.get("gate_nats", |v| number_within(v, 1.0, 1000.0)) {
        burst.gate_nats = nats;
    }
    if let Some(read) = section.get("observe_ratio", ratio) {
        burst.observe_ratio = crate::stats::rate::narrow(read);
    }
    if let Some(read) = section.get("alert_ratio", ratio) {
        burst.alert_ratio = read;
    }
    if let Some(read) = section.get("throttle_ratio", ratio) {
        burst.throttle_ratio = read;
    }
    if let Some(read) = section.get("suspend_ratio", ratio) {
        burst.suspend_ratio = read;
    }
    if let Some(rate) = section.get("throttle_rate", rate_per_min) {
        burst.throttle_rate_per_min = f64::from(rate);
    }
    if let Some(hours) = section.get("mature_hours", |v| within(v, 1, 255)) {
        params.rate_hours = u8::try_from(hours).unwrap_or(u8::MAX);
    }
    section.finish();
}

fn ramp(section: Section<'_>, params: &mut ramp::Params) {
    if let Some(ratio) = section.get("observe_ratio", |v| number_within(v, 1.0, 1e6)) {
        params.observe_ratio = ratio;
    }
    let alert = |value: Value<'_>| match value.text() {
        Ok("none") => Ok(f64::INFINITY),
        _ => number_within(value, 1.0, 1e6),
    };
    if let Some(ratio) = section.get("alert_ratio", alert) {
        params.alert_ratio = ratio;
    }
    section.finish();
}

fn detectors(section: Section<'_>, params: &mut detect::params::Params) {
    let read = |value: Value<'_>| {
        let mut off = Detectors::default();
        for name in value.texts()? {
            let known = Detector::parse(name).ok_or_else(|| {
                let names = Detector::ALL.map(Detector::as_str).join(", ");
                InvalidValue::new(
                    format!("\"{name}\" is no detector"),
                    format!("write some of {names}"),
                )
            })?;
            off = off.with(known, true);
        }
        Ok(off)
    };
    params.disabled = section.get("disabled", read).unwrap_or_default();
    section.finish();
}
