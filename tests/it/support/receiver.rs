//! A web server that keeps what it is sent, and answers as it is told.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").to_owned()
    }
}

#[derive(Debug, Default)]
struct State {
    received: Mutex<Vec<Request>>,
    status: AtomicU16,
    body: Mutex<&'static str>,
    hangs: AtomicBool,
}

/// A receiver on a runtime of its own.
#[derive(Debug)]
pub struct Receiver {
    runtime: Option<tokio::runtime::Runtime>,
    state: Arc<State>,
    port: u16,
}

impl Receiver {
    /// Starts one that answers 200.
    pub fn start() -> Self {
        let state = Arc::new(State { status: 200.into(), ..State::default() });
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)));
        let listener = listener.expect("binds");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::clone(&state);
        let take = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let shared = Arc::clone(&shared);
            async move {
                let (path, body) = (uri.path().to_owned(), body.to_vec());
                shared.received.lock().push(Request { method, path, headers, body });
                if shared.hangs.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                let status = shared.status.load(Ordering::Relaxed);
                let status = StatusCode::from_u16(status).expect("a status");
                let headers = [("location", "/elsewhere"), ("x-tripline-status", "made-up")];
                (status, headers, *shared.body.lock())
            }
        };
        let router = Router::new().fallback(take);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { runtime: Some(runtime), state, port }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers that status from now on.
    pub fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    /// Answers with that body from now on.
    pub fn say(&self, body: &'static str) {
        *self.state.body.lock() = body;
    }

    /// Never answers from now on.
    pub fn hang(&self) {
        self.state.hangs.store(true, Ordering::Relaxed);
    }

    /// Ends.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// What it was sent, oldest first.
    pub fn received(&self) -> Vec<Request> {
        self.state.received.lock().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}
