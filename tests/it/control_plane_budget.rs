//! The budget and the fleet: what is not proven is not done, and what all do is nobody's theft.

use std::sync::Arc;
use tripline::control_plane::control::Control;
use tripline::control_plane::params::{Params, PersonOrder};
use tripline::control_plane::policy::budget::{Budgets, Claim};
use tripline::control_plane::policy::false_alarms::Counts;
use tripline::control_plane::policy::ledger::Ledger;
use tripline::control_plane::policy::mode::Modes;
use tripline::model::credential::{Credential, Kind};
use tripline::model::decision::{Mode, Order, Safeguard, Status};
use tripline::model::finding::{
    Action, Detector, Finding, FindingId, Gate, Gates, Measure, Reached,
};
use tripline::model::signal::{Change, Exposure, HoursOfUse, Signal};
use tripline::model::time::EventTime;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

fn at(ms: i64) -> EventTime {
    EventTime::from_ms(1_700_000_000_000 + ms)
}

fn signal(id: &str, detector: Detector, action: Action, change: Change, times: [i64; 2]) -> Signal {
    let credential = Credential::parse(id).expect("valid");
    let [opened, updated] = times.map(at);
    let gates = Gates::NONE
        .with(Gate::Rate, action >= Action::Throttle)
        .with(Gate::Context, action >= Action::Suspend)
        .with(Gate::Corroborated, action >= Action::Revoke)
        .with(Gate::Mature, true);
    let finding = Finding {
        id: FindingId::of(&credential, detector, opened),
        credential,
        tenant: None,
        detector,
        action,
        opened,
        reached: Reached::default(),
        gates,
        updated,
        closed: (change == Change::Closed).then_some(updated),
        evidence_nats: 60.0,
        summary: "made 20,000 requests in 60 s".to_owned(),
        evidence: vec![Measure::new("count", 20_000.0)],
        place: None,
        expires: None,
    };
    Signal { finding, change, catch_up: false, again: false, seen: Exposure::default() }
}

fn burst(id: &str, action: Action, change: Change, times: [i64; 2]) -> Signal {
    signal(id, Detector::Burst, action, change, times)
}

fn control(budgets: Budgets, quiet_days: u64) -> Control {
    let modes = Modes { default: Mode::Revoke, ..Modes::default() };
    let mut control = Control::new(Arc::new(Params { modes, budgets, ..Params::default() }));
    control.note_active_hours(&HoursOfUse::from([((Kind::ApiKey, None), quiet_days * 24)]));
    control.set_active(100);
    control
}

fn decided(control: &mut Control, signal: &Signal) -> (Action, bool, Vec<Safeguard>) {
    let decision = control.on_signal(signal, signal.finding.updated).expect("decided");
    assert_eq!(decision.wanted, signal.finding.action);
    let Order::Act(action) = decision.order else { panic!("{decision:?}") };
    (action, decision.carried_out, decision.held_by)
}

#[test]
fn a_new_ledger_lets_a_burst_do_no_more_than_alert() {
    for wanted in [Action::Throttle, Action::Suspend, Action::Revoke] {
        let mut control = control(Budgets::default(), 0);
        let opened = burst("k", wanted, Change::Opened, [0, 0]);
        let held = (Action::Alert, false, vec![Safeguard::Budget]);
        assert_eq!(decided(&mut control, &opened), held);
        assert_eq!(control.revocations_left(), 3);
    }
}

#[test]
fn a_burst_does_the_gravest_that_is_proven() {
    // Quiet days: 3,000 prove throttling, 400,000 suspension, 40 million revocation.
    for (days, action, held_by) in [
        (3_000, Action::Throttle, vec![Safeguard::Budget]),
        (400_000, Action::Suspend, vec![Safeguard::Budget]),
        (40_000_000, Action::Revoke, vec![]),
    ] {
        let mut control = control(Budgets::default(), days);
        let opened = burst("k", Action::Revoke, Change::Opened, [0, 0]);
        assert_eq!(decided(&mut control, &opened), (action, true, held_by));
    }
}

#[test]
fn other_detectors_of_rates_need_the_proof_too_and_other_kinds_their_own() {
    let mut control = control(Budgets::default(), 40_000_000);
    let held = (Action::Alert, false, vec![Safeguard::Budget]);
    let session = burst("session:s", Action::Throttle, Change::Opened, [0, 0]);
    assert_eq!(decided(&mut control, &session), held);
    let ramp = signal("jwt:j", Detector::Ramp, Action::Throttle, Change::Opened, [0, 0]);
    assert_eq!(decided(&mut control, &ramp), held);
}

