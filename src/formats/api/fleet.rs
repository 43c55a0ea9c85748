//! The answers of several instances as one.
//!
//! Lists go by what each instance alone knows: of one that several know, whichever knows more holds. The
//! enforcement state is that of the instance that was asked, as all follow the same.

use super::finding::FindingJson;
use super::profile::CredentialJson;
use super::status::{IssueJson, SourceJson, StatusJson, StoreJson};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use serde_json::Value;
use std::cmp::Reverse;

/// The window by which credentials are compared. Unit: seconds.
const WINDOW_S: u32 = 60;

impl CredentialJson {
    /// How much of its use an instance knows: requests of the last minute, and when it was last seen.
    fn use_known(&self) -> (u32, Option<&str>) {
        let window = self.windows.iter().find(|one| one.window_s == WINDOW_S);
        (window.map_or(0, |one| one.count), self.last_seen.as_deref())
    }

    fn is_out_of_service(&self) -> bool {
        self.status != "active"
    }

    /// The same with what another instance knows of its use, should that be more.
    fn with_use_of(mut self, other: Self) -> Self {
        let mut open_findings = std::mem::take(&mut self.open_findings);
        let news = other.open_findings.iter().filter(|id| !open_findings.contains(id)).cloned();
        open_findings.extend(news.collect::<Vec<_>>());
        if other.use_known() <= self.use_known() {
            return Self { open_findings, ..self };
        }
        Self {
            tenant: other.tenant.or(self.tenant),
            first_seen: other.first_seen,
            last_seen: other.last_seen,
            limit_per_min: other.limit_per_min,
            limit_is_written: other.limit_is_written,
            windows: other.windows,
            per_second: other.per_second,
            open_findings,
            ..self
        }
    }
}

/// One credential, as `own` and the others know it; none: no instance does.
pub fn one_credential(
    own: Option<CredentialJson>,
    others: impl IntoIterator<Item = CredentialJson>,
) -> Option<CredentialJson> {
    own.into_iter().chain(others).reduce(CredentialJson::with_use_of)
}

/// Credentials: those out of service first, then the busiest. `by_time`: the newest first instead.
pub fn credentials(
    answers: impl IntoIterator<Item = Vec<CredentialJson>>,
    by_time: bool,
    most: usize,
) -> Vec<CredentialJson> {
    let mut merged = distinct(
        answers.into_iter().flatten(),
        |one| (one.kind.clone(), one.credential.clone()),
        CredentialJson::with_use_of,
    );
    if by_time {
        merged.sort_by(|one, other| other.last_seen.cmp(&one.last_seen));
    } else {
        merged.sort_by_key(|one| {
            let requests = if one.is_out_of_service() { 0 } else { one.use_known().0 };
            (!one.is_out_of_service(), Reverse(requests))
        });
    }
    merged.truncate(most);
    merged
}

/// Findings, the newest first; `only_open`: the most severe first. After a partition has moved, two instances may
/// know one: whichever changed last holds, and one that has closed does not open again.
pub fn findings(
    answers: impl IntoIterator<Item = Vec<FindingJson>>,
    only_open: bool,
    most: usize,
) -> Vec<FindingJson> {
    let later = |one: FindingJson, other: FindingJson| {
        let rank = |FindingJson(one): &FindingJson| (one.updated, one.closed.is_some());
        if rank(&other) > rank(&one) { other } else { one }
    };
    let mut merged = distinct(answers.into_iter().flatten(), |FindingJson(one)| one.id, later);
    if only_open {
        merged.sort_by_key(|FindingJson(one)| Reverse((one.action, one.opened)));
    } else {
        merged.sort_by_key(|FindingJson(one)| Reverse(one.opened));
    }
    merged.truncate(most);
    merged
}

