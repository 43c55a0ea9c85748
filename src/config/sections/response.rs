//! Response: modes, the ladder of actions, and the safeguards.

use super::values::{by_kind, kinds_of_names, mode, real_names};
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::control_plane;
use crate::control_plane::policy::allow_list::Entry;
use crate::control_plane::policy::budget::BUDGETED;
use crate::model::time::EventTime;
use hashbrown::HashMap;

pub(super) fn control(root: &Section<'_>) -> control_plane::params::Params {
    let mut params = control_plane::params::Params::default();
    let section = root.section("mode");
    params.modes.default = section.read("default", mode).unwrap_or_default();
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
    params.throttle_ms = section.duration_ms("throttle_for");
    params.warm_up_ms = section.duration_ms("warm_up");
    params.suspend_ms = section.duration_ms("suspend_for");
    params.restored_ms = section.duration_ms("operator_restore_grace");
    section.finish();
    let section = root.section("revocation_limit");
    params.revocation_limit.per_tenant_hour = section.integer("per_tenant_hour");
    params.revocation_limit.per_hour = section.integer("per_hour");
    params.revocation_limit.per_hour_share = section.number("per_hour_share");
    params.revocation_limit.instances = section.integer("instances");
    section.finish();
    let section = root.section("approval");
    params.approval.required_approvers = section.integer("required_approvers");
    params.approval.timeout_ms = section.duration_ms("timeout");
    section.finish();
    let section = root.section("budget");
    for action in BUDGETED {
        params.budgets.set(action, section.number_or_none(action.as_str()));
    }
    section.finish();
    let section = root.section("common_cause");
    params.common_cause.min_ratio = section.number("min_ratio");
    params.common_cause.min_credentials = section.integer("min_credentials");
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
                InvalidValue::new("invalid time", "write \"2026-12-31T00:00:00Z\"")
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
    let rotate = section.size("rotate");
    section.finish();
    rotate
}