#[test]
fn a_limit_and_a_person_need_no_proof() {
    let mut control = control(Budgets::default(), 0);
    let limit = signal("k", Detector::Limit, Action::Revoke, Change::Opened, [0, 0]);
    assert_eq!(decided(&mut control, &limit), (Action::Revoke, true, vec![]));
    let ordered = control.on_person(revoke("other"), at(0)).expect("allowed").expect("new");
    assert!(ordered.carried_out && ordered.held_by.is_empty());
}

/// The limit that no operator wrote: it was agreed on with no one.
#[test]
fn the_built_in_limit_needs_the_proof_that_a_detector_needs() {
    let built_in = |id: &str, times| {
        let mut limit = signal(id, Detector::Limit, Action::Throttle, Change::Opened, times);
        limit.finding.evidence.push(Measure::new(Finding::LIMIT_WRITTEN, 0.0));
        limit
    };
    let mut unproven = control(Budgets::default(), 0);
    let held = (Action::Alert, false, vec![Safeguard::Budget]);
    assert_eq!(decided(&mut unproven, &built_in("k", [0, 0])), held);
    let mut proven = control(Budgets::default(), 3_000);
    assert_eq!(decided(&mut proven, &built_in("k", [0, 0])), (Action::Throttle, true, vec![]));
    // It was false, and closes itself; bursts, which have been right, stay open.
    let mut closed = built_in("k", [0, MINUTE_MS]);
    closed.change = Change::Closed;
    proven.on_signal(&closed, at(MINUTE_MS));
    assert_eq!(decided(&mut proven, &built_in("k2", [MINUTE_MS, MINUTE_MS])), held);
    let opened = burst("k3", Action::Throttle, Change::Opened, [MINUTE_MS, MINUTE_MS]);
    assert_eq!(decided(&mut proven, &opened), (Action::Throttle, true, vec![]));
    // One that an operator wrote is a contract.
    let mut written = built_in("k4", [0, 0]);
    written.finding.evidence = vec![Measure::new(Finding::LIMIT_WRITTEN, 1.0)];
    written.finding.action = Action::Revoke;
    assert_eq!(decided(&mut unproven, &written), (Action::Revoke, true, vec![]));
}

/// Keys of a cheap account that burst close throttling for that account, and for no one else.
#[test]
fn a_tenant_whose_keys_burst_disarms_nothing_for_others() {
    let mut control = control(Budgets::default(), 0);
    for n in 0..100 {
        let user = (Kind::ApiKey, Some(format!("customer_{n}").into()));
        control.note_active_hours(&HoursOfUse::from([(user, 60 * 24)]));
    }
    let of = |id: &str, tenant: &str, change, times: [i64; 2]| {
        let mut signal = burst(id, Action::Throttle, change, times);
        signal.finding.tenant = Some(tenant.into());
        signal
    };
    for n in 0..50 {
        let (id, times) = (format!("own_{n}"), [n * 1000, n * 1000]);
        control.on_signal(&of(&id, "cheap", Change::Opened, times), at(times[0]));
        control.on_signal(&of(&id, "cheap", Change::Closed, times), at(times[0]));
    }
    let later = [DAY_MS, DAY_MS];
    let theft = of("stolen", "customer_7", Change::Opened, later);
    assert_eq!(decided(&mut control, &theft), (Action::Throttle, true, vec![]));
    let own = of("own_1", "cheap", Change::Opened, later);
    assert_eq!(decided(&mut control, &own), (Action::Alert, false, vec![Safeguard::Budget]));
}

fn revoke(id: &str) -> PersonOrder {
    PersonOrder {
        credential: Credential::parse(id).expect("valid"),
        order: Order::Act(Action::Revoke),
        by: "ada".into(),
        account: "ada".into(),
        reason: "it was stolen".to_owned(),
        lasts_ms: None,
        held: Status::Active,
    }
}

#[test]
fn an_operator_who_wants_no_proof_for_an_action_gets_it_at_once() {
    let mut budgets = Budgets::default();
    budgets.set(Action::Throttle, None);
    let mut control = control(budgets, 0);
    let opened = burst("k", Action::Revoke, Change::Opened, [0, 0]);
    assert_eq!(decided(&mut control, &opened), (Action::Throttle, true, vec![Safeguard::Budget]));
}

