//! `tripline top` on a real terminal, beside a real daemon.

use crate::support::daemon::{BINARY, Daemon, now_ms, uses};
use crate::support::skipped;
use crate::support::terminal::Terminal;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const CONFIG: &str = "limits.default = \"600/min\"\n";

/// A daemon in whose fleet a key has leaked; one of its ids is meant for terminals.
fn daemon_with_a_leaked_key(folder: &TempDir) -> Daemon {
    let daemon = Daemon::start(folder, CONFIG);
    let mut events = uses("key_leaked", now_ms(), 2000);
    for quiet in 0..5 {
        events.push_str(&uses(&format!("key_{quiet}"), now_ms(), 3));
    }
    events.push_str(&uses("k\u{202e}dekaelton\u{2066}", now_ms(), 4));
    daemon.post_events(&events);
    daemon
}

fn top(daemon: &Daemon, arguments: &str) -> String {
    format!("{BINARY} top --socket {} --every 200ms {arguments}", daemon.socket().display())
}

#[test]
fn a_leaked_key_is_seen_and_revoked_by_keys_on_a_terminal() {
    if skipped("tmux") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon_with_a_leaked_key(&folder);
    let terminal = Terminal::run(&top(&daemon, "--operate"), 100, 30);
    let screen = terminal.shows(&["key_leaked", "1 INCIDENT", "mode shadow"]);
    assert!(screen.contains("k�dekaelton�"), "what turns a line is replaced:\n{screen}");
    assert!(!screen.contains(['\u{202e}', '\u{2066}', '\u{1b}']), "{screen}");
    terminal.press(&["2"]);
    terminal.shows(&["limit", "held by mode", "its limit is 600 a minute"]);
    terminal.press(&["Enter"]);
    terminal.shows(&["Windows against the baseline", "Findings (", "Decisions ("]);
    terminal.resize(60, 15);
    terminal.becomes("a small screen", |screen| {
        screen.lines().count() <= 15 && screen.contains("api_key:key_leaked")
    });
    terminal.resize(100, 30);
    terminal.press(&["Escape"]);
    terminal.shows(&["[2 Incidents"]);
    terminal.press(&["1"]);
    terminal.shows(&["[1 Credentials"]);
    terminal.press(&["X"]);
    terminal.shows(&["Revoke?", "api_key:key_leaked", "Its id, to be sure: key_leaked"]);
    terminal.write("seen on a terminal");
    terminal.press(&["Enter"]);
    terminal.write("key_leake");
    terminal.press(&["Enter"]);
    terminal.shows(&["that is not its id: nothing was ordered"]);
    assert_eq!(daemon.check("key_leaked"), 200);
    terminal.write("d");
    terminal.press(&["Enter"]);
    terminal.shows(&["revoke ordered as d_"]);
    terminal.becomes("the key is shown as revoked", |screen| {
        screen.lines().any(|line| line.contains("key_leaked ") && line.contains("revoked"))
    });
    assert_eq!(daemon.check("key_leaked"), 403);
    let decisions = daemon.get("/v1/decisions?credential=key_leaked");
    assert_eq!(decisions[0]["reason"], "seen on a terminal");
    terminal.press(&["q"]);
    let screen = terminal.is_given_back();
    assert!(screen.contains("exit code 0") && !screen.contains("key_leaked"), "{screen}");
}

#[test]
fn a_daemon_that_goes_away_is_told_on_the_screen_and_tried_again() {
    if skipped("tmux") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon_with_a_leaked_key(&folder);
    let terminal = Terminal::run(&top(&daemon, ""), 80, 24);
    terminal.shows(&["key_leaked"]);
    terminal.press(&["X"]);
    terminal.shows(&["tripline top --operate"]);
    daemon.kill();
    terminal.shows(&["UNREACHABLE", "key_leaked"]);
    let daemon = Daemon::start(&folder, CONFIG);
    terminal.becomes("it is reached again", |screen| !screen.contains("UNREACHABLE"));
    drop(daemon);
    terminal.press(&["C-c"]);
    let screen = terminal.is_given_back();
    assert!(screen.contains("exit code 0"), "{screen}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    if skipped("tmux") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon_with_a_leaked_key(&folder);
    let process = folder.path().join("process");
    let command =
        format!("sh -c 'echo $$ >{}; exec {}'", process.display(), top(&daemon, "--by somebody"));
    let terminal = Terminal::run(&command, 80, 24);
    terminal.shows(&["key_leaked"]);
    let id = std::fs::read_to_string(&process).expect("an id");
    let sent = Command::new("kill").args(["-TERM", id.trim()]).status().expect("kill runs");
    assert!(sent.success());
    let screen = terminal.is_given_back();
    assert!(screen.contains("exit code 0"), "{screen}");
}

#[test]
fn without_a_daemon_or_a_terminal_it_says_so_and_ends() {
    let mut command = Command::new(BINARY);
    command.args(["top", "--url", "http://127.0.0.1:1"]).stdin(Stdio::null());
    let done = command.output().expect("runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!((done.status.code(), said.contains("credentials list -o json")), (Some(64), true));
    if skipped("tmux") {
        return;
    }
    let terminal = Terminal::run(&format!("{BINARY} top --url http://127.0.0.1:1"), 80, 24);
    let screen = terminal.is_given_back();
    assert!(screen.contains("can't reach the daemon"), "{screen}");
    assert!(screen.contains("exit code 69"), "{screen}");
}
