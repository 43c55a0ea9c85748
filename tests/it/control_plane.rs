//! The control plane: what becomes a decision, what holds it back, and who has the last word.

use std::sync::Arc;
use tripline::control_plane::control::Control;
use tripline::control_plane::operator::{LessSevere, VoteResult};
use tripline::control_plane::params::{Params, PersonOrder};
use tripline::control_plane::policy::allow_list::Entry;
use tripline::control_plane::policy::mode::Modes;
use tripline::model::credential::Credential;
use tripline::model::decision::{
    Decision, DecisionId, Generation, Holding, Mode, Order, Safeguard, Status, TokenAnswer,
    TokenGrant, Vote,
};
use tripline::model::finding::{Action, Detector, Finding, FindingId, Gates, Measure, Reached};
use tripline::model::signal::{Change, Exposure, Signal};
use tripline::model::time::EventTime;

const HOUR_MS: i64 = 3_600_000;

fn at(ms: i64) -> EventTime {
    EventTime::from_ms(1_700_000_000_000 + ms)
}

fn key(id: &str) -> Credential {
    Credential::parse(id).expect("valid")
}

/// A finding of a limit about that credential, as the data plane signals it.
pub fn signal(id: &str, action: Action, opened: EventTime, change: Change) -> Signal {
    let credential = key(id);
    let finding = Finding {
        id: FindingId::of(&credential, Detector::Limit, opened),
        tenant: Some(format!("tenant of {id}").into()),
        credential,
        detector: Detector::Limit,
        action,
        opened,
        reached: Reached::default(),
        gates: Gates::default(),
        updated: opened,
        closed: None,
        evidence_nats: 700.0,
        summary: "made 20,000 requests in 10 s".to_owned(),
        evidence: vec![Measure::new("count", 20_000.0)],
        place: None,
        expires: None,
    };
    Signal { finding, change, catch_up: false, again: false, seen: Exposure::default() }
}

fn control(mode: Mode) -> Control {
    let modes = Modes { default: mode, ..Modes::default() };
    Control::new(Arc::new(Params { modes, ..Params::default() }))
}

fn person(id: &str, order: Order) -> PersonOrder {
    let reason = "asked by the owner".to_owned();
    PersonOrder {
        credential: key(id),
        order,
        by: "ada".into(),
        account: "ada".into(),
        reason,
        lasts_ms: None,
        held: Status::Active,
    }
}

#[test]
fn a_finding_is_carried_out_once_however_often_it_is_updated() {
    let mut control = control(Mode::Revoke);
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    let decision = control.on_signal(&opened, at(5)).expect("decided");
    assert!(decision.carried_out);
    assert_eq!((decision.order, decision.generation.0), (Order::Act(Action::Revoke), 1));
    let updated = signal("k", Action::Revoke, at(0), Change::Updated);
    assert_eq!(control.on_signal(&updated, at(10)), None);
    let other_open_finding = signal("k", Action::Revoke, at(9), Change::Opened);
    assert_eq!(control.on_signal(&other_open_finding, at(10)), None);
}

#[test]
fn shadow_decides_without_touching_anything() {
    let mut control = control(Mode::Shadow);
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    let decision = control.on_signal(&opened, at(5)).expect("decided");
    assert!(!decision.carried_out);
    assert_eq!(decision.held_by, [Safeguard::Mode]);
    assert_eq!((decision.order, decision.generation.0), (Order::Act(Action::Revoke), 0));
    assert_eq!(control.enforcement_state(&key("k")), None);
}

#[test]
fn alerts_are_for_people_and_make_no_decision() {
    let mut control = control(Mode::Revoke);
    let opened = signal("k", Action::Alert, at(0), Change::Opened);
    assert_eq!(control.on_signal(&opened, at(5)), None);
}