#[test]
fn false_alarms_close_what_was_proven_unless_a_person_confirms_them() {
    let mut control = control(Budgets::default(), 3_100);
    control.on_signal(&burst("a", Action::Throttle, Change::Opened, [0, 0]), at(0));
    control.on_signal(&burst("a", Action::Throttle, Change::Closed, [0, MINUTE_MS]), at(MINUTE_MS));
    let second = burst("b", Action::Throttle, Change::Opened, [DAY_MS, DAY_MS]);
    let held = (Action::Alert, false, vec![Safeguard::Budget]);
    assert_eq!(decided(&mut control, &second), held, "one in 3,100 days is too many");
    // The person's word counts even where the credential is revoked already.
    control.on_person(revoke("a"), at(MINUTE_MS)).expect("allowed").expect("new");
    let third = burst("c", Action::Throttle, Change::Opened, [DAY_MS, DAY_MS]);
    assert_eq!(decided(&mut control, &third), (Action::Throttle, true, vec![]));
    assert_eq!(control.on_person(revoke("a"), at(2 * MINUTE_MS)), Ok(None));
}

#[test]
fn a_shadow_counts_as_every_mode_does() {
    let mut control = Control::new(Arc::new(Params::default()));
    for change in [Change::Opened, Change::Updated, Change::Closed] {
        control.on_signal(&burst("k", Action::Alert, change, [0, 1000]), at(1000));
    }
    assert_eq!(control.ledger().cohort(Kind::ApiKey).untenanted.open_findings, 1);
}

fn launch(control: &mut Control) {
    for n in 0..10 {
        let opened = burst(&format!("k{n}"), Action::Observe, Change::Opened, [n * 5000, n * 5000]);
        assert_eq!(control.on_signal(&opened, at(n * 5000)), None);
    }
}

#[test]
fn a_burst_of_the_whole_fleet_holds_everything_at_throttle_the_limit_too() {
    let mut control = control(Budgets::NONE, 0);
    launch(&mut control);
    let held = (Action::Throttle, true, vec![Safeguard::CommonCause]);
    for detector in [Detector::Burst, Detector::Limit] {
        let id = detector.as_str();
        let opened = signal(id, detector, Action::Revoke, Change::Opened, [46_000, 46_000]);
        assert_eq!(decided(&mut control, &opened), held);
    }
    assert!(
        control.on_person(revoke("other"), at(46_000)).expect("allowed").expect("new").carried_out
    );
}

#[test]
fn what_a_launch_held_back_is_done_once_the_launch_is_over_and_the_open_finding_is_not() {
    let mut control = control(Budgets::NONE, 0);
    launch(&mut control);
    let opened = burst("thief", Action::Revoke, Change::Opened, [46_000, 46_000]);
    decided(&mut control, &opened);
    let during = burst("thief", Action::Revoke, Change::Updated, [46_000, 120_000]);
    assert_eq!(control.on_signal(&during, at(120_000)), None);
    let after = burst("thief", Action::Revoke, Change::Updated, [46_000, 180_000]);
    assert_eq!(decided(&mut control, &after), (Action::Revoke, true, vec![]));
}

#[test]
fn ten_of_a_large_fleet_are_no_common_cause() {
    let mut control = control(Budgets::NONE, 0);
    control.set_active(2_000);
    launch(&mut control);
    let opened = burst("thief", Action::Revoke, Change::Opened, [46_000, 46_000]);
    assert_eq!(decided(&mut control, &opened).0, Action::Revoke);
}

#[test]
fn a_launch_that_each_instance_sees_a_part_of_is_a_common_cause_of_all() {
    let instance = |number: usize| {
        let mut control = control(Budgets::NONE, 0);
        control.set_active(100);
        for n in 0..5 {
            let name = format!("k{number}_{n}");
            let opened = burst(&name, Action::Observe, Change::Opened, [n * 5000, n * 5000]);
            assert_eq!(control.on_signal(&opened, at(n * 5000)), None);
        }
        control
    };
    let opened = burst("thief", Action::Revoke, Change::Opened, [46_000, 46_000]);
    assert_eq!(
        decided(&mut instance(0), &opened).0,
        Action::Revoke,
        "five, and the thief, are none"
    );
    let mut one = instance(1);
    one.set_others(instance(2).summary());
    assert_eq!(one.active(), 200);
    let held = (Action::Throttle, true, vec![Safeguard::CommonCause]);
    assert_eq!(decided(&mut one, &opened), held);
}

#[test]
fn a_ledger_that_was_written_down_goes_on_where_it_was() {
    let mut before = control(Budgets::default(), 40_000_000);
    before.on_signal(&burst("k", Action::Alert, Change::Opened, [0, 0]), at(0));
    let mut after = control(Budgets::default(), 0);
    after.set_ledger(Ledger::of(before.ledger().to_write_down()));
    let Counts { hours, open_findings, .. } = after.ledger().cohort(Kind::ApiKey).untenanted;
    assert_eq!((hours, open_findings), (40_000_000 * 24, 1));
    let opened = burst("thief", Action::Revoke, Change::Opened, [0, 0]);
    assert_eq!(decided(&mut after, &opened), (Action::Revoke, true, vec![]));
}

