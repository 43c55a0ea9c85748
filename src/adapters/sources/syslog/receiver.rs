//! The thread of the syslog sources: receives, decodes, and hands over.
//!
//! | what comes | what happens |
//! |---|---|
//! | more than the queues take | a stream is read later; datagrams are dropped by the system |
//! | from an address that may not send | a datagram is refused, a connection closed |
//! | more connections than there may be, half of them of one address | the new one is closed |
//! | a frame whose next bytes don't come | its connection is closed |

use super::framing::Frames;
use super::params::{Params, Transport};
use crate::adapters::clock;
use crate::adapters::sources::decoded::Decoded;
use crate::adapters::sources::event_sink::{EventSink, Stopping};
use crate::adapters::sources::rejects::RecordPlace;
use crate::formats::events::refusal::{Limits, Refusal};
use crate::model::time::EventTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// The largest datagram. Unit: bytes. Source: RFC 768, RFC 8200.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams that are handed over together. Chosen.
const DATAGRAMS_MAX: usize = 1_000;
/// How much of a stream is read at once. Unit: bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// Connections of one source, and those of one address among them. Chosen: each holds a frame at most.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_OF_ADDRESS_MAX: usize = CONNECTIONS_MAX / 2;
/// Handshakes at once: they take no place of a connection.
const HANDSHAKES_MAX: usize = 64;
/// The longest frame. Unit: bytes. Chosen: four times the longest of `HAProxy`.
const FRAME_BYTES_MAX: usize = 256 << 10;
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a frame that was begun may take for its next bytes.
const FRAME_WITHIN: Duration = Duration::from_secs(30);
/// How often refused connections are in the log. Unit: milliseconds.
const REPORT_EVERY_MS: i64 = 60_000;
/// How often it is looked whether tripline stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long to wait where no connection can be accepted: files ran out. Chosen.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// An address at which a source can't listen.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address} for the source {name}; another process may, or set its listen")]
pub struct BindError {
    name: String,
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// State that the tasks of one source share.
#[derive(Debug)]
struct Listening {
    name: String,
    params: Params,
    sink: EventSink,
    /// Messages since the start.
    messages: AtomicU64,
    /// Connections, by address.
    connections: Mutex<BTreeMap<IpAddr, usize>>,
    /// When refused connections were last in the log, and how many there were since.
    refused: Mutex<(EventTime, u64)>,
}

/// A connection's place; it is free again where this is dropped.
#[derive(Debug)]
struct Place(Arc<Listening>, IpAddr);

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.0.connections.lock();
        if let Some(count) = connections.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.1);
            }
        }
    }
}

#[derive(Debug)]
enum Socket {
    Datagrams(std::net::UdpSocket),
    Streams(std::net::TcpListener),
}

/// All syslog sources, bound.
#[derive(Debug)]
pub struct Receiver {
    bound: Vec<(Arc<Listening>, Socket)>,
}

impl Receiver {
    /// Listens on all addresses.
    ///
    /// # Errors
    /// The first that can't be bound.
    pub fn bind(sources: &BTreeMap<String, Params>, sink: &EventSink) -> Result<Self, BindError> {
        let bind = |(name, params): (&String, &Params)| {
            let address = params.listen;
            let socket = match params.transport {
                Transport::Udp => std::net::UdpSocket::bind(address).map(Socket::Datagrams),
                Transport::Tcp | Transport::Tls(_) => {
                    std::net::TcpListener::bind(address).map(Socket::Streams)
                }
            };
            let socket = socket.and_then(|socket| {
                match &socket {
                    Socket::Datagrams(socket) => socket.set_nonblocking(true)?,
                    Socket::Streams(socket) => socket.set_nonblocking(true)?,
                }
                Ok(socket)
            });
            let socket =
                socket.map_err(|source| BindError { name: name.clone(), address, source })?;
            let listening = Listening {
                name: name.clone(),
                params: params.clone(),
                sink: sink.clone(),
                messages: AtomicU64::new(0),
                connections: Mutex::default(),
                refused: Mutex::new((EventTime::MIN, 0)),
            };
            Ok((Arc::new(listening), socket))
        };
        Ok(Self { bound: sources.iter().map(bind).collect::<Result<_, _>>()? })
    }

    /// Receives until tripline stops.
    pub async fn run(self) {
        let mut tasks = tokio::task::JoinSet::new();
        let mut sink = None;
        for (listening, socket) in self.bound {
            sink = Some(listening.sink.clone());
            match socket {
                Socket::Datagrams(socket) => {
                    tasks.spawn(async move {
                        match UdpSocket::from_std(socket) {
                            Ok(socket) => listening.datagrams(&socket).await,
                            Err(error) => listening.failed(&error),
                        }
                    });
                }
                Socket::Streams(socket) => {
                    tasks.spawn(async move {
                        match TcpListener::from_std(socket) {
                            Ok(socket) => listening.streams(&socket).await,
                            Err(error) => listening.failed(&error),
                        }
                    });
                }
            }
        }
        while sink.as_ref().is_some_and(|sink| !sink.is_stopping()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tasks.shutdown().await;
    }
}

impl Listening {
    fn failed(&self, error: &io::Error) {
        tracing::error!(source = self.name, %error, "can't receive syslog");
    }

