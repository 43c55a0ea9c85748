//! What is written as JSON is read back as it was.

use proptest::prelude::*;
use tripline::formats::api::decision::DecisionJson;
use tripline::formats::api::finding::FindingJson;
use tripline::formats::storage::journal::{Entry, Link, StoreReceipt, decode, encode};
use tripline::model::credential::{Credential, Kind};
use tripline::model::decision::{
    Decision, DecisionId, Generation, InstanceId, Mode, Order, Receipt, Safeguard, TokenAnswer,
    TokenGrant,
};
use tripline::model::finding::{
    Action, Detector, Finding, FindingId, Gate, Gates, Measure, Reached,
};
use tripline::model::time::EventTime;

fn time() -> impl Strategy<Value = EventTime> {
    (EventTime::MIN.ms()..EventTime::MAX.ms()).prop_map(EventTime::from_ms)
}

fn credential() -> impl Strategy<Value = Credential> {
    (prop::sample::select(Kind::ALL.to_vec()), "[^\\p{Cc}]{1,40}").prop_map(|(kind, id)| {
        Credential::new(kind, &id).unwrap_or_else(|_| Credential::new(kind, "k").expect("valid"))
    })
}

fn measures() -> impl Strategy<Value = Vec<Measure>> {
    prop::collection::btree_map("[a-z_]{1,12}", -1e12_f64..1e12, 0..5).prop_map(|map| {
        map.into_iter().map(|(name, value)| Measure { name: name.into(), value }).collect()
    })
}

fn finding() -> impl Strategy<Value = Finding> {
    let detectors = prop::sample::select(Detector::ALL.to_vec());
    let actions = prop::sample::select(Action::ALL.to_vec());
    let ends = (prop::option::of(time()), prop::option::of(time()));
    let whose = (credential(), prop::option::of("[^\\p{Cc}]{1,40}"));
    (whose, detectors, actions, time(), time(), ends, ".{0,60}", measures()).prop_map(
        |(whose, detector, action, opened, updated, (closed, expires), summary, evidence)| {
            let (credential, tenant) = whose;
            let is_placed = closed.is_some();
            let mut reached = Reached::default();
            reached.record(action, opened);
            Finding {
                id: FindingId::of(&credential, detector, opened),
                tenant: tenant.map(Into::into),
                credential,
                detector,
                action,
                opened,
                reached,
                gates: Gates::NONE.with(Gate::Context, action > Action::Throttle),
                updated,
                closed,
                evidence_nats: 21.5,
                summary,
                evidence,
                place: is_placed.then(|| "https://example.com/leak".into()),
                expires,
            }
        },
    )
}

fn decision() -> impl Strategy<Value = Decision> {
    let orders = prop::sample::select(Order::ALL.to_vec());
    let modes = prop::sample::select(Mode::ALL.to_vec());
    let held = prop::collection::vec(prop::sample::select(Safeguard::ALL.to_vec()), 0..3);
    let ends = (prop::option::of(time()), prop::option::of(time()));
    (finding(), orders, modes, held, any::<u32>(), time(), ends).prop_map(
        |(finding, order, mode, held_by, generation, at, (until, expires))| {
            let generation = Generation(u64::from(generation));
            Decision {
                id: DecisionId::of(&finding.credential, generation, at, (Some(finding.id), order)),
                finding: Some(finding.id),
                credential: finding.credential,
                tenant: finding.tenant,
                generation,
                base: Generation(generation.0 / 2),
                origin: generation.0.is_multiple_of(3).then_some(InstanceId(generation.0)),
                wanted: finding.action,
                order,
                mode,
                carried_out: generation.0.is_multiple_of(2),
                held_by,
                until,
                at,
                expires,
                by: "ada \"the\" admin".into(),
                reason: finding.summary,
                evidence: finding.evidence,
            }
        },
    )
}