#[test]
fn a_graver_finding_raises_what_stands() {
    let mut control = control(Mode::Revoke);
    let throttle = signal("k", Action::Throttle, at(0), Change::Opened);
    let revoke = signal("k", Action::Revoke, at(0), Change::Escalated);
    let first = control.on_signal(&throttle, at(0)).expect("decided");
    let second = control.on_signal(&revoke, at(1)).expect("decided");
    assert_eq!((first.generation.0, second.generation.0), (1, 2));
    assert_eq!(control.enforcement_state(&key("k")).map(|s| s.status), Some(Status::Revoked));
    assert_eq!(control.tick(at(HOUR_MS * 2)), []);
}

#[test]
fn a_throttling_ends_by_itself_and_begins_again_if_the_open_finding_goes_on() {
    let mut control = control(Mode::Revoke);
    let opened = signal("k", Action::Throttle, at(0), Change::Opened);
    let decision = control.on_signal(&opened, at(0)).expect("decided");
    assert_eq!(decision.until, Some(at(15 * 60_000)));
    assert_eq!(control.next_deadline(), decision.until);
    assert_eq!(control.tick(at(15 * 60_000 - 1)), []);
    let ended = control.tick(at(15 * 60_000));
    assert_eq!(
        ended.iter().map(|d| (d.order, d.generation.0)).collect::<Vec<_>>(),
        [(Order::Restore, 2)]
    );
    let updated = signal("k", Action::Throttle, at(0), Change::Updated);
    let again = control.on_signal(&updated, at(16 * 60_000)).expect("decided");
    assert_eq!((again.order, again.generation.0), (Order::Act(Action::Throttle), 3));
}

#[test]
fn a_person_who_restores_has_the_last_word_on_what_they_saw() {
    let mut control = control(Mode::Revoke);
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&opened, at(0)).expect("decided");
    let restored =
        control.on_person(person("k", Order::Restore), at(100)).expect("allowed").expect("stood");
    assert_eq!((restored.order, restored.generation.0), (Order::Restore, 2));
    assert_eq!(restored.by, "ada");
    let mut other_detector = signal("k", Action::Revoke, at(50), Change::Escalated);
    other_detector.finding.id = FindingId::of(&key("k"), Detector::Burst, at(50));
    assert_eq!(control.on_signal(&other_detector, at(200)), None);
    let later_open_finding = signal("k", Action::Revoke, at(300), Change::Opened);
    assert_eq!(control.on_signal(&later_open_finding, at(300)).map(|d| d.generation.0), Some(3));
}

#[test]
fn abuse_that_lasts_an_hour_after_an_operators_restore_is_judged_again() {
    let mut control = control(Mode::Revoke);
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&opened, at(0)).expect("decided");
    control.on_person(person("k", Order::Restore), at(100)).expect("allowed").expect("stood");
    let goes_on = signal("k", Action::Revoke, at(0), Change::Updated);
    assert_eq!(control.on_signal(&goes_on, at(99 + HOUR_MS)), None);
    let again = control.on_signal(&goes_on, at(100 + HOUR_MS)).expect("decided");
    assert_eq!((again.carried_out, again.generation.0), (true, 3));
}

/// What another instance decided, and a store says.
#[test]
fn a_newer_decision_of_another_instance_becomes_one_of_this_journal() {
    let mut control = control(Mode::Revoke);
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    let own = control.on_signal(&opened, at(0)).expect("decided");
    let theirs = DecisionId::of(&key("k"), Generation(2), at(50), (None, Order::Restore));
    let held = Holding {
        generation: Generation(2),
        decision: Some(theirs),
        status: Some(Status::Active),
        finding: None,
        until: None,
        provenance: None,
    };
    let Some(adopted) = control.on_held(&key("k"), &held, at(60)) else { panic!("it is followed") };
    assert_eq!((adopted.id, adopted.order, adopted.carried_out), (theirs, Order::Restore, true));
    assert_eq!(control.on_held(&key("k"), &held, at(70)), None, "once");
    assert_eq!(control.enforcement_state(&key("k")).map(|one| one.status), Some(Status::Active));
    assert_eq!(control.on_signal(&opened, at(80)), None, "it is a person's word, or was over");
    let mut after = Control::new(Arc::new(Params::default()));
    after.recover(&own, at(90));
    after.recover(&adopted, at(90));
    assert_eq!(
        after.enforcement_state(&key("k")),
        control.enforcement_state(&key("k")),
        "over a restart too"
    );
    assert_eq!(control.on_held(&key("unknown"), &held, at(90)), None);
}