/// Decisions, the newest first. Whichever instance made one knows how far all stores are with it.
pub fn decisions(answers: impl IntoIterator<Item = Vec<Value>>, most: usize) -> Vec<Value> {
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
    let of_maker = |one: Value, other: Value| {
        let is_followed = |one: &Value| one.get("origin").is_some_and(|origin| !origin.is_null());
        if is_followed(&one) && !is_followed(&other) { other } else { one }
    };
    let mut merged = distinct(answers.into_iter().flatten(), |one| text(one, "id"), of_maker);
    merged.sort_by_key(|one| Reverse(text(one, "at")));
    merged.truncate(most);
    merged
}

/// Revocations that wait for people, the most urgent first. All instances count the votes of all; where one has
/// not heard of a vote yet, another has.
pub fn approvals(answers: impl IntoIterator<Item = Vec<Value>>) -> Vec<Value> {
    let id = |one: &Value| one.pointer("/decision/id").and_then(Value::as_str).map(str::to_owned);
    let missing = |one: &Value| one.get("missing").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let agreed = |one: Value, other: Value| {
        if missing(&other) < missing(&one) { other } else { one }
    };
    let mut merged = distinct(answers.into_iter().flatten(), id, agreed);
    merged.sort_by_key(|one| one.get("until").and_then(Value::as_str).map(str::to_owned));
    merged
}

/// Each of a list once, in the order of the first; two with one key become one by `merge`.
fn distinct<T, K: std::hash::Hash + Eq>(
    all: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
    merge: impl Fn(T, T) -> T,
) -> Vec<T> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut merged: Vec<Option<T>> = Vec::new();
    for one in all {
        match places.entry(key(&one)) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(Some(one));
            }
            Entry::Occupied(place) => {
                if let Some(slot) = merged.get_mut(*place.get()) {
                    *slot = slot.take().map(|first| merge(first, one));
                }
            }
        }
    }
    merged.into_iter().flatten().collect()
}

impl StatusJson {
    /// Names the instance that its issues are of.
    #[must_use]
    pub fn of_instance(mut self, name: &str) -> Self {
        for issue in &mut self.issues {
            issue.instances = vec![name.to_owned()];
        }
        self
    }

    /// Adds how another instance is. Counts add up; of all instances together are, as this one knows them: the
    /// mode, the journal, and whatever Redis holds.
    pub fn add(&mut self, other: Self) {
        let Self { events, events_refused, queue_full, credentials, .. } = other;
        add(&mut self.events, events);
        add(&mut self.events_refused, events_refused);
        add(&mut self.queue_full, queue_full);
        add(&mut self.credentials, credentials);
        add(&mut self.memory_bytes, other.memory_bytes);
        add(&mut self.memory_bytes_max, other.memory_bytes_max);
        add(&mut self.open_incidents, other.open_incidents);
        add(&mut self.held, other.held);
        add(&mut self.event_log_bytes, other.event_log_bytes);
        for (order, count) in other.decisions {
            add(self.decisions.entry(order).or_default(), count);
        }
        self.started = std::mem::take(&mut self.started).max(other.started);
        self.journal.writable &= other.journal.writable;
        self.kafka = match (self.kafka, other.kafka) {
            (Some(mut one), Some(more)) => {
                add(&mut one.partitions, more.partitions);
                add(&mut one.lag, more.lag);
                one.up &= more.up;
                Some(one)
            }
            (one, more) => one.or(more),
        };
        self.checkpoint = match (self.checkpoint.take(), other.checkpoint) {
            (Some(one), Some(more)) => Some(one.min(more)),
            (one, more) => one.or(more),
        };
        for source in other.sources {
            add_source(&mut self.sources, source);
        }
        for store in other.stores {
            add_store(&mut self.stores, store);
        }
        for issue in other.issues {
            add_issue(&mut self.issues, issue);
        }
        self.issues.sort_by_key(|one| (!one.critical, one.part));
    }
}