proptest! {
    #[test]
    fn findings_come_back_as_they_were(finding in finding()) {
        let text = serde_json::to_string(&FindingJson(finding.clone())).expect("writes");
        let read: FindingJson = serde_json::from_str(&text).expect("reads");
        prop_assert_eq!(read.0, finding);
    }

    #[test]
    fn decisions_come_back_as_they_were(decision in decision()) {
        let text = serde_json::to_string(&DecisionJson(decision.clone())).expect("writes");
        let read: DecisionJson = serde_json::from_str(&text).expect("reads");
        prop_assert_eq!(read.0, decision);
    }

    #[test]
    fn a_line_of_the_journal_comes_back_and_any_changed_byte_is_noticed(
        decision in decision(), at in any::<prop::sample::Index>(), bit in 0_u32..7
    ) {
        let entry = Entry::Decision(Box::new(decision));
        let (line, next) = encode(&entry, 7, &Link::first());
        prop_assert!(!line.contains('\n'));
        let (read, link) = decode(&line, 7, &Link::first()).expect("whole");
        prop_assert_eq!(&read, &entry);
        prop_assert_eq!(link, next);
        prop_assert!(decode(&line, 8, &Link::first()).is_err());
        let mut bytes = line.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(decode(&changed, 7, &Link::first()).is_err(), "{}", changed);
        }
    }
}

#[test]
fn the_names_are_those_of_the_contract() {
    let credential = Credential::new(Kind::Jwt, "j1").expect("valid");
    let opened = EventTime::from_ms(1_795_460_040_123);
    let mut reached = Reached::default();
    reached.record(Action::Alert, opened);
    let finding = Finding {
        id: FindingId::of(&credential, Detector::Burst, opened),
        credential,
        tenant: None,
        detector: Detector::Burst,
        action: Action::Alert,
        opened,
        reached,
        gates: Gates::NONE.with(Gate::Rate, true),
        updated: opened,
        closed: None,
        evidence_nats: 21.5,
        summary: "made 10 requests".to_owned(),
        evidence: vec![Measure::new("count", 10.0)],
        place: None,
        expires: None,
    };
    let id = finding.id;
    let written = serde_json::to_value(FindingJson(finding)).expect("writes");
    let expected = serde_json::json!({
        "id": id.to_string(), "credential": "j1", "kind": "jwt", "tenant": null,
        "detector": "burst", "action": "alert", "opened": "2026-11-23T18:54:00.123Z",
        "reached": { "observe": "2026-11-23T18:54:00.123Z", "alert": "2026-11-23T18:54:00.123Z" },
        "gates": ["rate"],
        "updated": "2026-11-23T18:54:00.123Z", "closed": null, "evidence_nats": 21.5,
        "summary": "made 10 requests", "evidence": { "count": 10.0 }
    });
    assert_eq!(written, expected);
}

#[test]
fn receipts_come_back_as_they_were() {
    for receipt in Receipt::ALL {
        let credential = Credential::new(Kind::ApiKey, "k").expect("valid");
        let at = EventTime::from_ms(1_795_460_040_123);
        let decision = DecisionId::of(&credential, Generation(3), at, (None, Order::Restore));
        let entry =
            Entry::Receipt(StoreReceipt { decision, store: "redis".to_owned(), receipt, at });
        let (line, _) = encode(&entry, 1, &Link::first());
        assert_eq!(decode(&line, 1, &Link::first()).expect("whole").0, entry);
    }
}

#[test]
fn answers_for_tokens_come_back_as_they_were() {
    let credential = Credential::new(Kind::ApiKey, "k").expect("valid");
    let at = EventTime::from_ms(1_795_460_040_123);
    let finding = FindingId::of(&credential, Detector::Burst, at);
    for grant in [TokenGrant::Granted, TokenGrant::Refused, TokenGrant::Unanswered] {
        let entry = Entry::Token(TokenAnswer { finding, grant, at });
        let (line, _) = encode(&entry, 1, &Link::first());
        assert_eq!(decode(&line, 1, &Link::first()).expect("whole").0, entry);
    }
}
