//! The budget as people see it: the API, the command, the gauges, the file that outlives a restart.

use crate::support::daemon::{BINARY, Daemon, event, now_ms, uses};
use crate::support::until;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const MISSING: &str = "tripline_budget_missing_credential_seconds";
const CERTIFIED: &str = "tripline_false_action_rate_upper_bound";

fn action<'a>(cohorts: &'a Value, name: &str) -> &'a Value {
    let actions = cohorts.pointer("/0/actions").and_then(Value::as_array).expect("a list");
    actions.iter().find(|one| one["action"] == name).expect("it is there")
}

fn asked(daemon: &Daemon, arguments: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    let done = command.arg("budget").args(["--url", daemon.base()]).args(arguments).output();
    let done = done.expect("runs");
    assert_eq!(done.status.code(), Some(0));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Hours of 10,000 credential-days, as an earlier run wrote them.
const LEDGER: &str = r#"{"version":1,"cohorts":{"api_key":{"hours":240000,"open_findings":0,"rate":0,
    "context":0,"corroborated":0,"justified":{"observe":0,"alert":0,"throttle":0,"suspend":0,
    "revoke":0}}}}"#;

#[test]
fn what_is_proven_survives_a_restart_and_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("ledger.json"), LEDGER).expect("writes");
    let config = "budget.revoke = \"none\"\nburst.mature_hours = 1\n";
    let daemon = Daemon::start(&folder, config);
    let shown = daemon.get("/v1/budget");
    assert_eq!(
        (&shown[0]["cohort"], &shown[0]["credential_days"]),
        (&"api_key".into(), &10_000.0.into())
    );
    let (throttle, suspend) = (action(&shown, "throttle"), action(&shown, "suspend"));
    assert_eq!(
        (&throttle["open"], &throttle["credential_days_missing"]),
        (&true.into(), &0.0.into())
    );
    assert_eq!((&suspend["open"], &suspend["budget"]), (&false.into(), &1e-5.into()));
    let revoke = action(&shown, "revoke");
    assert_eq!((&revoke["open"], &revoke["budget"]), (&true.into(), &Value::Null));
    assert_eq!(shown[2]["actions"][1]["certified"], Value::Null, "no session was used yet");
    until("the gauges are set", Duration::from_secs(10), || {
        let missing = daemon.metric(&format!("{MISSING}{{action=\"suspend\",kind=\"api_key\"}}"));
        (missing > 300_000.0 * 86_400.0).then_some(())
    });
    let certified = format!("{CERTIFIED}{{action=\"throttle\",kind=\"api_key\"}}");
    assert!((daemon.metric(&certified) - 2.9957e-4).abs() < 1e-7);
    let told = asked(&daemon, &[]);
    assert!(told.contains("api_key: 10000.0 credential-days") && told.contains("closed"), "{told}");
    let told: Value = serde_json::from_str(&asked(&daemon, &["-o", "json"])).expect("JSON");
    assert_eq!(told, shown);

    // A burst that still runs at the end is counted too.
    daemon.post_events(&uses("key_1", now_ms() - 3_700_000, 1));
    daemon.post_events(&uses("key_1", now_ms(), 900));
    until("it was found", Duration::from_secs(10), || {
        let found = daemon.get("/v1/findings");
        found.as_array()?.iter().any(|one| one["detector"] == "burst").then_some(())
    });
    assert_eq!(daemon.get("/v1/budget?tenant=acme")[0]["open_findings"], 0);
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = Daemon::start(&folder, config);
    let shown = daemon.get("/v1/budget?tenant=acme");
    assert_eq!((&shown[0]["open_findings"], &shown[0]["context"]), (&1.into(), &0.into()));
    assert!(shown[0]["credential_days"].as_f64() > Some(10_000.0), "an hour of use was added");
    let told = asked(&daemon, &["--tenant", "acme"]);
    assert!(told.contains("1 bursts taken for false"), "{told}");
    let told = asked(&daemon, &[]);
    assert!(told.contains("0 bursts taken for false"), "{told}");
    assert!(told.contains("other tenants with false alarms, each counted once: 1"), "{told}");
}

#[test]
fn a_burst_without_a_proof_is_told_and_not_acted_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(
        &folder,
        "mode.default = \"throttle\"\nburst.mature_hours = 1\nlimits.default = \"none\"\n",
    );
    let now = now_ms();
    let quiet: String = (0..50).map(|n| event("key_1", now - 10_000 + n * 100)).collect();
    daemon.post_events(&quiet);
    daemon.post_events(&uses("key_1", now, 2000));
    let decision = until("it was decided on", Duration::from_secs(10), || {
        daemon.get("/v1/decisions").as_array()?.first().cloned()
    });
    assert_eq!((&decision["action"], &decision["wanted"]), (&"alert".into(), &"throttle".into()));
    assert_eq!(
        (&decision["held_by"], &decision["carried_out"]),
        (&serde_json::json!(["budget"]), &false.into())
    );
    assert_eq!(daemon.check("key_1"), 200);
    assert!(daemon.metric("tripline_decisions_held_total{safeguard=\"budget\"}") >= 1.0);
    let done = Command::new(BINARY).args(["explain", "key_1", "--url", daemon.base()]).output();
    let told = String::from_utf8_lossy(&done.expect("runs").stdout).into_owned();
    assert!(told.contains("throttle was justified, held back by budget"), "{told}");
    assert!(told.contains("`tripline budget` shows what is missing"), "{told}");
}

#[test]
fn a_damaged_ledger_is_reported_and_the_daemon_begins_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("ledger.json"), &LEDGER.as_bytes()[..60]).expect("writes");
    let daemon = Daemon::start(&folder, "");
    assert!(daemon.log().contains("the budget ledger is unusable"), "{}", daemon.log());
    assert_eq!(daemon.get("/v1/budget")[0]["credential_days"], 0.0);
    assert!(data.join("ledger.json.damaged").exists());
}
