//! Where a syslog source listens, and to whom.

use crate::formats::events::decoder::Decoder;
use ipnet::IpNet;
use rustls::ServerConfig;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How messages come.
#[derive(Clone, Debug)]
pub enum Transport {
    /// A message a datagram (RFC 5426).
    Udp,
    /// Streams (RFC 6587).
    Tcp,
    /// Streams over TLS (RFC 5425).
    Tls(Arc<ServerConfig>),
}

/// A source.
#[derive(Clone, Debug)]
pub struct Params {
    /// How messages come.
    pub transport: Transport,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The networks from which messages are taken; none: loopback, or all where a certificate is asked for.
    pub senders: Vec<IpNet>,
    /// Whether senders show a certificate.
    pub asks_for_certificate: bool,
    /// How the messages are read.
    pub decoder: Decoder,
}

impl Params {
    /// Whether messages from that address are taken.
    pub fn takes_from(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.senders.is_empty() {
            return self.asks_for_certificate || address.is_loopback();
        }
        self.senders.iter().any(|network| network.contains(&address))
    }
}
