//! Response: postures, the ladder of actions, and the guardrails.

use super::values::{by_kind, kinds_of_names, number_within, posture, real_names, within};
use crate::config::reader::{Section, Value, Wrong};
use crate::config::units::{bytes, duration_ms};
use crate::control_plane;
use crate::control_plane::policy::allow_list::Entry;
use crate::control_plane::policy::budget::{BUDGETED, Budgets};
use crate::model::time::EventTime;
use hashbrown::HashMap;

pub(super) fn control(root: &Section<'_>) -> control_plane::params::Params {
    let mut params = control_plane::params::Params::default();
    let section = root.section("posture");
    params.postures.default = section.get("default", posture).unwrap_or_default();
    let kinds = section.section("kind");
    for (kind, name) in by_kind(&kinds) {
        if let Some(posture) = kinds.get(&name, posture) {
            params.postures.by_kind.insert(kind, posture);
        }
    }
    kinds.finish();
    let tenants = section.section("tenant");
    real_names(&tenants);
    for name in tenants.names() {
        if let Some(posture) = tenants.get(&name, posture) {
            params.postures.by_tenant.insert(name, posture);
        }
    }
    section.finish();

    let section = root.section("actions");
    params.throttle_ms = section.get("throttle_for", duration_ms).unwrap_or(params.throttle_ms);
    params.warm_up_ms = section.get("warm_up", duration_ms).unwrap_or(params.warm_up_ms);
    params.suspend_ms = section.get("suspend_for", duration_ms).unwrap_or(params.suspend_ms);
    params.restored_ms = section.get("restored_for", duration_ms).unwrap_or(params.restored_ms);
    section.finish();

    let section = root.section("breaker");
    let count = |v: Value<'_>| within(v, 0, 1_000_000).map(|n| u32::try_from(n).unwrap_or(0));
    let breaker = &mut params.breaker;
    breaker.per_tenant_hour =
        section.get("per_tenant_hour", count).unwrap_or(breaker.per_tenant_hour);
    breaker.per_hour = section.get("per_hour", count).unwrap_or(breaker.per_hour);
    breaker.per_hour_share = section
        .get("per_hour_share", |v| number_within(v, 0.0, 1.0))
        .unwrap_or(breaker.per_hour_share);
    let members = section.get("members", |v| within(v, 1, 1000));
    breaker.members = members.and_then(|n| u32::try_from(n).ok()).unwrap_or(breaker.members);
    section.finish();

    let section = root.section("approval");
    let people = section.get("people", |v| within(v, 0, 5));
    let approval = &mut params.approval;
    approval.people = people.and_then(|n| u8::try_from(n).ok()).unwrap_or(approval.people);
    approval.within_ms = section.get("within", duration_ms).unwrap_or(approval.within_ms);
    section.finish();

    budget(root.section("budget"), &mut params.budgets);
    let section = root.section("fleet");
    let fleet = &mut params.fleet;
    fleet.share = section.get("share", |v| number_within(v, 0.0, 1.0)).unwrap_or(fleet.share);
    fleet.credentials_min = section.get("credentials_min", count).unwrap_or(fleet.credentials_min);
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
        _ => number_within(value, 1e-12, 1e3).map(Some).map_err(|Wrong(message, _)| {
            Wrong::new(message, "write a number from 1e-12 to 1000, or \"none\"")
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
            let expires = read
                .ok_or_else(|| Wrong::new("this is no time", "write \"2026-12-31T00:00:00Z\""))?;
            if entry.now().is_some_and(|now| expires <= now) {
                return Err(Wrong::new(format!("it expired on {text}"), "remove it, or renew it"));
            }
            Ok(expires)
        };
        let expires: Option<EventTime> = entry.get("expires", time);
        match (owner, reason) {
            (Some(owner), Some(reason)) => {
                entries.insert(name, Entry { owner, reason, expires });
            }
            _ => entry.note_if_lacking(&["owner", "reason"]),
        }
        entry.finish();
    }
    entries
}

pub(super) fn journal(section: Section<'_>) -> u64 {
    let rotate = section.get("rotate", |value| match bytes(value)? {
        small if small < 64 * 1024 => Err(Wrong::new("this is too small", "write 64KiB or more")),
        size => Ok(size),
    });
    section.finish();
    rotate.unwrap_or(256 << 20)
}
