//! What is said to be durable is on the disk, seen from the kernel: `strace` writes down the system calls
//! of the daemon in their order. (A crash of the process alone loses nothing that was written, so only
//! this tells whether a loss of power would.)

use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::{skipped, until};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A system call: its name, the file or socket, and the rest of its line.
#[derive(Debug)]
struct Call {
    name: String,
    file: String,
    rest: String,
}

/// Whether a call is the one that is meant.
type IsIt<'a> = &'a dyn Fn(&Call) -> bool;

/// A daemon whose system calls are written down.
struct Traced {
    daemon: Daemon,
    trace: PathBuf,
    _folder: tempfile::TempDir,
}

impl Traced {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let trace = folder.path().join("trace");
        let out = trace.display().to_string();
        let calls = "trace=write,writev,pwrite64,sendto,sendmsg,fdatasync,fsync";
        // The slower the disk, the surer it shows who doesn't wait for it. Unit: microseconds.
        let slow = "inject=fdatasync:delay_enter=20000";
        let strace = ["strace", "-D", "-f", "-y", "-s", "400", "-e", calls, "-e", slow, "-o", &out];
        let daemon = Daemon::start_under(folder.path(), config, &strace);
        Self { daemon, trace, _folder: folder }
    }

    /// The calls so far. A write stands where it begins, a sync where it has ended.
    fn calls(&self) -> Vec<Call> {
        let text = std::fs::read_to_string(&self.trace).expect("a trace");
        let mut unfinished = BTreeMap::new();
        let mut calls = Vec::new();
        for line in text.lines() {
            let Some((thread, said)) = line.split_once(' ') else { continue };
            let said = said.trim_start();
            if said.starts_with("<... f") {
                // fsync and fdatasync
                calls.extend(unfinished.remove(thread));
                continue;
            }
            let Some(call) = parse(said) else { continue };
            if call.name.contains("sync") && said.ends_with("<unfinished ...>") {
                unfinished.insert(thread.to_owned(), call);
            } else {
                calls.push(call);
            }
        }
        calls
    }

    /// Where calls stand in the order, once the last of them was made.
    fn order<const N: usize>(&self, wanted: [(&str, IsIt<'_>); N]) -> [usize; N] {
        let last = wanted.last().expect("one at least");
        until(last.0, PATIENCE, || self.calls().iter().any(last.1).then_some(()));
        let calls = self.calls();
        wanted.map(|(what, is_it)| {
            let found = calls.iter().position(is_it);
            found.unwrap_or_else(|| panic!("never: {what}, in\n{calls:#?}"))
        })
    }
}

/// `write(12</path/of/file>, "text", 4) = 4`
fn parse(said: &str) -> Option<Call> {
    let (name, arguments) = said.split_once('(')?;
    let (_, file) = arguments.split_once('<')?;
    // A socket is `12<TCP:[127.0.0.1:1->127.0.0.1:2]>`, or a path.
    let (file, rest) = file.split_once(">,").or_else(|| file.split_once(">)")).or_else(|| {
        let (file, rest) = file.rsplit_once('>')?;
        Some((file, rest))
    })?;
    Some(Call { name: name.to_owned(), file: file.to_owned(), rest: rest.to_owned() })
}

fn is_of(call: &Call, part: &str) -> bool {
    Path::new(&call.file).to_string_lossy().contains(part)
}

fn writes(call: &Call) -> bool {
    !call.name.contains("sync")
}

/// The answer of the daemon to a request.
fn answers(call: &Call) -> bool {
    writes(call) && call.rest.contains("HTTP/1.1 200")
}

#[test]
fn an_order_is_on_the_disk_before_a_store_is_told_and_before_it_is_answered() {
    if skipped("strace") {
        return;
    }
    let traced = Traced::start("");
    traced.daemon.order("revoke", "key_durable");
    until("it is refused", PATIENCE, || (traced.daemon.check("key_durable") == 403).then_some(()));
    let written = |call: &Call| writes(call) && is_of(call, "journal.ndjson");
    // The first part of a line may be written on its own.
    let decided = |call: &Call| written(call) && call.rest.contains("key_durable");
    let calls = traced.calls();
    let begun = calls.iter().position(decided).expect("it is in the journal");
    let after = |what: &str, is_it: IsIt<'_>| {
        let found = calls.iter().enumerate().skip(begun).find(|(_, call)| is_it(call));
        found.unwrap_or_else(|| panic!("never: {what}, in\n{calls:#?}")).0
    };
    let synced = after("the journal is forced to disk", &|call| {
        call.name == "fdatasync" && is_of(call, "journal.ndjson")
    });
    let told = after("the embedded store is told", &|call| {
        writes(call) && is_of(call, "credentials") && !is_of(call, "journal")
    });
    let answered =
        after("the order is answered", &|call| answers(call) && call.rest.contains("key_durable"));
    assert!(synced < told, "{synced}, {told}: {calls:#?}");
    assert!(synced < answered, "{synced}, {answered}: {calls:#?}");
    let last = calls.iter().take(synced).rposition(written).expect("written");
    let between = calls.get(last..told).expect("in order");
    assert!(between.iter().any(|call| call.name == "fdatasync"), "the whole line: {between:#?}");
}

#[test]
fn events_are_on_the_disk_before_they_are_acknowledged() {
    if skipped("strace") {
        return;
    }
    let traced = Traced::start("event_log.sync = \"before_answer\"\n");
    let answer = traced.daemon.post_events(&event("key_durable", now_ms()));
    assert_eq!(answer["durable"], true);
    let segment = |call: &Call| is_of(call, "/data/events/");
    let [written, synced, answered] = traced.order([
        ("it is written", &|call: &Call| {
            writes(call) && segment(call) && call.rest.contains("key_durable")
        }),
        ("it is forced to disk", &|call: &Call| call.name == "fdatasync" && segment(call)),
        ("it is acknowledged", &|call: &Call| {
            answers(call) && call.rest.contains("\\\"accepted\\\":1")
        }),
    ]);
    assert!(written < synced && synced < answered, "{:#?}", traced.calls());
}

#[test]
fn events_that_are_synced_every_second_are_on_the_disk_soon() {
    if skipped("strace") {
        return;
    }
    let traced = Traced::start("event_log.sync = \"every_second\"\n");
    traced.daemon.post_events(&event("key_durable", now_ms()));
    until("it is forced to disk", PATIENCE, || {
        let calls = traced.calls();
        let of_segment = |call: &&Call| is_of(call, "/data/events/");
        let synced = calls.iter().filter(of_segment).any(|call| call.name == "fdatasync");
        synced.then_some(())
    });
}