#[test]
fn a_person_may_revoke_what_nobody_suspects_and_asking_twice_changes_nothing() {
    let mut control = control(Mode::Shadow);
    let revoke = person("k", Order::Act(Action::Revoke));
    let decision = control.on_person(revoke.clone(), at(0)).expect("allowed").expect("new");
    assert!(decision.carried_out);
    assert_eq!(control.on_person(revoke, at(1)), Ok(None));
    assert_eq!(control.on_person(person("unknown", Order::Restore), at(1)), Ok(None));
    // As when the journal was moved away and a store still refuses it.
    let held = PersonOrder { held: Status::Revoked, ..person("lost", Order::Restore) };
    let restored =
        control.on_person(held, at(1)).expect("allowed").expect("it is out of service somewhere");
    let store = Holding { status: Some(Status::Revoked), ..Holding::from(Generation(7)) };
    let Some(again) = control.on_stale(&restored, &store, at(2)) else {
        panic!("a person's word is given again")
    };
    assert_eq!((again.order, again.generation), (Order::Restore, Generation(8)));
}

#[test]
fn the_revocation_limit_turns_revocations_beyond_its_bound_into_suspensions() {
    let mut control = control(Mode::Revoke);
    let orders: Vec<_> = (0..10)
        .map(|n| {
            let opened = signal(&format!("k{n}"), Action::Revoke, at(n), Change::Opened);
            let decision = control.on_signal(&opened, at(n)).expect("decided");
            (decision.order, decision.held_by)
        })
        .collect();
    let revoked = orders.iter().filter(|(order, _)| *order == Order::Act(Action::Revoke)).count();
    assert_eq!(revoked, 3);
    let held = (Order::Act(Action::Suspend), vec![Safeguard::RevocationLimit]);
    assert!(orders[3..].iter().all(|one| *one == held));
    assert_eq!(control.violations(), &[0; 7]);
}

#[test]
fn an_allow_listed_credential_gets_no_more_than_an_alert() {
    let mut params = Params::default();
    params.modes.default = Mode::Revoke;
    let entry = Entry { owner: "sre".into(), reason: "load test".into(), expires: None };
    params.allow_list.credentials.insert("api_key:k".to_owned(), entry);
    let mut control = Control::new(Arc::new(params));
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    let decision = control.on_signal(&opened, at(0)).expect("decided");
    assert_eq!(decision.held_by, [Safeguard::AllowList]);
    assert!(!decision.carried_out);
    assert_eq!(decision.order, Order::Act(Action::Alert));
}

#[test]
fn what_the_past_says_is_acted_on_only_if_it_still_holds_in_the_present() {
    let mut control = control(Mode::Revoke);
    let mut opened = signal("k", Action::Revoke, at(0), Change::Opened);
    opened.catch_up = true;
    let past = control.on_signal(&opened, at(HOUR_MS)).expect("decided");
    assert_eq!((past.carried_out, past.held_by), (false, vec![Safeguard::CatchUp]));
    assert_eq!(control.on_signal(&opened, at(HOUR_MS)), None);
    let still = signal("k", Action::Revoke, at(0), Change::Updated);
    assert!(control.on_signal(&still, at(HOUR_MS)).is_some_and(|decision| decision.carried_out));
}

#[test]
fn after_a_restart_what_stood_still_stands_and_the_revocation_limit_remembers() {
    let mut before = control(Mode::Revoke);
    let decisions: Vec<_> = (0..3)
        .map(|n| signal(&format!("k{n}"), Action::Revoke, at(n), Change::Opened))
        .filter_map(|signal| before.on_signal(&signal, at(0)))
        .collect();
    let mut after = control(Mode::Revoke);
    for decision in &decisions {
        after.recover(decision, at(0));
    }
    assert_eq!(after.enforcement_state(&key("k1")), before.enforcement_state(&key("k1")));
    assert_eq!(after.revocations_left(), 0);
    let again = signal("k1", Action::Revoke, at(1), Change::Opened);
    assert_eq!(after.on_signal(&again, at(60_000)), None);
    let restored =
        after.on_person(person("k1", Order::Restore), at(70_000)).expect("allowed").expect("stood");
    assert_eq!(restored.generation.0, 2);
}