/// An instance may say anything.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn add_source(all: &mut Vec<SourceJson>, more: SourceJson) {
    let Some(one) = all.iter_mut().find(|one| one.name == more.name) else {
        return all.push(more);
    };
    add(&mut one.events, more.events);
    add(&mut one.refused, more.refused);
    add(&mut one.without_credential, more.without_credential);
    add(&mut one.read_errors, more.read_errors);
    one.last_event = one.last_event.take().max(more.last_event);
}

fn add_store(all: &mut Vec<StoreJson>, more: StoreJson) {
    let Some(one) = all.iter_mut().find(|one| one.name == more.name) else {
        return all.push(more);
    };
    add(&mut one.waiting, more.waiting);
    one.up &= more.up;
    one.fault = one.fault.take().or(more.fault);
}

/// Two instances with one issue are one issue.
fn add_issue(all: &mut Vec<IssueJson>, more: IssueJson) {
    let same = |one: &&mut IssueJson| {
        let IssueJson { part, store, source, critical, found, runbook, instances: _ } = &more;
        (&one.part, &one.store, &one.source) == (part, store, source)
            && (&one.critical, &one.found, &one.runbook) == (critical, found, runbook)
    };
    match all.iter_mut().find(same) {
        Some(one) => one.instances.extend(more.instances),
        None => all.push(more),
    }
}

#[cfg(test)]
mod tests {
    use super::{approvals, credentials, decisions, findings, one_credential};
    use crate::formats::api::finding::FindingJson;
    use crate::formats::api::profile::CredentialJson;
    use crate::formats::api::status::{IssueJson, Part, StatusJson};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn credential(id: &str, status: &str, requests: u32) -> CredentialJson {
        let seen = (requests > 0).then(|| format!("2026-12-01T00:00:{:02}.000Z", requests % 60));
        let windows = if requests == 0 {
            json!([])
        } else {
            json!([{ "window_s": 60, "count": requests, "expected": 1.0, "peak": 2.0 }])
        };
        serde_json::from_value(json!({
            "credential": id, "kind": "api_key", "tenant": null, "status": status, "until": null,
            "generation": u8::from(status != "active"), "by": null, "reason": null, "finding": null,
            "first_seen": seen, "last_seen": seen, "limit_per_min": null, "limit_is_written": null,
            "windows": windows, "per_second": [], "open_findings": [],
        }))
        .expect("a credential")
    }

    fn names(list: &[CredentialJson]) -> Vec<&str> {
        list.iter().map(|one| one.credential.as_str()).collect()
    }

    #[test]
    fn those_out_of_service_come_first_with_the_use_that_their_owner_knows() {
        let own = vec![credential("gone", "revoked", 0), credential("a", "active", 5)];
        let owner = vec![
            credential("gone", "revoked", 0),
            credential("b", "active", 50),
            credential("gone", "active", 40),
        ];
        let merged = credentials([own, owner], false, 10);
        assert_eq!(names(&merged), ["gone", "b", "a"]);
        assert_eq!((merged[0].status.as_str(), merged[0].windows[0].count), ("revoked", 40));
        assert_eq!(names(&credentials([merged], true, 2)), ["b", "gone"]);
    }

    #[test]
    fn a_credential_is_that_of_the_instance_that_knows_most_of_it() {
        assert_eq!(one_credential(None, []).map(|_| ()), None);
        let found =
            one_credential(Some(credential("k", "revoked", 0)), [credential("k", "active", 9)]);
        let found = found.expect("known");
        assert_eq!((found.status.as_str(), found.windows[0].count), ("revoked", 9));
    }

