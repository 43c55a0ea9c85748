//! Access logs as Debian's nginx writes them, from requests of a stranger who names a victim.

use crate::support::child::Process;
use crate::support::daemon::BINARY;
use crate::support::{free_port, skipped, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Basic authentication, a limit that nginx applies before it, a public page and a redirect.
struct Nginx {
    _process: Process,
    folder: tempfile::TempDir,
    port: u16,
}

impl Nginx {
    fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let temp = folder.path().display();
        std::fs::write(folder.path().join("users"), "key_victim:{PLAIN}right\n").expect("writes");
        std::fs::write(folder.path().join("page"), "a page\n").expect("writes");
        let mut paths = String::new();
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            paths.push_str(&format!("{name}_temp_path {temp}/{name};\n"));
        }
        let page = |name: &str, further: &str| {
            format!(
                "location /{name} {{ access_log {temp}/{name}.log combined; {further} \
                 alias {temp}/page; }}\n"
            )
        };
        let guarded = format!("auth_basic keys; auth_basic_user_file {temp}/users;");
        let pages = [
            page("limited", &format!("{guarded} limit_req zone=few;")),
            page("guarded", &guarded),
            page("public", ""),
            format!("location /moved {{ access_log {temp}/moved.log combined; return 301 /; }}\n"),
        ]
        .concat();
        let text = format!(
            "daemon off; pid {temp}/pid; error_log {temp}/error.log;\nevents {{}}\nhttp {{\n\
             {paths}limit_req_zone $binary_remote_addr zone=few:1m rate=1r/s;\n\
             server {{ listen 127.0.0.1:{port}; root {temp}; keepalive_requests 100000;\n\
             {pages} }} }}\n"
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, text).expect("writes");
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-c").arg(&path);
        command.args(["-g", "master_process off;", "-e"]).arg(folder.path().join("early.log"));
        let nginx = Self { _process: Process::start(&mut command), folder, port };
        until("nginx answers", Duration::from_secs(10), || nginx.ask("none", "x", 1).ok());
        nginx
    }

    fn ask(&self, page: &str, password: &str, times: usize) -> reqwest::Result<Vec<u16>> {
        let client =
            crate::support::http_builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let url = format!("http://127.0.0.1:{}/{page}", self.port);
        let one = || {
            let request = client.get(&url).basic_auth("key_victim", Some(password));
            Ok(request.send()?.status().as_u16())
        };
        (0..times).map(|_| one()).collect()
    }

    fn log(&self, page: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{page}.log"));
        assert!(path.exists(), "{}", path.display());
        path
    }
}

/// The actions that a replay decides on, under a limit of 60 a minute.
fn decided(log: &Path, verified: &str) -> Vec<String> {
    let mut command = Command::new(BINARY);
    command.args(["replay", "--format", "access_log", "--decisions", "-"]).arg(log);
    command.env("TRIPLINE_SOURCES__DEFAULT__VERIFIED", verified);
    command.env("TRIPLINE_MODE__DEFAULT", "revoke").env("TRIPLINE_LIMITS__DEFAULT", "60/min");
    let done = command.output().expect("runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines = String::from_utf8(done.stdout).expect("text");
    let action = |line: &str| {
        let decision: serde_json::Value = serde_json::from_str(line).expect("JSON");
        decision.get("action").and_then(|one| one.as_str()).expect("an action").to_owned()
    };
    lines.lines().map(action).collect()
}

#[test]
fn a_stranger_with_a_wrong_password_gets_nobodys_key_revoked() {
    if skipped("nginx") {
        return;
    }
    let nginx = Nginx::start();
    let answers = nginx.ask("limited", "WRONG", 4_000).expect("nginx answers");
    let refused = answers.iter().filter(|status| **status == 503).count();
    assert!(answers.contains(&401) && refused > 3_500, "{refused} are refused by the limit");
    assert!(nginx.ask("public", "WRONG", 300).expect("answers").iter().all(|one| *one == 200));
    assert!(nginx.ask("moved", "WRONG", 300).expect("answers").iter().all(|one| *one == 301));
    for page in ["limited", "public", "moved"] {
        assert_eq!(decided(&nginx.log(page), "never"), [""; 0], "{page}");
    }
    for page in ["limited", "moved"] {
        assert_eq!(decided(&nginx.log(page), "2xx"), [""; 0], "{page}");
    }
    // One that has the password is seen.
    assert!(nginx.ask("guarded", "right", 300).expect("answers").iter().all(|one| *one == 200));
    assert_eq!(decided(&nginx.log("guarded"), "2xx").last().map(String::as_str), Some("revoke"));
}