/// Ten that burst within a second, of ten: a common cause.
fn bursts(change: Change) -> impl Iterator<Item = Signal> {
    (0..10).map(move |n| {
        let mut signal = signal(&format!("k{n}"), Action::Suspend, at(n), change);
        signal.again = change == Change::Recalled;
        signal.finding.detector = Detector::Burst;
        signal
    })
}

#[test]
fn a_common_cause_is_known_again_after_a_restart_from_what_was_open() {
    let (mut before, mut control) = (control(Mode::Revoke), control(Mode::Revoke));
    for (opened, recalled) in bursts(Change::Opened).zip(bursts(Change::Recalled)) {
        let decided = before.on_signal(&opened, at(1_000)).expect("decided");
        control.recover(&decided, at(1_000));
        assert_eq!(control.on_signal(&recalled, at(1_000)), None, "it was judged before");
    }
    let unknown = signal("k10", Action::Suspend, at(0), Change::Recalled);
    assert!(control.on_signal(&unknown, at(1_000)).is_some(), "that of another instance was not");
    let next = signal("k11", Action::Revoke, at(2_000), Change::Opened);
    let decision = control.on_signal(&next, at(2_000)).expect("decided");
    assert!(decision.held_by.contains(&Safeguard::CommonCause), "{:?}", decision.held_by);
}

#[test]
fn what_is_told_again_after_a_restart_is_not_judged_by_the_little_that_is_known_then() {
    let mut before = control(Mode::Revoke);
    bursts(Change::Opened).for_each(|signal| drop(before.on_signal(&signal, at(1_000))));
    let mut opened = signal("k11", Action::Revoke, at(2_000), Change::Opened);
    let held = before.on_signal(&opened, at(2_000)).expect("decided");
    assert!(held.held_by.contains(&Safeguard::CommonCause), "{:?}", held.held_by);
    let mut after = control(Mode::Revoke);
    after.recover(&held, at(3_000));
    opened.again = true;
    assert_eq!(after.on_signal(&opened, at(3_000)), None, "the others are not read yet");
    opened.again = false;
    assert!(after.on_signal(&opened, at(3_000)).is_some(), "it goes on, and they don't");
}

/// An instance that needs a token of all instances for each revocation.
fn instance() -> Control {
    let mut params = Params::default();
    params.modes.default = Mode::Revoke;
    params.revocation_limit.shared = true;
    Control::new(Arc::new(params))
}

fn answer(signal: &Signal, grant: TokenGrant, ms: i64) -> TokenAnswer {
    TokenAnswer { finding: signal.finding.id, grant, at: at(ms) }
}

#[test]
fn a_revocation_waits_for_the_token_of_all_instances_and_keeps_no_other_decision_waiting() {
    let mut control = instance();
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    assert_eq!(control.on_signal(&opened, at(0)), None);
    let requests = control.take_token_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].finding, requests[0].allowed.for_all), (opened.finding.id, 3));
    assert_eq!(requests[0].tenant.as_deref(), Some("tenant of k"));
    let other = signal("other", Action::Suspend, at(1), Change::Opened);
    assert!(control.on_signal(&other, at(1)).is_some_and(|decision| decision.carried_out));
    let updated = signal("k", Action::Revoke, at(0), Change::Updated);
    assert_eq!(control.on_signal(&updated, at(2)), None, "it has asked already");
    assert_eq!(control.take_token_requests(), []);
    assert!(control.is_pending(opened.finding.id));
    let revoked = control.on_token(&answer(&opened, TokenGrant::Granted, 3)).expect("decided");
    assert_eq!((revoked.order, revoked.at), (Order::Act(Action::Revoke), at(3)));
    assert!(!control.is_pending(opened.finding.id));
    assert_eq!(control.on_token(&answer(&opened, TokenGrant::Granted, 4)), None, "once");
    assert_eq!(control.on_signal(&updated, at(5)), None, "it is decided");
    assert_eq!(control.revocations_left(), 2);
}