/// Young credentials never pass a context gate, so their bursts say nothing of how often one does.
#[test]
fn bursts_of_made_up_young_credentials_do_not_open_a_suspension() {
    let mut control = control(Budgets::default(), 400);
    for n in 0..10_000_i64 {
        let times = [n * MINUTE_MS / 10, n * MINUTE_MS / 10];
        let id = format!("api_key:made{n}");
        for change in [Change::Opened, Change::Closed] {
            let mut young = burst(&id, Action::Observe, change, times);
            young.finding.gates = Gates::NONE;
            control.on_signal(&young, at(times[1]));
        }
    }
    let proof = control.ledger().proof(Kind::ApiKey, None);
    let suspend = Claim::Burst(Action::Suspend);
    let missing = proof.days_missing(suspend, &Budgets::default());
    assert!(!proof.opens(suspend, &Budgets::default()), "{missing} {proof:?}");
}

/// Eleven trial sessions of a thief that burst once are no common cause of what an old key does.
#[test]
fn a_few_made_up_sessions_do_not_hold_back_a_revocation() {
    let mut control = control(Budgets::NONE, 0);
    control.set_active(1000);
    for n in 0..11_i64 {
        let id = format!("session:trial{n}");
        let times = [n * 1000, n * 1000];
        control.on_signal(&burst(&id, Action::Observe, Change::Opened, times), at(times[1]));
    }
    let theft = burst("api_key:stolen", Action::Revoke, Change::Opened, [20_000, 20_000]);
    let decision = control.on_signal(&theft, at(20_000)).expect("decided");
    assert_eq!(decision.held_by, [], "{decision:?}");
}

/// Twelve keys burst, two of them past the limit; two thousand others come afterwards.
#[test]
fn the_size_of_a_batch_changes_no_decision() {
    use std::borrow::Cow;
    use tripline::data_plane::batch::{Batch, HashSeed};
    use tripline::engine::{Engine, Output};
    use tripline::model::event::AuthEvent;
    const SEED: HashSeed = HashSeed(1, 2);
    let mut events: Vec<(String, i64)> = Vec::new();
    for n in 0..20_000 {
        events.push((format!("k{}", n % 10), 1000 + n / 10));
    }
    for n in 0..2000 {
        events.push((format!("other{n}"), 4000 + n));
    }
    let decisions = |size: usize| {
        let modes = Modes { default: Mode::Revoke, ..Modes::default() };
        let params = Params { modes, budgets: Budgets::NONE, ..Params::default() };
        let mut engine = Engine::new(Arc::default(), Arc::new(params), SEED);
        let (mut offset, mut decisions) = (0, Vec::new());
        for piece in events.chunks(size) {
            let mut batch = Batch::default();
            for (id, ms) in piece {
                batch.push(&AuthEvent::new(at(*ms), Cow::Borrowed(id.as_str())), offset, SEED);
                offset += 1;
            }
            engine.apply(&batch, |output| {
                if let Output::Decision(decision) = output {
                    decisions.push((
                        decision.credential.id().to_owned(),
                        decision.order,
                        decision.at,
                    ));
                }
            });
        }
        decisions
    };
    let (small, large) = (decisions(100), decisions(100_000));
    assert!(!small.is_empty());
    assert_eq!(small, large);
}

#[test]
fn a_common_cause_excuses_a_broken_limit_for_seconds_and_a_burst_for_as_long_as_it_lasts() {
    let judged = |detector, lasts_ms: i64| {
        let mut control = control(Budgets::default(), 40_000_000);
        // A dozen keys of a thief's own.
        for n in 0..12 {
            let own = burst(&format!("own_{n}"), Action::Observe, Change::Opened, [0, 0]);
            control.on_signal(&own, at(0));
        }
        let stolen = signal("stolen", detector, Action::Revoke, Change::Opened, [0, lasts_ms]);
        decided(&mut control, &stolen)
    };
    let held = (Action::Throttle, true, vec![Safeguard::CommonCause]);
    for lasts_ms in [0, 14_999] {
        assert_eq!(judged(Detector::Limit, lasts_ms), held);
    }
    assert_eq!(judged(Detector::Limit, 15_000), (Action::Revoke, true, vec![]));
    assert_eq!(judged(Detector::Burst, 30_000), held);
}
