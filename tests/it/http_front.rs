//! Nobody shuts the HTTP door: costly bodies, idle connections and many readers keep no one else out.

use crate::http_events::token_of;
use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::until;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).expect("packs");
    encoder.finish().expect("packs")
}

fn connect(daemon: &Daemon) -> TcpStream {
    let address = daemon.base().trim_start_matches("http://");
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    stream
}

/// Asks with a stream as the answer; gives the head of it.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("reads") == 1 {
        head.extend(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn millions_of_refused_lines_are_counted_and_their_sender_alone_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let [bad, good] = ["bad", "good"].map(|name| token_of(&folder, name, "ingest"));
    let daemon = Daemon::start(&folder, &format!("{}{}", bad.0, good.0));
    let bomb = gzip("x\n".repeat(200_000).as_bytes());
    let send = || {
        let headers = [("authorization", bad.1.as_str()), ("content-encoding", "gzip")];
        daemon.send("POST", "/v1/events", &headers, bomb.clone())
    };
    let (status, answer) = send();
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((&answer["accepted"], &answer["refused"]), (&0.into(), &200_000.into()));
    assert_eq!(answer["lines"].as_array().expect("lines").len(), 100);
    let metrics = |name: &str| {
        let headers = [("authorization", good.1.as_str())];
        let (_, text) = daemon.send("GET", "/metrics", &headers, "");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("a metric").parse::<f64>().expect("a number")
    };
    let refused = "tripline_records_refused_total{reason=\"invalid_json\",source=\"default\"}";
    let sums = metrics(refused) + metrics("tripline_rejects_dropped_total");
    assert!((sums - 399_000.0).abs() < 0.5, "{sums}");
    let letters = daemon.data().join("rejects.ndjson");
    let letters = until("rejected records are written", Duration::from_secs(5), || {
        let text = std::fs::read_to_string(&letters).ok()?;
        (text.lines().count() >= 1_000).then_some(text)
    });
    assert_eq!(letters.lines().count(), 1_000);
    let last = until("it has to wait", Duration::from_mins(1), || {
        let (status, answer) = send();
        (status != 200).then_some((status, answer))
    });
    assert_eq!(last.0, 429, "{}", last.1);
    assert!(last.1.contains("had to be refused"), "{}", last.1);
    let headers = [("authorization", good.1.as_str())];
    let (status, answer) = daemon.send("POST", "/v1/events", &headers, event("key_1", now_ms()));
    assert_eq!(status, 200, "another sender sends on: {answer}");
}

#[test]
fn a_gzip_of_empty_members_without_end_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let headers = [("content-encoding", "gzip")];
    let (status, answer) = daemon.send("POST", "/v1/events", &headers, gzip(b"").repeat(20_000));
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("members"), "{answer}");
    let two =
        [gzip(event("key_1", now_ms()).as_bytes()), gzip(event("key_2", now_ms()).as_bytes())];
    let (status, answer) = daemon.send("POST", "/v1/events", &headers, two.concat());
    assert!(status == 200 && answer.contains("\"accepted\":2"), "{answer}");
}

#[test]
fn idle_connections_of_a_stranger_keep_nobody_out() {
    tripline::adapters::host::open_files::raise_limit();
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start_with_files(&folder, "", 256, 512);
    assert!((daemon.metric("process_max_fds") - 512.0).abs() < 0.5, "the soft limit is raised");
    let mut idle: Vec<TcpStream> = (0..1_200).map(|_| connect(&daemon)).collect();
    // Half of a request is no request.
    for stream in idle.iter_mut().step_by(3) {
        // Many have been closed by now.
        let _closed = stream.write_all(b"GET /v1/check HTTP/1.1\r\nhost:");
    }
    assert_eq!(daemon.check("key_1"), 200);
    assert_eq!(daemon.post_events(&event("key_1", now_ms()))["accepted"], 1);
    daemon.order("revoke", "key_2");
    until("the order is carried out", Duration::from_secs(10), || {
        (daemon.check("key_2") == 403).then_some(())
    });
    let displaced = daemon.metric("tripline_connections_closed_total{reason=\"displaced\"}");
    assert!(displaced >= 1_000.0, "{displaced}");
    assert!(!daemon.log().contains("can't accept connections"), "{}", daemon.log());
}

#[test]
fn idle_connections_over_the_unix_socket_keep_nobody_out_either() {
    use std::os::unix::net::UnixStream;
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let connect = || UnixStream::connect(daemon.socket()).expect("connects");
    let _idle: Vec<UnixStream> = (0..300).map(|_| connect()).collect();
    assert_eq!(daemon.order("revoke", "key_1")["changed"], true);
}

#[test]
fn who_sends_a_head_byte_by_byte_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let mut slow = connect(&daemon);
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ").expect("sends");
    until("it is cut off", Duration::from_mins(1), || slow.write_all(b"a").is_err().then_some(()));
    let idle = daemon.metric("tripline_connections_closed_total{reason=\"idle\"}");
    assert!(idle >= 1.0, "{idle}");
}

#[test]
fn heads_that_trickle_after_a_whole_request_keep_nobody_out_and_are_cut_off() {
    tripline::adapters::host::open_files::raise_limit();
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start_with_files(&folder, "", 256, 512);
    daemon.order("revoke", "key_1");
    // As many as one address may have: half of what 512 files leave.
    let mut slow: Vec<TcpStream> = (0..96).map(|_| connect(&daemon)).collect();
    for stream in &mut slow {
        let head = ask(stream, "/livez");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    let asks = AtomicBool::new(true);
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| {
            while asks.load(Ordering::Relaxed) {
                // Those that made room are closed.
                for stream in &mut slow {
                    drop(stream.write_all(b"a"));
                }
            }
        });
        let headers = [("x-tripline-credential", "key_1")];
        let check = |_| daemon.try_send("GET", "/v1/check", &headers, Vec::new());
        let answers: Vec<_> = (0..20).map(check).collect();
        asks.store(false, Ordering::Relaxed);
        answers
    });
    assert!(answers.iter().flatten().filter(|(status, _)| *status == 403).count() == 20);
    let mut slow = connect(&daemon);
    ask(&mut slow, "/livez");
    until("its second head is cut off", Duration::from_mins(1), || {
        slow.write_all(b"a").is_err().then_some(())
    });
}

#[test]
fn many_readers_of_news_keep_no_gateway_from_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let mut readers: Vec<TcpStream> = (0..257).map(|_| connect(&daemon)).collect();
    let (last, others) = readers.split_last_mut().expect("some");
    for reader in others {
        let head = ask(reader, "/v1/stream");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    let head = ask(last, "/v1/stream");
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    let head = ask(&mut connect(&daemon), "/v1/changes");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}
