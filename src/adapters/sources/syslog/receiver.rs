//! The thread of the syslog sources: receives, decodes, and hands over.
//!
//! | what comes | what happens |
//! |---|---|
//! | more than the queues take | a stream is read later; datagrams are dropped by the system, and counted |
//! | from an address that may not send | a datagram is refused, a connection closed |
//! | more connections than there may be | the new one is closed |

use super::framing::Frames;
use super::params::{Params, Transport};
use crate::adapters::clock;
use crate::adapters::sources::decoded::Decoded;
use crate::adapters::sources::intake::{Intake, Stopping};
use crate::adapters::sources::rejects::RecordPlace;
use crate::formats::events::refusal::{Limits, Refusal};
use crate::formats::events::syslog::message;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
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
/// Connections of one source. Chosen: each holds a record at most.
const CONNECTIONS_MAX: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
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
    intake: Intake,
    /// Messages since the start.
    messages: AtomicU64,
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
    pub fn bind(sources: &BTreeMap<String, Params>, intake: &Intake) -> Result<Self, BindError> {
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
                intake: intake.clone(),
                messages: AtomicU64::new(0),
            };
            Ok((Arc::new(listening), socket))
        };
        Ok(Self { bound: sources.iter().map(bind).collect::<Result<_, _>>()? })
    }

    /// Receives until tripline stops. Blocks.
    pub fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) =
            runtime.inspect_err(|error| tracing::error!(%error, "syslog: no runtime"))
        else {
            return;
        };
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            let mut intake = None;
            for (listening, socket) in self.bound {
                intake = Some(listening.intake.clone());
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
            while intake.as_ref().is_some_and(|intake| !intake.is_stopping()) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            tasks.shutdown().await;
        });
    }
}

impl Listening {
    fn failed(&self, error: &io::Error) {
        tracing::error!(source = self.name, %error, "can't receive syslog");
    }

    fn add(&self, frame: Result<&[u8], Refusal>, limits: &Limits, decoded: &mut Decoded) {
        let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let message = frame.map(message);
        let record = message.as_deref().map_err(|refusal| *refusal);
        self.intake.decode(&self.params.decoder, (number, record), limits, decoded);
    }

    async fn take(&self, decoded: Decoded) -> Result<(), Stopping> {
        let place = |number| RecordPlace::Message { source: &self.name, number };
        self.intake.take(&self.name, None, decoded, place).await
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

    async fn streams(self: &Arc<Self>, listener: &TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let (stream, sender) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.failed(&error);
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
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(
                    source = self.name,
                    connections = CONNECTIONS_MAX,
                    "a syslog connection is closed: there are too many"
                );
                continue;
            };
            let listening = Arc::clone(self);
            tokio::spawn(async move {
                let _held = place;
                match &listening.params.transport {
                    Transport::Tls(config) => {
                        let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream);
                        match timeout(HANDSHAKE_WITHIN, accepting).await {
                            Ok(Ok(stream)) => listening.stream(stream).await,
                            Ok(Err(error)) => {
                                tracing::warn!(source = listening.name, %sender, %error,
                                    "a syslog connection is closed: no TLS");
                            }
                            Err(_) => {}
                        }
                    }
                    Transport::Tcp | Transport::Udp => listening.stream(stream).await,
                }
            });
        }
    }

    /// Reads a connection until its sender ends it.
    async fn stream(&self, mut stream: impl AsyncRead + Unpin) {
        let (mut frames, mut chunk) = (Frames::default(), vec![0; CHUNK_BYTES]);
        // A sender that breaks off has sent all that it did.
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            let limits = Limits::at(clock::now());
            let mut decoded = Decoded::default();
            let bytes = chunk.get(..read).unwrap_or_default();
            frames.push(bytes, limits.record_bytes_max, &mut |frame| {
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
