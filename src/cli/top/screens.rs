//! Screens, compared with the expected ones: those lie next to this file, and are written
//! again by `UPDATE=1 cargo test top::screens`.

use super::keymap::Key;
use super::model::{Effect, Message, Model};
use super::snapshot::{DetailView, Snapshot, approvals, decisions, findings, rows};
use super::view;
use crate::formats::time::rfc3339;
use crate::model::time::EventTime;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

/// The clock here; the daemon's is two minutes behind it.
pub(super) fn now() -> EventTime {
    rfc3339("2026-11-23T18:56:00.000Z").expect("a time")
}

fn status(events: u64, at: &str) -> Value {
    json!({
        "version": "0.1.0", "now": format!("2026-11-23T18:54:{at}Z"),
        "started": "2026-11-23T16:00:00Z", "mode": "revoke", "account": "uid:0",
        "roles": ["read", "operate"], "events": events, "events_refused": 0, "queue_full": 0,
        "credentials": 41, "memory_bytes": 21_000_000, "memory_bytes_max": 1_073_741_824_u64,
        "open_incidents": 0, "decisions": {}, "held": 0, "approvals": 0, "enforced_credentials": 0,
        "revocation_tokens": 5, "issues": [], "kafka": { "partitions": 4, "lag": 12, "up": true },
        "journal": { "writable": true, "lines": 3 },
        "stores": [{ "name": "embedded", "waiting": 0, "up": true },
            { "name": "redis.main", "waiting": 0, "up": true }],
        "event_log_bytes": 0, "checkpoint": null
    })
}

/// A credential that does `count` in the last minute, evenly, with `last` in the newest seconds.
fn credential(id: &str, kind: &str, (count, last): (u32, u32)) -> Value {
    let even = (count - last) / 60;
    let counts = (0..60).map(|at| if at >= 56 { even + last / 4 } else { even });
    let windows = [1_u32, 5, 15, 60, 300].map(|s| {
        json!({
            "window_s": s, "count": even * s + (last / 4) * s.min(4),
            "expected": f64::from(even * s) * 0.98, "peak": 3.0 + f64::from(even * s) * 1.4
        })
    });
    json!({
        "credential": id, "kind": kind, "tenant": "acme", "status": "active", "until": null,
        "generation": 0, "by": null, "reason": null, "finding": null,
        "first_seen": "2026-11-22T18:54:00Z", "last_seen": "2026-11-23T18:53:59Z",
        "limit_per_min": 1000, "windows": windows, "per_second": counts.collect::<Vec<_>>(),
        "open_findings": []
    })
}

fn quiet() -> Vec<Value> {
    let kinds = ["api_key", "jwt", "session", "refresh_token", "agent_token"];
    let one = |n: u32| {
        credential(&format!("key_{n:02}"), kinds[n as usize % 5], (60 * (n % 4 + n % 3), 0))
    };
    (1..=30).map(one).collect()
}

fn finding(id: &str, credential: &str, (detector, action): (&str, &str), summary: &str) -> Value {
    json!({
        "id": id, "credential": credential, "kind": "api_key", "tenant": "acme",
        "detector": detector, "action": action, "opened": "2026-11-23T18:53:52Z",
        "reached": { action: "2026-11-23T18:53:53Z" }, "updated": "2026-11-23T18:53:59Z",
        "closed": null, "evidence_nats": 412.5, "summary": summary, "evidence": { "count": 167 }
    })
}

fn decision(id: &str, (action, credential): (&str, &str), held: &[&str]) -> Value {
    json!({
        "id": id, "finding": "f_00000000000000bb", "credential": credential, "kind": "api_key",
        "tenant": "acme", "generation": 1, "action": action, "wanted": "revoke",
        "mode": "revoke", "carried_out": action != "alert", "held_by": held, "until": null,
        "at": "2026-11-23T18:53:53.250Z", "by": "tripline",
        "reason": "made 167 requests in 10 s, a rate of 1,002 a minute; its limit is 1,000 a minute",
        "evidence": {}, "stores": { "embedded": "applied", "redis.main": "waiting" }
    })
}

fn snapshot(status: Value, credentials: Vec<Value>) -> Snapshot {
    Snapshot {
        status: serde_json::from_value(status).expect("a status"),
        credentials: rows(Value::Array(credentials)),
        findings: Vec::new(),
        decisions: Vec::new(),
        approvals: Vec::new(),
        looked_at: None,
    }
}