    proptest! {
        /// Each credential belongs to one instance, as with a topic that is keyed.
        #[test]
        fn three_instances_answer_as_one_that_knows_all(
            known in prop::collection::btree_map("[a-z]{1,3}", (1_u32..1000, 0_usize..3), 0..40),
            most in 1_usize..20,
        ) {
            let of = |instance: usize| -> Vec<CredentialJson> {
                let own = known.iter().filter(|(_, (_, owner))| *owner == instance);
                own.map(|(id, (requests, _))| credential(id, "active", *requests)).collect()
            };
            let merged = credentials([of(0), of(1), of(2)], false, most);
            let mut oracle: Vec<u32> = known.values().map(|(requests, _)| *requests).collect();
            oracle.sort_unstable_by(|one, other| other.cmp(one));
            oracle.truncate(most);
            let counts: Vec<u32> = merged.iter().map(|one| one.windows[0].count).collect();
            prop_assert_eq!(counts, oracle);
        }
    }

    fn finding(id: &str, action: &str, updated: &str, closed: Option<&str>) -> FindingJson {
        serde_json::from_value(json!({
            "id": id, "credential": "k", "kind": "api_key", "tenant": null, "detector": "burst",
            "action": action, "opened": "2026-12-01T00:00:00.000Z", "reached": {}, "gates": [],
            "updated": updated, "closed": closed, "evidence_nats": 1.0, "summary": "s", "evidence": {},
        }))
        .expect("a finding")
    }

    #[test]
    fn a_finding_that_closed_at_the_new_owner_of_its_partition_is_closed() {
        let (t1, t2) = ("2026-12-01T00:00:01.000Z", "2026-12-01T00:00:02.000Z");
        let stale = finding("f_0000000000000001", "alert", t1, None);
        let closed = finding("f_0000000000000001", "alert", t2, Some(t2));
        let other = finding("f_0000000000000002", "revoke", t1, None);
        for answers in [
            [vec![stale.clone()], vec![closed.clone(), other.clone()]],
            [vec![closed.clone(), other.clone()], vec![stale]],
        ] {
            let merged = findings(answers, true, 10);
            assert_eq!(merged, [other.clone(), closed.clone()]);
        }
    }

    #[test]
    fn a_decision_comes_with_the_receipts_that_its_maker_has() {
        let made = json!({ "id": "d_1", "at": "2", "stores": { "redis": "applied" } });
        let followed = json!({ "id": "d_1", "at": "2", "origin": "00", "stores": {} });
        let newer = json!({ "id": "d_2", "at": "3" });
        let merged = decisions([vec![followed], vec![newer.clone(), made.clone()]], 10);
        assert_eq!(merged, [newer, made]);
    }

    #[test]
    fn an_approval_is_that_of_the_instance_which_heard_most_votes() {
        let of = |id: &str, missing: u8, until: &str| json!({ "decision": { "id": id }, "missing": missing, "until": until });
        let merged =
            approvals([vec![of("d_1", 2, "9"), of("d_2", 1, "3")], vec![of("d_1", 1, "9")]]);
        let shown: Vec<&Value> = merged.iter().collect();
        assert_eq!(shown, [&of("d_2", 1, "3"), &of("d_1", 1, "9")]);
    }

    fn status(events: u64, found: &str) -> StatusJson {
        let issue = IssueJson {
            part: Part::Memory,
            store: None,
            source: None,
            critical: false,
            found: found.to_owned(),
            runbook: "memory-full".to_owned(),
            instances: Vec::new(),
        };
        StatusJson {
            issues: vec![issue],
            events,
            decisions: BTreeMap::from([("alert".to_owned(), events)]),
            ..StatusJson::default()
        }
    }

    #[test]
    fn counts_add_up_and_one_issue_of_two_instances_is_one() {
        let mut all = status(3, "full").of_instance("a");
        all.add(status(4, "full").of_instance("b"));
        all.add(status(5, "fuller").of_instance("c"));
        assert_eq!((all.events, all.decisions.get("alert")), (12, Some(&12)));
        let issues = all.issues.iter().map(|one| (one.found.as_str(), one.instances.join(",")));
        let issues: Vec<_> = issues.collect();
        assert_eq!(issues, [("full", "a,b".to_owned()), ("fuller", "c".to_owned())]);
    }
}