#[test]
fn a_refused_token_suspends_and_leaves_the_instances_own_revocation_limit_full() {
    let mut control = instance();
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&opened, at(0));
    let held = control.on_token(&answer(&opened, TokenGrant::Refused, 5)).expect("decided");
    assert_eq!(held.order, Order::Act(Action::Suspend));
    assert_eq!(held.held_by, [Safeguard::RevocationLimit]);
    assert_eq!(control.revocations_left(), 3);
}

#[test]
fn a_store_that_does_not_answer_suspends_within_a_second_and_is_not_asked_for_another() {
    let mut control = instance();
    let first = signal("k1", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&first, at(0));
    assert_eq!(control.next_deadline(), Some(at(1_000)));
    assert_eq!(control.tick(at(999)), []);
    let held = control.tick(at(1_000));
    assert_eq!(held.len(), 1);
    assert_eq!(
        (held[0].order, &*held[0].held_by),
        (Order::Act(Action::Suspend), &[Safeguard::RevocationLimit][..])
    );
    let late = answer(&first, TokenGrant::Granted, 1_001);
    assert_eq!(control.on_token(&late), None, "too late");
    let second = signal("k2", Action::Revoke, at(1_500), Change::Opened);
    let at_once = control.on_signal(&second, at(1_500)).expect("decided at once");
    assert_eq!(at_once.held_by, [Safeguard::RevocationLimit]);
    let third = signal("k3", Action::Revoke, at(2_000), Change::Opened);
    assert_eq!(control.on_signal(&third, at(2_000)), None, "after a second it is asked again");
    assert_eq!(control.revocations_left(), 2, "one is reserved");
}

#[test]
fn what_a_person_orders_while_a_revocation_waits_for_its_token_has_the_last_word() {
    let mut control = instance();
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&opened, at(0));
    let suspended = control.on_person(person("k", Order::Act(Action::Suspend)), at(1));
    assert!(suspended.is_ok_and(|decision| decision.is_some()));
    let restored = control.on_person(person("k", Order::Restore), at(2));
    assert!(restored.is_ok_and(|decision| decision.is_some()));
    assert_eq!(control.on_token(&answer(&opened, TokenGrant::Granted, 3)), None);
    assert_eq!(control.revocations_left(), 3);
}

#[test]
fn an_open_finding_that_ends_while_its_revocation_waits_for_its_token_is_decided_all_the_same() {
    let mut control = instance();
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&opened, at(0));
    control.on_signal(&signal("k", Action::Revoke, at(0), Change::Closed), at(1));
    let revoked = control.on_token(&answer(&opened, TokenGrant::Granted, 2)).expect("decided");
    assert_eq!(revoked.order, Order::Act(Action::Revoke));
}

#[test]
fn more_revocations_than_the_instances_own_revocation_limit_allows_ask_for_no_token() {
    let mut control = instance();
    let mut decided = Vec::new();
    for n in 0..10 {
        let opened = signal(&format!("k{n}"), Action::Revoke, at(n), Change::Opened);
        decided.extend(control.on_signal(&opened, at(n)));
    }
    assert_eq!(control.take_token_requests().len(), 3);
    assert_eq!(decided.len(), 7);
    assert!(decided.iter().all(|decision| decision.held_by == [Safeguard::RevocationLimit]));
}

const SUSPEND: Order = Order::Act(Action::Suspend);
const REVOKE: Order = Order::Act(Action::Revoke);
const THROTTLE: Order = Order::Act(Action::Throttle);

fn for_a_second(id: &str, order: Order) -> PersonOrder {
    PersonOrder { lasts_ms: Some(1_000), ..person(id, order) }
}

