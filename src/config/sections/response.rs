//! Response: modes, the ladder of actions, and the safeguards.

use super::values::{by_kind, kinds_of_names, mode, number_within, real_names, within};
use crate::config::reader::{InvalidValue, Section, Value};
use crate::config::units::{bytes, duration_ms};
use crate::control_plane;
use crate::control_plane::policy::allow_list::Entry;
use crate::control_plane::policy::budget::{BUDGETED, Budgets};
use crate::model::time::EventTime;
use hashbrown::HashMap;

pub(super) fn control(root: &Section<'_>) -> control_plane::params::Params {
    let mut params = control_plane::params::Params::default();
    let section = root.section("mode");
    params.modes.default = section.get("default", mode).unwrap_or_default();
    let kinds = section.section("kind");
    for (kind, name) in by_kind(&kinds) {
        if let Some(mode) = kinds.get(&name, mode) {
            params.modes.by_kind.insert(kind, mode);
        }
    }
    kinds.finish();
    let tenants = section.section("tenant");
    real_names(&tenants);
    for name in tenants.names() {
        if let Some(mode) = tenants.get(&name, mode) {
            params.modes.by_tenant.insert(name, mode);
        }
    }
    section.finish();

    let section = root.section("actions");
    params.throttle_ms = section.get("throttle_for", duration_ms).unwrap_or(params.throttle_ms);
    params.warm_up_ms = section.get("warm_up", duration_ms).unwrap_or(params.warm_up_ms);
    params.suspend_ms = section.get("suspend_for", duration_ms).unwrap_or(params.suspend_ms);
    params.restored_ms =
        section.get("operator_restore_grace", duration_ms).unwrap_or(params.restored_ms);
    section.finish();

    let section = root.section("revocation_limit");
    let count = |v: Value<'_>| within(v, 0, 1_000_000).map(|n| u32::try_from(n).unwrap_or(0));
    let revocation_limit = &mut params.revocation_limit;
    revocation_limit.per_tenant_hour =
        section.get("per_tenant_hour", count).unwrap_or(revocation_limit.per_tenant_hour);
    revocation_limit.per_hour = section.get("per_hour", count).unwrap_or(revocation_limit.per_hour);
    revocation_limit.per_hour_share = section
        .get("per_hour_share", |v| number_within(v, 0.0, 1.0))
        .unwrap_or(revocation_limit.per_hour_share);
    let instances = section.get("instances", |v| within(v, 1, 1000));
    revocation_limit.instances =
        instances.and_then(|n| u32::try_from(n).ok()).unwrap_or(revocation_limit.instances);
    section.finish();

    let section = root.section("approval");
    let people = section.get("required_approvers", |v| within(v, 0, 5));
    let approval = &mut params.approval;
    approval.required_approvers =
        people.and_then(|n| u8::try_from(n).ok()).unwrap_or(approval.required_approvers);
    approval.timeout_ms = section.get("timeout", duration_ms).unwrap_or(approval.timeout_ms);
    section.finish();

    budget(root.section("budget"), &mut params.budgets);
    let section = root.section("common_cause");
    let common_cause = &mut params.common_cause;
    common_cause.min_ratio =
        section.get("min_ratio", |v| number_within(v, 0.0, 1.0)).unwrap_or(common_cause.min_ratio);
    common_cause.min_credentials =
        section.get("min_credentials", count).unwrap_or(common_cause.min_credentials);
    section.finish();

    let section = root.section("allow_list");
    kinds_of_names(&section.section("credential"));
    real_names(&section.section("credential"));
    real_names(&section.section("tenant"));
    params.allow_list.credentials = entries(&section.section("credential"));
    params.allow_list.tenants = entries(&section.section("tenant"));
    section.finish();
    params
}

fn budget(section: Section<'_>, budgets: &mut Budgets) {
    let allowed = |value: Value<'_>| match value.text() {
        Ok("none") => Ok(None),
        _ => number_within(value, 1e-12, 1e3).map(Some).map_err(|InvalidValue(message, _)| {
            InvalidValue::new(message, "write a number from 1e-12 to 1000, or \"none\"")
        }),
    };
    for action in BUDGETED {
        if let Some(read) = section.get(action.as_str(), allowed) {
            budgets.set(action, read);
        }
    }
    section.finish();
}

fn entries(section: &Section<'_>) -> HashMap<String, Entry> {
    let mut entries = HashMap::new();
    for name in section.names() {
        let entry = section.section(&name);
        let text = |value: Value<'_>| value.text().map(str::to_owned);
        let owner = entry.get("owner", text);
        let reason = entry.get("reason", text);
        let time = |value: Value<'_>| {
            let text = value.text()?;
            let read = crate::formats::time::rfc3339(text);
            let expires = read.ok_or_else(|| {
                InvalidValue::new("this is no time", "write \"2026-12-31T00:00:00Z\"")
            })?;
            if entry.now().is_some_and(|now| expires <= now) {
                return Err(InvalidValue::new(
                    format!("it expired on {text}"),
                    "remove it, or renew it",
                ));
            }
            Ok(expires)
        };
        let expires: Option<EventTime> = entry.get("expires", time);
        match (owner, reason) {
            (Some(owner), Some(reason)) => {
                entries.insert(name, Entry { owner, reason, expires });
            }
            _ => entry.report_missing(&["owner", "reason"]),
        }
        entry.finish();
    }
    entries
}

pub(super) fn journal(section: Section<'_>) -> u64 {
    let rotate = section.get("rotate", |value| match bytes(value)? {
        small if small < 64 * 1024 => {
            Err(InvalidValue::new("this is too small", "write 64KiB or more"))
        }
        size => Ok(size),
    });
    section.finish();
    rotate.unwrap_or(256 << 20)
}
