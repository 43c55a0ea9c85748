//! What the command line takes from others: an environment, a proxy, a server that is not tripline, names
//! that steer a terminal, an output that is full.

use crate::support::daemon::{BINARY, Daemon, event, now_ms};
use crate::support::until;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tripline::config::loader;

/// A server that gives everybody the same answer and counts who came.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                count.fetch_add(1, Ordering::SeqCst);
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.extend(byte);
                }
                let text = String::from_utf8_lossy(&head).to_lowercase();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                // The other side may have left.
                let _left =
                    stream.read_exact(&mut body).and_then(|()| stream.write_all(answer.as_bytes()));
            }
        });
        Self { url, asked }
    }

    fn json(body: &str) -> Self {
        let length = body.len();
        Self::start(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        ))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn restore(url: &str, proxy: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "the-token-of-an-operator").expect("writes");
    let mut command = Command::new(BINARY);
    command.args(["credentials", "restore", "key_1", "--reason", "a test", "--url", url]);
    command.arg("--token-file").arg(&token);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        command.env(name, proxy);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy").output().expect("runs")
}

const DONE: &str =
    r#"{"changed":false,"decision":null,"before":"active","cannot":[],"open_findings":[]}"#;

#[test]
fn an_order_goes_to_the_daemon_alone_and_is_done_only_if_it_says_so() {
    let proxy = Server::json(DONE);
    let daemon = Server::json(DONE);
    let done = restore(&daemon.url, &proxy.url);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!((daemon.asked(), proxy.asked()), (1, 0), "no proxy gets the token");

    let other = Server::json(DONE);
    let redirects = Server::start(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/v1\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n",
        other.url
    ));
    let done = restore(&redirects.url, &proxy.url);
    assert_eq!((done.status.code(), other.asked()), (Some(1), 0), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("redirects to another server"), "{}", text(&done.stderr));

    for strange in ["{}", "[]", "7", r#"{"ok":true}"#, r#"{"changed":null}"#] {
        let done = restore(&Server::json(strange).url, &proxy.url);
        assert_eq!(done.status.code(), Some(1), "{strange}: {}", text(&done.stdout));
        assert!(text(&done.stderr).contains("the outcome is unknown"), "{}", text(&done.stderr));
    }
}

#[test]
fn an_output_that_is_full_is_no_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tripline.toml");
    std::fs::write(&path, "").expect("writes");
    let path = path.to_str().expect("a path");
    for arguments in [&["check", path][..], &["--help"], &["--version"], &["generate", "config"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("opens");
        let done = Command::new(BINARY).args(arguments).stdout(full).output().expect("runs");
        assert_eq!(done.status.code(), Some(1), "{arguments:?}: {}", text(&done.stderr));
        assert!(text(&done.stderr).contains("standard output can't be written"), "{arguments:?}");
    }
}

#[test]
fn names_that_turn_or_hide_text_are_written_out_in_lists_and_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let id = "ab\u{202e}cd\u{200b}ef\u{2028}gh";
    assert_eq!(daemon.post_events(&event(id, now_ms()))["accepted"], 1);
    daemon.order("suspend", "ab%E2%80%AEcd%E2%80%8Bef%E2%80%A8gh");
    let socket = daemon.socket();
    let socket = socket.to_str().expect("a path");
    let listed = |output: &str| {
        let list = ["credentials", "list", "--socket", socket, "-o", output];
        text(&Command::new(BINARY).args(list).output().expect("runs").stdout)
    };
    until("it is listed", Duration::from_secs(10), || {
        listed("json").contains("suspended").then_some(())
    });
    for output in ["table", "json"] {
        let told = listed(output);
        assert!(told.contains("ab\\u202ecd\\u200bef\\u2028gh"), "{told:?}");
        assert!(!told.contains(['\u{202e}', '\u{200b}', '\u{2028}']), "{told:?}");
    }
    let list: serde_json::Value = serde_json::from_str(&listed("json")).expect("JSON");
    assert_eq!(list[0]["credential"], id, "JSON stays the same JSON");
    assert!(!daemon.log().contains(['\u{202e}', '\u{200b}', '\u{2028}']), "{:?}", daemon.log());
}

#[test]
fn mistakes_that_a_reload_finds_are_told_line_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let path = folder.path().join("tripline.toml");
    let config = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(&path, format!("{config}[mode]\ndefault = \"careful\"\n")).expect("writes");
    let socket = daemon.socket();
    let reload = ["reload", "--socket", socket.to_str().expect("a path")];
    let done = Command::new(BINARY).args(reload).output().expect("runs");
    let told = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(told.contains("unknown value `careful`") && told.lines().count() > 3, "{told}");
    assert!(!told.contains('\u{fffd}') && !told.contains("\\u000a"), "{told}");
}

#[test]
fn a_reload_that_took_the_file_says_since_when_it_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let configured = || daemon.get("/v1/status")["configured"].as_str().map(str::to_owned);
    let path = folder.path().join("tripline.toml");
    let config = std::fs::read_to_string(&path).expect("reads");
    let (before, reload) = (configured(), || daemon.say("/v1/reload", "{}").0);
    std::fs::write(&path, format!("{config}mode.default = \"alert\"\n")).expect("writes");
    assert_eq!(reload(), 200);
    let after = configured();
    assert!(before < after, "{before:?} {after:?}");
    std::fs::write(
        &path,
        format!("{config}[sources.kafka]\ntype = \"kafka\"\nbrokers = \"127.0.0.1:1\"\ntopics = [\"a\"]\n"),
    )
    .expect("writes");
    assert_eq!(reload(), 200);
    assert_eq!(configured(), after, "some of it waits for a restart");
}