#[test]
fn a_milder_order_of_a_person_weakens_nothing_however_soon_it_comes() {
    let mut control = control(Mode::Revoke);
    control.on_person(person("a", REVOKE), at(0)).expect("allowed").expect("new");
    let opened = signal("b", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&opened, at(0)).expect("decided");
    for id in ["a", "b"] {
        for order in [SUSPEND, THROTTLE] {
            let refused = control.on_person(for_a_second(id, order), at(0));
            assert_eq!(refused, Err(LessSevere(Status::Revoked)), "{id}");
        }
        assert_eq!(
            control.enforcement_state(&key(id)).map(|one| one.generation),
            Some(Generation(1))
        );
    }
    assert_eq!(control.tick(at(2_000)), []);
    control.on_person(for_a_second("c", SUSPEND), at(0)).expect("allowed").expect("new");
    let refused = control.on_person(person("c", THROTTLE), at(999));
    assert_eq!(refused, Err(LessSevere(Status::Suspended)));
    let after = control.on_person(person("c", THROTTLE), at(1_000)).expect("its time is over");
    assert!(after.is_some());
    control.on_person(person("a", Order::Restore), at(5)).expect("allowed").expect("stood");
    // A store may lag behind what was just restored.
    let lags = PersonOrder { held: Status::Revoked, ..for_a_second("a", SUSPEND) };
    assert!(control.on_person(lags, at(6)).is_ok_and(|decision| decision.is_some()));
    let lost = PersonOrder { held: Status::Revoked, ..for_a_second("lost", SUSPEND) };
    assert_eq!(
        control.on_person(lost, at(6)),
        Err(LessSevere(Status::Revoked)),
        "no journal has it"
    );
}

#[test]
fn a_suspension_weakens_no_revocation_that_people_agreed_to() {
    let mut params = Params::default();
    params.approval.required_approvers = 2;
    let mut control = Control::new(Arc::new(params));
    let asked = control.on_person(person("k", REVOKE), at(0)).expect("allowed").expect("new");
    let first = person("k", REVOKE).vote_on(&asked).expect("a voice");
    control.on_vote(&first).expect("counts");
    let again = control.on_person(for_a_second("k", SUSPEND), at(1)).expect("it is suspended");
    assert_eq!(again.and_then(|one| one.until), asked.until, "no earlier than people may agree");
    let second = Vote { account: "bob".into(), by: "bob".into(), at: at(2), ..first };
    assert!(matches!(control.on_vote(&second), Ok(VoteResult::Revoked(_))));
    let refused = control.on_person(for_a_second("k", SUSPEND), at(2));
    assert_eq!(refused, Err(LessSevere(Status::Revoked)));
}

#[test]
fn what_tripline_decides_by_itself_shortens_and_softens_nothing_that_a_person_suspended() {
    for (mode, carried_out) in [(Mode::Throttle, false), (Mode::Suspend, true)] {
        let mut control = control(mode);
        let order = PersonOrder { lasts_ms: Some(86_400_000), ..person("k", SUSPEND) };
        let suspended = control.on_person(order, at(0)).expect("allowed").expect("new");
        let opened = signal("k", Action::Revoke, at(1), Change::Opened);
        let decision = control.on_signal(&opened, at(1)).expect("decided");
        assert_eq!(decision.carried_out, carried_out, "{mode}");
        let in_force = control.enforcement_state(&key("k")).expect("it is suspended");
        assert_eq!((in_force.status, in_force.until), (Status::Suspended, suspended.until));
    }
}

#[test]
fn a_persons_suspension_gives_way_to_a_revocation_that_a_store_holds() {
    let mut control = control(Mode::Revoke);
    let suspended = control.on_person(person("k", SUSPEND), at(0)).expect("allowed").expect("new");
    let held = Holding { status: Some(Status::Revoked), ..Holding::from(Generation(2)) };
    let Some(adopted) = control.on_stale(&suspended, &held, at(1)) else {
        panic!("it is followed")
    };
    assert_eq!((adopted.order, adopted.generation), (REVOKE, Generation(2)));
}

