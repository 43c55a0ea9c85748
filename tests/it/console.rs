//! The console in a real browser (Debian's Chromium), before the demo: what people on call do.
//!
//! Pictures of what was seen go to `target/screenshots`.

use crate::support::child::Process;
use crate::support::daemon::{BINARY, Daemon, now_ms, uses};
use crate::support::{free_port, skipped, until};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// The accessibility faults that must not be.
const GRAVE: [&str; 2] = ["serious", "critical"];

/// A browser window and what drives it.
struct Browser {
    _driver: Process,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Browser {
    fn open(width: u32, height: u32, scheme: &str) -> Self {
        let port = free_port();
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = Process::start(&mut driver);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            format!("--window-size={width},{height}"),
            if scheme == "dark" { "--force-dark-mode" } else { "--disable-dark-mode" },
        ]);
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments, "binary": "/usr/bin/chromium" },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { panic!("an object") };
        let url = format!("http://127.0.0.1:{port}");
        let client = until("the browser opens", PATIENCE, || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            runtime.block_on(builder.capabilities(capabilities.clone()).connect(&url)).ok()
        });
        Self { _driver: driver, runtime, client }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn go(&self, url: &str) {
        self.wait(self.client.goto(url)).expect("goes there");
    }

    fn run(&self, script: &str) -> Value {
        self.wait(self.client.execute(script, vec![]))
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The text of what has that test id; empty where it is not to be seen.
    fn text(&self, id: &str) -> String {
        let script = format!(
            "const it = document.querySelector('[data-testid=\"{id}\"]'); \
             return it && it.checkVisibility() ? it.innerText : ''"
        );
        self.run(&script).as_str().unwrap_or("").to_owned()
    }

    /// Waits until what has that test id says so.
    fn says(&self, id: &str, wanted: &str) -> String {
        until(&format!("`{id}` says {wanted}"), PATIENCE, || {
            Some(self.text(id)).filter(|text| text.contains(wanted))
        })
    }

    fn click(&self, id: &str) {
        let css = format!("[data-testid=\"{id}\"]");
        until(&format!("`{id}` can be clicked"), PATIENCE, || {
            self.run(&format!(
                "document.querySelector('{css}')?.scrollIntoView({{block: 'center'}})"
            ));
            let found = self.wait(self.client.find(Locator::Css(&css))).ok()?;
            self.wait(found.click()).ok()
        });
    }

    fn type_in(&self, id: &str, text: &str) {
        let css = format!("[data-testid=\"{id}\"]");
        let found =
            self.wait(self.client.wait().for_element(Locator::Css(&css))).expect("is there");
        self.wait(found.send_keys(text)).expect("takes keys");
    }

    /// Asks axe-core, unless it is left out.
    fn is_accessible(&self, where_: &str) {
        if skipped("axe") {
            return;
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/axe.min.js");
        self.run(&std::fs::read_to_string(path).expect("axe-core, by ./test"));
        let script = "const done = arguments[arguments.length - 1]; \
             axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations.map( \
             one => ({impact: one.impact, id: one.id, at: one.nodes[0].target.join(' ')}))))";
        let found = self.wait(self.client.execute_async(script, vec![])).expect("axe runs");
        let faults = found.as_array().expect("a list").iter();
        let severe: Vec<_> = faults
            .filter(|one| one["impact"].as_str().is_some_and(|impact| GRAVE.contains(&impact)))
            .collect();
        assert!(severe.is_empty(), "{where_}: {severe:?}");
    }

    fn picture(&self, name: &str) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/screenshots");
        std::fs::create_dir_all(folder).expect("a folder");
        let png = self.wait(self.client.screenshot()).expect("a picture");
        std::fs::write(format!("{folder}/{name}.png"), png).expect("writes");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends after it, and the browser with that.
        let _closed = self.runtime.block_on(self.client.clone().close());
    }
}

/// The demo as it stays, and the address of its console with its token.
fn demo() -> (Process, String) {
    let port = free_port().to_string();
    let mut command = Command::new(BINARY);
    command.args(["demo", "--stay", "--port", &port]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the demo runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let url = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("in the browser:")?.1.trim().to_owned()));
    // Somebody must read on, or it would wait.
    std::thread::spawn(move || lines.for_each(drop));
    (Process::of(child), url.expect("it says where to look"))
}

#[test]
fn the_leaked_key_of_the_demo_is_found_revoked_and_restored_in_the_browser() {
    if skipped("chromium") {
        return;
    }
    let (_demo, url) = demo();
    let browser = Browser::open(1440, 1000, "dark");
    browser.go(&url);
    let here = browser.wait(browser.client.current_url()).expect("a URL");
    assert!(!here.as_str().contains("token"), "the token is not left in the address: {here}");
    until("the theft is told", Duration::from_mins(2), || {
        Some(browser.text("decisions"))
            .filter(|text| text.contains("revoke") && text.contains("key_07"))
    });
    browser.says("incidents", "key_07");
    browser.is_accessible("the board, dark");
    browser.picture("console");

    browser.type_in("search", "key_12\n");
    browser.says("status", "active");
    browser.is_accessible("a credential");
    browser.picture("credential");
    browser.click("revoke");
    browser.type_in("reason", "seen in a public repository");
    browser.is_accessible("an order");
    browser.click("sure");
    browser.click("confirm");
    browser.says("result", "Ordered: revoke");
    browser.run("document.getElementById('order-cancel').click()");
    browser.says("status", "revoked");
    browser.click("restore");
    browser.type_in("reason", "rotated");
    browser.click("confirm");
    browser.says("result", "Ordered: restore");
    browser.run("document.getElementById('order-cancel').click()");
    browser.says("status", "active");
    browser.says("decisions", "seen in a public repository");
    let said = browser.run("return performance.getEntriesByType('resource').map(one => one.name)");
    let origin = browser.run("return location.origin");
    for loaded in said.as_array().expect("a list").iter().filter_map(Value::as_str) {
        assert!(loaded.starts_with(origin.as_str().expect("text")), "{loaded} is from elsewhere");
    }
}

#[test]
fn without_the_role_it_only_shows_on_a_phone_in_daylight_too() {
    if skipped("chromium") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&uses("key_1", now_ms(), 12_000));
    // An id that would do harm if it were taken for anything but text.
    daemon.post_events(&uses("<img src=x onerror=document.title='harmed'>", now_ms(), 30));
    let browser = Browser::open(390, 844, "light");
    browser.go(daemon.base());
    browser.says("read-only", "");
    browser.says("incidents", "key_1");
    browser.is_accessible("the board, light, on a phone");
    browser.picture("phone");
    let wide = browser.run("return document.documentElement.scrollWidth > innerWidth");
    assert_eq!(wide, false, "nothing sticks out sideways");
    browser.type_in("search", "key_1\n");
    browser.says("status", "active");
    for verb in ["revoke", "suspend", "restore"] {
        assert_eq!(browser.text(verb), "", "{verb} is not offered");
    }
    assert_eq!(browser.run("return document.title.includes('harmed')"), false);
}