fn no_utf8() -> OsString {
    OsString::from_vec(b"\xff\xfe".to_vec())
}

fn with(arguments: &[&str], name: &str, value: &OsStr) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    let done = command.args(arguments).env("NO_COLOR", "1").env(name, value).output();
    let done = done.expect("runs");
    (done.status.code(), text(&done.stderr))
}

#[test]
fn a_variable_of_another_program_that_is_no_utf8_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.to_str().expect("a path").to_owned()
    };
    let data = folder.path().join("data");
    let good = file("good.toml", &format!("data_dir = \"{}\"\n", data.display()));
    let bad = file("bad.toml", "what = 1\n");
    let dump = folder.path().join("dump.tar.gz");
    let dump = dump.to_str().expect("a path");
    for (arguments, code) in [
        (&["check", &good][..], 0),
        (&["run", "--config", &bad], 78),
        (&["support", "dump", "--config", &good, "--output", dump], 0),
    ] {
        let (ended, told) = with(arguments, "LS_COLORS", &no_utf8());
        assert_eq!(ended, Some(code), "{arguments:?}: {told}");
    }
    let (ended, told) = with(&["check", &good], "TRIPLINE_MODE__DEFAULT", &no_utf8());
    assert!(ended == Some(78) && told.contains("invalid UTF-8"), "{told}");
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_a_mistake_and_one_of_kubernetes_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tripline.toml");
    std::fs::write(&path, "").expect("writes");
    let check = ["check", path.to_str().expect("a path")];
    for near in [
        "TRIPLINE_MODE_DEFAULT",
        "tripline_mode__default",
        "Tripline_Mode__Default",
        "TRIPLINE_MODE__DEFAULTS",
    ] {
        let (code, told) = with(&check, near, OsStr::new("revoke"));
        assert_eq!(code, Some(78), "{near}: {told}");
        assert!(told.contains("did you mean `TRIPLINE_MODE__DEFAULT`?"), "{near}: {told}");
    }
    for (of_others, value) in [
        ("TRIPLINE_SERVICE_HOST", "10.0.0.1"),
        ("TRIPLINE_SERVICE_PORT_HTTP", "7878"),
        ("TRIPLINE_PORT", "tcp://10.0.0.1:7878"),
        ("TRIPLINE_PORT_7878_TCP_ADDR", "10.0.0.1"),
        ("TRIPLINE_METRICS_SERVICE_HOST", "10.0.0.1"),
        ("TRIPLINE_URL", "http://127.0.0.1:1"),
        ("TRIPLINE_LOG", "info"),
    ] {
        let (code, told) = with(&check, of_others, OsStr::new(value));
        assert_eq!(code, Some(0), "{of_others}: {told}");
    }
}

#[test]
fn a_section_that_stands_in_the_environment_alone_counts() {
    let of = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let redis = of("TRIPLINE_AUTH_STORE__REDIS__URL", "redis://127.0.0.1/");
    let read = loader::check("none", "", redis).expect("no mistakes");
    assert_eq!(read.stores.len(), 1);
    let nonsense = of("TRIPLINE_AUTH_STORE__REDIS__URL", "nonsense");
    assert!(loader::check("none", "", nonsense).is_err());
    let mut kafka = of("TRIPLINE_SOURCES__KAFKA__BROKERS", "127.0.0.1:9092");
    kafka.extend(of("TRIPLINE_SOURCES__KAFKA__TYPE", "kafka"));
    let lacks = loader::check("none", "", kafka.clone()).expect_err("no topics");
    assert!(lacks.to_string().contains("`topics` is missing"), "{lacks}");
    kafka.extend(of("TRIPLINE_SOURCES__KAFKA__TOPICS", "auth"));
    assert!(loader::check("none", "", kafka).expect("no mistakes").sources.kafka.is_some());
}

#[test]
fn a_name_that_names_nothing_is_a_mistake() {
    let allowed = "owner = \"sre\"\nreason = \"a test\"\n";
    for (config, part) in [
        (format!("[allow_list.credential.\"*\"]\n{allowed}"), "patterns are not supported: `*`"),
        (
            format!("[allow_list.tenant.\"acme-*\"]\n{allowed}"),
            "patterns are not supported: `acme-*`",
        ),
        ("[mode.tenant]\n\"\" = \"revoke\"\n".to_owned(), "an empty name"),
        ("[mode.tenant]\n\"*\" = \"revoke\"\n".to_owned(), "patterns are not supported: `*`"),
        ("[limits.tenant_each]\n\" \" = \"10/min\"\n".to_owned(), "an empty name"),
        (
            "[limits.credential]\n\"key_*\" = \"10/min\"\n".to_owned(),
            "patterns are not supported: `key_*`",
        ),
    ] {
        let told = loader::check("a file", &config, BTreeMap::new()).expect_err(&config);
        assert!(told.to_string().contains(part), "{config}: {told}");
    }
}