/// Two instances throttle and then revoke on one finding: the store changes once for each.
#[test]
fn a_decision_that_holds_against_an_older_one_keeps_its_id_and_then_the_store_need_not_change_again()
 {
    let mut control = control(Mode::Revoke);
    let throttles = signal("k", Action::Throttle, at(0), Change::Opened);
    control.on_signal(&throttles, at(0)).expect("decided");
    let escalated = signal("k", Action::Revoke, at(1), Change::Escalated);
    let revoked = control.on_signal(&escalated, at(1)).expect("decided");
    let throttled = Holding { status: Some(Status::Throttled), ..Holding::from(Generation(1)) };
    let Some(again) = control.on_stale(&revoked, &throttled, at(2)) else { panic!("it holds") };
    let knows = Decision { base: Generation(1), ..revoked.clone() };
    assert_eq!(again, knows, "the same in knowledge of what the store holds");
    let as_severe = Holding { status: Some(Status::Revoked), ..Holding::from(Generation(2)) };
    assert_eq!(control.on_stale(&again, &as_severe, at(3)), None);
}

/// Two instances decided at one generation while the store was away: the more severe decision holds at
/// both in the end, also where the milder one had ended by then.
#[test]
fn of_two_decisions_of_one_generation_the_more_severe_is_made_again_above_both() {
    let mut control = control(Mode::Shadow);
    let mut brief = person("k", Order::Act(Action::Suspend));
    brief.lasts_ms = Some(8_000);
    control.on_person(brief, at(0)).expect("in force").expect("ordered");
    let restored = control.tick(at(8_000)).pop().expect("its time is over");
    assert_eq!((restored.order, restored.generation.0), (Order::Restore, 2));
    let elsewhere =
        DecisionId::of(&key("k"), Generation(2), at(9), (None, Order::Act(Action::Revoke)));
    let held = Holding {
        generation: Generation(2),
        decision: Some(elsewhere),
        status: Some(Status::Revoked),
        finding: None,
        until: None,
        provenance: None,
    };
    let Some(adopted) = control.on_stale(&restored, &held, at(8_001)) else {
        panic!("it is made again")
    };
    assert_eq!((adopted.order, adopted.generation.0), (Order::Act(Action::Revoke), 3));
    assert_eq!(
        control.enforcement_state(&key("k")).map(|in_force| in_force.status),
        Some(Status::Revoked)
    );
    let own = Holding { generation: Generation(3), decision: Some(adopted.id), ..held };
    assert_eq!(control.on_held(&key("k"), &own, at(8_002)), None, "it is this one");
}

#[test]
fn a_further_suspension_by_a_person_shortens_nothing() {
    let mut control = control(Mode::Shadow);
    let mut order = person("k", Order::Act(Action::Suspend));
    order.lasts_ms = Some(HOUR_MS);
    control.on_person(order.clone(), at(0)).expect("in force").expect("ordered");
    order.lasts_ms = Some(1_000);
    let again = control.on_person(order, at(10)).expect("not milder").expect("ordered");
    assert_eq!(again.until, Some(at(HOUR_MS)));
}

#[test]
fn a_token_is_given_back_to_the_tenant_that_it_was_taken_for() {
    let mut control = instance();
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    control.on_signal(&opened, at(0));
    let mut moved = signal("k", Action::Revoke, at(0), Change::Updated);
    moved.finding.tenant = Some("another".into());
    control.on_signal(&moved, at(1));
    control.on_token(&answer(&opened, TokenGrant::Refused, 2)).expect("decided");
    assert_eq!(control.revocations_left(), 3);
}

#[test]
fn whatever_other_instances_say_of_bursts_the_control_plane_goes_on() {
    let mut control = control(Mode::Revoke);
    let mut others = control.summary();
    for second in [i64::MAX, i64::MIN, i64::MAX / 1000, -1] {
        others.bursts[0].insert(second, 4_000_000);
    }
    control.set_others(others);
    let opened = signal("k", Action::Revoke, at(0), Change::Opened);
    let decision = control.on_signal(&opened, at(0)).expect("decided");
    assert_eq!(decision.order, Order::Act(Action::Revoke), "and no cause is in common");
}