/// A fleet that does what it always does.
pub(super) fn calm() -> Model {
    let mut model = Model::new(snapshot(status(1000, "00"), quiet()), now().plus_ms(-3000));
    for (at, events) in [("01", 1020), ("02", 1045), ("03", 1125)] {
        let snapshot = Box::new(snapshot(status(events, at), quiet()));
        model.update(Message::Answered(snapshot, now()));
    }
    model
}

/// The daemon's answers once a key has leaked.
pub(super) fn leaked() -> Snapshot {
    let mut status = status(1600, "04");
    status["open_incidents"] = json!(1);
    status["approvals"] = json!(1);
    status["stores"][1]["waiting"] = json!(1);
    status["revocation_tokens"] = json!(0);
    status["issues"] = json!([
        { "part": "store", "store": "redis.main", "critical": true,
          "found": "1 decision pending, no receipts", "runbook": "outbox-not-draining" },
        { "part": "revocation_limit", "critical": false,
          "found": "empty: suspends instead of revoking", "runbook": "revocation-limit-empty" },
    ]);
    let mut leaked = credential("key_leaked", "api_key", (460, 400));
    leaked["status"] = json!("revoked");
    leaked["by"] = json!("tripline");
    leaked["reason"] = json!("made 167 requests in 10 s");
    leaked["open_findings"] = json!(["f_00000000000000aa", "f_00000000000000bb"]);
    leaked["generation"] = json!(1);
    // Whoever sends it chooses the id: it clears no screen, and turns no line.
    let odd = credential("k\u{202e}txt.\u{61c}鍵", "api_key", (240, 0));
    let mut all = vec![leaked, odd];
    all.extend(quiet());
    let mut snapshot = snapshot(status, all);
    let limit = "made 167 requests in 10 s, a rate of 1,002 a minute; its limit is 1,000 a minute";
    let burst = "made 96 requests in 1 s where 1 is usual\u{202e} and 4 the most";
    snapshot.findings = findings(json!([
        finding("f_00000000000000aa", "key_leaked", ("burst", "throttle"), burst),
        finding("f_00000000000000bb", "key_leaked", ("limit", "revoke"), limit),
    ]));
    let suspended =
        decision("d_00000000000000cc", ("suspend", "key_07"), &["revocation_limit", "approval"]);
    snapshot.decisions = decisions(json!([
        decision("d_00000000000000aa", ("revoke", "key_leaked"), &[]),
        decision("d_00000000000000bb", ("alert", "key_leaked"), &["budget"]),
        suspended,
    ]));
    snapshot.approvals = approvals(json!([{
        "decision": suspended, "until": "2026-11-23T19:54:00Z", "agreed": ["ann (token ops)"]
    }]));
    snapshot
}

/// A fleet in which a key has leaked.
pub(super) fn alarmed() -> Model {
    let mut model = calm();
    model.update(Message::Answered(Box::new(leaked()), now()));
    model
}

/// Presses keys; gives the last effect.
pub(super) fn press(model: &mut Model, keys: &[Key]) -> Option<Effect> {
    keys.iter().fold(None, |_, key| model.update(Message::Key(*key)))
}

fn write(model: &mut Model, text: &str) {
    text.chars().for_each(|char| assert_eq!(press(model, &[Key::Char(char)]), None));
}

/// The screen as text, without spaces at the ends of lines.
pub(super) fn drawn(model: &Model, columns: u16, lines: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal");
    terminal.draw(|frame| _ = view::draw(frame, model)).expect("draws");
    let buffer = terminal.backend().buffer();
    let line = |row: &[ratatui::buffer::Cell]| {
        let mut text = String::new();
        let mut behind = 0;
        for cell in row {
            // Behind a wide character lies a cell that is not drawn.
            if behind == 0 {
                text.push_str(cell.symbol());
                behind = super::text::width(cell.symbol());
            }
            behind = behind.saturating_sub(1);
        }
        text.trim_end().to_owned() + "\n"
    };
    buffer.content().chunks(usize::from(columns.max(1))).map(line).collect()
}

fn check(model: &Model, (columns, lines): (u16, u16), name: &str) {
    let path = format!("{}/src/cli/top/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let drawn = drawn(model, columns, lines);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &drawn).expect("writes");
    }
    let expected = std::fs::read_to_string(&path).expect("a screen");
    assert_eq!(drawn, expected, "{name}: as it is\n{drawn}\nas it should be\n{expected}");
}