    fn add(&self, frame: Result<&[u8], Refusal>, limits: &Limits, decoded: &mut Decoded) {
        let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        self.sink.decode(&self.params.decoder, (number, frame), limits, decoded);
    }

    async fn take(&self, decoded: Decoded) -> Result<(), Stopping> {
        let place = |number| RecordPlace::Message { source: &self.name, number };
        self.sink.take(&self.name, None, decoded, place).await
    }

    async fn datagrams(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            if let Err(error) = socket.readable().await {
                return self.failed(&error);
            }
            let limits = Limits::at(clock::now());
            let mut decoded = Decoded::default();
            for _ in 0..DATAGRAMS_MAX {
                // An error is of one datagram that was sent before; there are none.
                let Ok((length, sender)) = socket.try_recv_from(&mut buffer) else { break };
                let frame = if self.params.takes_from(sender.ip()) {
                    Ok(buffer.get(..length).unwrap_or_default())
                } else {
                    Err(Refusal::UnknownSender)
                };
                self.add(frame, &limits, &mut decoded);
            }
            if self.take(decoded).await.is_err() {
                return;
            }
        }
    }

    /// A place for a connection from that address, if there is one.
    fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut connections = self.connections.lock();
        let all: usize = connections.values().sum();
        let of_address = connections.get(&address).copied().unwrap_or(0);
        if all >= CONNECTIONS_MAX || of_address >= CONNECTIONS_OF_ADDRESS_MAX {
            return None;
        }
        connections.insert(address, of_address + 1);
        drop(connections);
        Some(Place(Arc::clone(self), address))
    }

    /// Says in the log, once a minute, that connections were refused.
    fn report(&self, sender: SocketAddr, why: &str) {
        tracing::debug!(source = self.name, %sender, why, "a syslog connection is closed");
        let now = clock::now();
        let mut refused = self.refused.lock();
        refused.1 += 1;
        if now.ms_since(refused.0) >= REPORT_EVERY_MS {
            tracing::warn!(
                source = self.name,
                why,
                connections = refused.1,
                "a syslog connection is closed"
            );
            *refused = (now, 0);
        }
    }

    async fn streams(self: &Arc<Self>, listener: &TcpListener) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let (stream, sender) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.report(self.params.listen, &error.to_string());
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            if !self.params.takes_from(sender.ip()) {
                let mut decoded = Decoded::default();
                let refused = Err(Refusal::UnknownSender);
                self.add(refused, &Limits::default(), &mut decoded);
                if self.take(decoded).await.is_err() {
                    return;
                }
                continue;
            }
            // A gateway that vanished is noticed. A connection is as good without.
            let _set = rustix::net::sockopt::set_socket_keepalive(&stream, true);
            let listening = Arc::clone(self);
            match &self.params.transport {
                Transport::Tls(config) => {
                    let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() else {
                        self.report(sender, "too many handshakes");
                        continue;
                    };
                    let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream);
                    tokio::spawn(async move {
                        let accepted = timeout(HANDSHAKE_WITHIN, accepting).await;
                        drop(handshake);
                        match accepted {
                            Ok(Ok(stream)) => listening.connection(stream, sender).await,
                            Ok(Err(error)) => listening.report(sender, &error.to_string()),
                            Err(_) => listening.report(sender, "the handshake took too long"),
                        }
                    });
                }
                Transport::Tcp | Transport::Udp => {
                    tokio::spawn(async move { listening.connection(stream, sender).await });
                }
            }
        }
    }

    /// Gives a connection a place, and reads it.
    async fn connection(self: Arc<Self>, stream: impl AsyncRead + Unpin, sender: SocketAddr) {
        match self.place(sender.ip().to_canonical()) {
            Some(_held) => self.stream(stream, sender).await,
            None => self.report(sender, "there are too many"),
        }
    }

    /// Reads a connection until its sender ends it.
    async fn stream(&self, mut stream: impl AsyncRead + Unpin, sender: SocketAddr) {
        let (mut frames, mut chunk) = (Frames::default(), vec![0; CHUNK_BYTES]);
        loop {
            let reading = stream.read(&mut chunk);
            let read = if frames.is_partial() {
                let Ok(read) = timeout(FRAME_WITHIN, reading).await else {
                    return self.report(sender, "a frame has no end");
                };
                read
            } else {
                reading.await
            };
            // A sender that breaks off has sent all that it did.
            let Ok(read @ 1..) = read else { break };
            let limits = Limits::at(clock::now());
            let mut decoded = Decoded::default();
            let bytes = chunk.get(..read).unwrap_or_default();
            frames.push(bytes, FRAME_BYTES_MAX, &mut |frame| {
                self.add(frame, &limits, &mut decoded);
            });
            if self.take(decoded).await.is_err() {
                return;
            }
        }
        let limits = Limits::at(clock::now());
        let mut decoded = Decoded::default();
        frames.end(&mut |frame| self.add(frame, &limits, &mut decoded));
        let _stopping = self.take(decoded).await;
    }
}
