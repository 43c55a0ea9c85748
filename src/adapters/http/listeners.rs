//! The listeners of the API: a runtime of its own, on whose threads nothing blocks, so that
//! `/v1/check` is answered whatever else goes on; bounds and time-outs for connections.
//!
//! The Unix socket has its own accept loop and its own bound: no stranger over TCP takes the place of
//! people who order.

use super::connections::{Activity, Bounds, Closed, ConnectionSlot, Connections, IDLE_MS_MAX};
use super::remote_address::RemoteAddress;
use super::unix_socket::Peer;
use crate::adapters::clock;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::IntCounterVec;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Threads that answer. Chosen: two at least, so that one long answer delays no other.
const THREADS: std::ops::RangeInclusive<usize> = 2..=8;
/// The largest head of a request, and what is read at once. Unit: bytes. Chosen: twice what nginx
/// sends on.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long to wait when can't accept connections: files ran out. Chosen.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How often silent connections are looked for. Chosen.
const SWEEP: Duration = Duration::from_secs(1);

/// The running listeners.
#[derive(Debug)]
pub struct Server {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    accepting: Vec<tokio::task::JoinHandle<()>>,
    connections: Vec<Arc<Connections>>,
}

impl Server {
    /// Serves on both listeners until it is stopped. The process may have `files` open. Closed
    /// connections are counted in `closed`.
    ///
    /// # Errors
    /// When no thread can be started, or a listener can't be used.
    pub fn start(
        listener: TcpListener,
        socket: Option<UnixListener>,
        router: &Router,
        files: u64,
        closed: &IntCounterVec,
    ) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.clamp(*THREADS.start(), *THREADS.end()))
            .thread_name("http")
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        // Listeners belong to the runtime in which they are made.
        let (listener, socket) = (listener.into_std()?, socket.map(UnixListener::into_std));
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let socket = socket.transpose()?.map(UnixListener::from_std).transpose()?;
        let door = |bounds| Door {
            connections: Connections::new(bounds),
            router: router.clone(),
            stop: stop.clone(),
            closed: closed.clone(),
        };
        let mut accepting = Vec::new();
        let mut connections = Vec::new();
        if let Some(socket) = socket {
            let door = door(Bounds::of_socket());
            connections.push(Arc::clone(&door.connections));
            accepting.push(tokio::spawn(door.accept_all(socket)));
        }
        let door = door(Bounds::of_tcp(files));
        connections.push(Arc::clone(&door.connections));
        accepting.push(tokio::spawn(door.accept_all(listener)));
        drop(entered);
        Ok(Self { runtime: Some(runtime), stop, accepting, connections })
    }

    /// Accepts no more; says whether all requests ended within that time.
    pub async fn stop(mut self, grace: Duration) -> bool {
        self.stop.cancel();
        let accepting = std::mem::take(&mut self.accepting);
        let ended = async {
            futures_util::future::join_all(accepting).await;
            for connections in &self.connections {
                connections.all_closed().await;
            }
        };
        tokio::time::timeout(grace, ended).await.is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped on a thread of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// A listener of either kind.
trait Listener: Send + Sync + 'static {
    /// A connection's kind.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, where it comes from, and who it is, if that is known.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, AcceptedPeer)>> + Send;
}

/// The peer of a connection.
struct AcceptedPeer {
    address: IpAddr,
    peer: Option<Peer>,
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, AcceptedPeer)> {
        let (stream, address) = Self::accept(self).await?;
        // An answer is one small packet. It is as good, only later, without.
        let _set = stream.set_nodelay(true);
        Ok((stream, AcceptedPeer { address: address.ip(), peer: None }))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, AcceptedPeer)> {
        let (stream, _) = Self::accept(self).await?;
        let peer = Some(Peer::of(&stream));
        Ok((stream, AcceptedPeer { address: Ipv4Addr::LOCALHOST.into(), peer }))
    }
}

/// The time since the machine was started. Unit: milliseconds.
fn now_ms() -> u64 {
    u64::try_from(clock::since_boot_ms()).unwrap_or(0)
}

/// Parameters of a loop that accepts.
struct Door {
    connections: Arc<Connections>,
    router: Router,
    stop: CancellationToken,
    closed: IntCounterVec,
}

impl Door {
    async fn accept_all(self, listener: impl Listener) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let accepted = async {
                let socket = self.connections.socket().await;
                (listener.accept().await, socket)
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = sweep.tick() => {
                    self.count(Closed::Idle, self.connections.close_idle(now_ms()));
                }
                (accepted, socket) = accepted => match (accepted, socket) {
                    (Ok((stream, who)), Some(socket)) => {
                        let place = self.connections.place(socket, who.address, now_ms());
                        let Some((place, displaced)) = place else {
                            self.count(Closed::NoRoom, 1);
                            continue;
                        };
                        self.count(Closed::Displaced, displaced.into());
                        tokio::spawn(self.connection(stream, place, who));
                    }
                    (Err(error), _) => {
                        if !is_of_one_connection(&error) {
                            tracing::error!(%error, "can't accept connections");
                            tokio::time::sleep(ACCEPT_AGAIN).await;
                        }
                    }
                    (Ok(_), None) => return,
                },
            }
        }
    }

    fn count(&self, reason: Closed, connections: u64) {
        self.closed.with_label_values(&[reason.as_str()]).inc_by(connections);
    }

    /// Serves a connection until either side ends it.
    fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        place: ConnectionSlot,
        AcceptedPeer { address, peer }: AcceptedPeer,
    ) -> impl Future<Output = ()> + Send + use<S> {
        let (router, stop) = (self.router.clone(), self.stop.clone());
        async move {
            let activity = Arc::clone(place.activity());
            let service = TowerToHyperService::new(router);
            let service = service_fn(|mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(RemoteAddress(address));
                if let Some(peer) = &peer {
                    request.extensions_mut().insert(ConnectInfo(peer.clone()));
                }
                let (busy, answer) = (activity.begin(), service.call(request));
                let activity = &activity;
                async move {
                    let answer = answer.await;
                    let kind = answer.as_ref().ok().and_then(|it| it.headers().get(CONTENT_TYPE));
                    if kind.is_some_and(is_event_stream) {
                        activity.stream();
                    }
                    // The answer has yet to be written.
                    activity.moved(now_ms());
                    drop(busy);
                    answer
                }
            });
            let watched = CountedStream { stream, activity: Arc::clone(&activity) };
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_millis(IDLE_MS_MAX))
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(watched), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                // Whatever a peer did wrong, the connection is over.
                _over = connection.as_mut() => return,
                () = activity.closing() => return,
                () = stop.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _over = connection => {}
                () = activity.closing() => {}
            }
        }
    }
}

fn is_event_stream(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"text/event-stream")
}

/// Whether a failed accept is about that connection alone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// A stream that notes when bytes moved.
struct CountedStream<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.activity.received(now_ms());
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.activity.moved(now_ms());
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        self.activity.moved(now_ms());
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