fn look_at_the_leaked(model: &mut Model) {
    assert_eq!(
        press(model, &[Key::Enter]),
        Some(Effect::LookAt(Some("api_key:key_leaked".to_owned())))
    );
    let mut snapshot = leaked();
    snapshot.looked_at = Some(DetailView {
        name: "api_key:key_leaked".to_owned(),
        credential: snapshot.credentials.first().cloned(),
        findings: snapshot.findings.clone(),
        decisions: snapshot.decisions[..2].to_vec(),
    });
    model.update(Message::Answered(Box::new(snapshot), now()));
}

#[test]
fn a_calm_board() {
    check(&calm(), (100, 30), "calm");
}

#[test]
fn an_incident_stands_first_in_each_list() {
    let mut model = alarmed();
    check(&model, (100, 30), "credentials");
    press(&mut model, &[Key::Char('2')]);
    check(&model, (100, 20), "incidents");
    press(&mut model, &[Key::Tab]);
    check(&model, (80, 24), "decisions");
}

#[test]
fn all_about_one_credential() {
    let mut model = alarmed();
    look_at_the_leaked(&mut model);
    check(&model, (100, 44), "detail");
}

#[test]
fn the_keys_are_told() {
    let mut model = calm();
    press(&mut model, &[Key::Char('?')]);
    check(&model, (80, 24), "help");
}

#[test]
fn a_revocation_names_the_credential_and_asks_why() {
    let mut model = alarmed();
    model.operate = true;
    press(&mut model, &[Key::Char('X')]);
    write(&mut model, "found on GitHub");
    press(&mut model, &[Key::Enter]);
    write(&mut model, "key_l");
    check(&model, (80, 24), "confirm");
}

#[test]
fn a_daemon_that_is_gone_is_told_with_the_age_of_what_is_shown() {
    let mut model = calm();
    let why = "can't reach the daemon at /run/tripline.sock\u{1b}[2J; is it running?".to_owned();
    model.update(Message::Failed(why.clone(), now().plus_ms(1000)));
    model.update(Message::Failed(why, now().plus_ms(41_000)));
    press(&mut model, &[Key::Char(' ')]);
    check(&model, (80, 24), "unreachable");
    model.update(Message::Answered(Box::new(leaked()), now().plus_ms(42_000)));
    assert!(!drawn(&model, 80, 24).contains("UNREACHABLE"));
}

#[test]
fn a_small_terminal_keeps_what_is_needed_most() {
    check(&alarmed(), (60, 15), "small");
    assert_eq!(drawn(&alarmed(), 20, 5).trim(), "too small");
}

#[test]
fn without_colours_there_are_none() {
    let mut model = alarmed();
    model.operate = true;
    model.update(Message::Failed("gone".to_owned(), now()));
    press(&mut model, &[Key::Char('x')]);
    let coloured = |model: &Model| {
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).expect("a terminal");
        terminal.draw(|frame| _ = view::draw(frame, model)).expect("draws");
        let cells = terminal.backend().buffer().content();
        cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert!(coloured(&model) > 100);
    model.look.colour = false;
    assert_eq!(coloured(&model), 0);
}

#[test]
fn nothing_that_a_terminal_obeys_is_drawn() {
    let mut model = alarmed();
    for keys in [&[][..], &[Key::Char('2'), Key::Char('j')], &[Key::Enter], &[Key::Char('?')]] {
        press(&mut model, keys);
        let text = drawn(&model, 120, 40);
        let odd =
            |char: char| char != '\n' && (char.is_control() || "\u{202e}\u{61c}".contains(char));
        assert_eq!(text.find(odd), None, "{text}");
    }
    assert!(drawn(&alarmed(), 100, 30).contains("k�txt.�鍵"));
}

proptest! {
    #[test]
    fn no_size_and_no_key_makes_it_break(
        columns in 0_u16..130, lines in 0_u16..45,
        keys in prop::collection::vec("[a-zA-Z0-9/? \\x00-\\x0f]", 0..40),
    ) {
        let mut model = alarmed();
        model.operate = true;
        model.update(Message::Resized(lines));
        for key in keys {
            let char = key.chars().next().unwrap_or(' ');
            let named = [
                Key::Enter, Key::Esc, Key::Tab, Key::BackTab, Key::Backspace, Key::Up, Key::Down,
                Key::PageUp, Key::PageDown, Key::Home, Key::End, Key::Clear, Key::Interrupt,
            ];
            let key = named.get(char as usize).copied().unwrap_or(Key::Char(char));
            if let Some(Effect::LookAt(Some(_))) = model.update(Message::Key(key)) {
                model.update(Message::Answered(Box::new(leaked()), now()));
            }
            let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal");
            let mut most = 0;
            terminal.draw(|frame| most = view::draw(frame, &model)).expect("draws");
            model.update(Message::Drawn(most));
        }
    }
}
