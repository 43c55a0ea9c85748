//! The recipes of docs/guides/sources.md: each gateway runs with the lines of the page, and tripline with its own.

use crate::support::child::Process;
use crate::support::daemon::Daemon;
use crate::support::{free_port, skipped, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &str = "secret-key-0123";

/// The block of that language under a heading of the page.
fn block(heading: &str, language: &str) -> String {
    let page = include_str!("../../docs/guides/sources.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("a section");
    let (_, block) = section.split_once(&format!("```{language}\n")).expect("a block");
    block.split("\n```").next().expect("its end").to_owned()
}

/// The next block of that language.
fn second_block(heading: &str, language: &str) -> String {
    let page = include_str!("../../docs/guides/sources.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("a section");
    let block = section.split(&format!("```{language}\n")).nth(2).expect("a block");
    block.split("\n```").next().expect("its end").to_owned()
}

/// The same, with another folder in the place of `/var/log/…`.
fn recipe(heading: &str, language: &str, folder: &Path) -> String {
    let block = block(heading, language);
    let folder = folder.display().to_string();
    let named = format!("/var/log/{}", heading.to_lowercase());
    assert!(block.contains(&named), "{heading} {language}: {block}");
    block.replace(&named, &folder)
}

fn tool(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(name))
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("writes");
}

/// Puts so many blanks more before each line.
fn indented(text: &str, by: usize) -> String {
    let lines: Vec<String> =
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect();
    lines.concat()
}

/// Sends requests through the gateway: tripline sees each, and a key over its limit is found.
fn is_followed(name: &str, heading: &str, command: impl FnOnce(&Path, u16) -> Command) {
    if skipped(name) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (port, log) = (free_port(), folder.path().join("log"));
    std::fs::create_dir(&log).expect("creates");
    let _gateway = Process::start(&mut command(folder.path(), port));
    // What it logs before tripline starts is read, too.
    answers(name, port);
    let daemon = Daemon::start(&folder, &with_limit(&recipe(heading, "toml", &log)));
    is_watched(&daemon, name, port);
}

/// The same of a gateway that pushes: tripline runs before it.
fn is_received(
    name: &str,
    (heading, ours): (&str, &str),
    command: impl FnOnce(&Path, u16, &str) -> Command,
) {
    if skipped(name) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (port, syslog) = (free_port(), free_port().to_string());
    let daemon = Daemon::start(&folder, &with_limit(&ours.replace("5514", &syslog)));
    let address = daemon.base().trim_start_matches("http://");
    let theirs = block(heading, if name == "haproxy" { "haproxy" } else { "yaml" });
    let theirs = theirs.replace("5514", &syslog).replace("127.0.0.1:7878", address);
    let _gateway = Process::start(&mut command(folder.path(), port, &theirs));
    answers(name, port);
    is_watched(&daemon, name, port);
}

fn with_limit(ours: &str) -> String {
    format!("{ours}\n[limits]\ndefault = \"60/min\"\n[mode]\ndefault = \"revoke\"\n")
}

fn ask(port: u16, key: Option<&str>) -> Option<u16> {
    let request = crate::support::http().get(format!("http://127.0.0.1:{port}/v1/items"));
    let request = key.iter().fold(request, |request, key| request.header("x-api-key", *key));
    request.header("user-agent", "curl/8.5").send().ok().map(|answer| answer.status().as_u16())
}

/// A request with an agent that is no UTF-8; the gateway must let it through.
fn ask_with(port: u16, agent: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    let head = format!(
        "GET /v1/items HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Api-Key: {KEY}\r\nUser-Agent: "
    );
    stream
        .write_all(&[head.as_bytes(), agent, b"\r\nConnection: close\r\n\r\n"].concat())
        .expect("sends");
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

fn answers(name: &str, port: u16) {
    let answer = || ask(port, Some(KEY)).filter(|status| *status == 200);
    until(&format!("{name} answers"), PATIENCE, answer);
}

fn is_watched(daemon: &Daemon, name: &str, port: u16) {
    let ask = |key| ask(port, key);
    (0..200).for_each(|_| assert_eq!(ask(Some(KEY)), Some(200)));
    ask_with(port, b"curl/\xff");
    assert_eq!(ask(None), Some(200), "one without a credential");
    let metric = format!("tripline_source_events_total{{source=\"{name}\"}}");
    until("all events are taken", PATIENCE, || (daemon.metric(&metric) >= 202.0).then_some(()));
    let refused =
        format!("tripline_records_refused_total{{reason=\"no_credential\",source=\"{name}\"}}");
    until("the request without one is refused", PATIENCE, || {
        (daemon.metric(&refused) >= 1.0).then_some(())
    });
    let check = || daemon.send("GET", "/v1/check", &[("x-api-key", KEY)], "").0;
    until("the key is revoked", PATIENCE, || (check() == 403).then_some(()));
    let findings = daemon.get("/v1/findings");
    let credential =
        findings.pointer("/0/credential").and_then(|name| name.as_str()).expect("a name");
    assert!(credential.starts_with("fp_") && !findings.to_string().contains(KEY), "{findings}");
}

#[test]
fn nginx_logs_as_the_page_says_and_its_keys_are_watched() {
    is_followed("nginx", "nginx", |folder, port| {
        let theirs = recipe("nginx", "nginx", &folder.join("log"));
        let temp = folder.display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {temp}/{name};\n"))
            .concat();
        let config = folder.join("nginx.conf");
        let text = format!(
            "daemon off; pid {temp}/pid; error_log {temp}/error.log;\nevents {{}}\nhttp {{\n{paths}{theirs}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}\n"
        );
        write(&config, &text);
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-c").arg(&config);
        command.args(["-g", "master_process off;", "-e"]).arg(folder.join("early.log"));
        command
    });
}

#[test]
fn caddy_logs_as_the_page_says_and_its_keys_are_watched() {
    is_followed("caddy", "Caddy", |folder, port| {
        let theirs = recipe("Caddy", "caddyfile", &folder.join("log"));
        let config = folder.join("Caddyfile");
        let options = "{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\n";
        let site = format!("http://127.0.0.1:{port} {{\n{theirs}\nrespond \"ok\" 200\n}}\n");
        write(&config, &format!("{options}{site}"));
        let mut command = tool("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
        command.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        command
    });
}

#[test]
fn traefik_logs_as_the_page_says_and_its_keys_are_watched() {
    is_followed("traefik", "Traefik", |folder, port| {
        let theirs = recipe("Traefik", "yaml", &folder.join("log"));
        // Its own ping is the service, whose requests are logged only if that is said.
        let theirs = theirs.replace("accessLog:", "accessLog:\n  addInternals: true");
        let dynamic = "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: ping@internal\n";
        write(&folder.join("dynamic.yaml"), dynamic);
        let text = format!(
            "entryPoints:\n  web:\n    address: \"127.0.0.1:{port}\"\nping:\n  manualRouting: true\n\
             providers:\n  file:\n    filename: {}\n{theirs}\n",
            folder.join("dynamic.yaml").display()
        );
        write(&folder.join("traefik.yaml"), &text);
        let mut command = tool("traefik");
        command.arg(format!("--configFile={}", folder.join("traefik.yaml").display()));
        command
    });
}

#[test]
fn envoy_logs_as_the_page_says_and_its_keys_are_watched() {
    is_followed("envoy", "Envoy", |folder, port| {
        let theirs = recipe("Envoy", "yaml", &folder.join("log"));
        envoy(folder, port, ("", &theirs))
    });
}

/// Envoy with these lines in its connection manager, and these clusters.
fn envoy(folder: &Path, port: u16, (clusters, theirs): (&str, &str)) -> Command {
    let theirs = indented(theirs, 10);
    let text = format!(
        "static_resources:\n{clusters}  listeners:\n  - address:\n      socket_address: {{address: 127.0.0.1, port_value: {port}}}\n    \
             filter_chains:\n    - filters:\n      - name: envoy.filters.network.http_connection_manager\n        \
             typed_config:\n          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          \
             stat_prefix: web\n          use_remote_address: true\n{theirs}          \
             http_filters:\n          - name: envoy.filters.http.router\n            typed_config:\n              \
             \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n          \
             route_config:\n            virtual_hosts:\n            - name: all\n              domains: [\"*\"]\n              \
             routes:\n              - match: {{prefix: \"/\"}}\n                direct_response: {{status: 200, body: {{inline_string: ok}}}}\n"
    );
    write(&folder.join("envoy.yaml"), &text);
    let mut command = tool("envoy");
    command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]);
    command.args(["--file-flush-interval-msec", "500", "-c"]);
    command.arg(folder.join("envoy.yaml"));
    command
}

#[test]
fn envoy_pushes_over_otlp_as_the_page_says_and_its_keys_are_watched() {
    let ours = block("Envoy over OTLP", "toml");
    is_received("envoy", ("Envoy over OTLP", &ours), |folder, port, theirs| {
        let (_, address) = theirs.split_once("uri: \"http://").expect("an address");
        let address = address.split('/').next().expect("an address");
        let (host, collector) = address.split_once(':').expect("a port");
        let cluster = second_block("Envoy over OTLP", "yaml").replace("7878", collector);
        let cluster = indented(&cluster.replace("127.0.0.1", host), 2);
        envoy(folder, port, (&cluster, theirs))
    });
}

#[test]
fn haproxy_logs_over_syslog_as_the_page_says_and_its_keys_are_watched() {
    let ours = block("HAProxy", "toml");
    is_received("haproxy", ("HAProxy", &ours), |folder, port, theirs| {
        let text = format!(
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\
             frontend web\n    bind 127.0.0.1:{port}\n{theirs}\n    \
             http-request return status 200 content-type text/plain string ok\n"
        );
        write(&folder.join("haproxy.cfg"), &text);
        let mut command = Command::new("haproxy");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-db").arg("-f");
        command.arg(folder.join("haproxy.cfg"));
        command
    });
}
