//! A source of type `syslog`.

use super::servers::networks;
use super::values::{certificates_file, documents, private_key_file};
use crate::adapters::sources::syslog::params::{Params, Transport};
use crate::config::mask;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::formats::events::decoder::Decoder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;

/// The protocols of `listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Udp,
    Tcp,
    Tls,
}

/// Reads it.
pub(super) fn syslog(section: &Section<'_>, decoder: Decoder) -> Option<Params> {
    let listen = section.get("listen", listen);
    let senders = section.get("senders", networks).unwrap_or_default();
    let certificate = section.get("certificate_file", certificates_file);
    let key = section.get("key_file", private_key_file);
    let clients = section.get("client_ca_file", certificates_file);
    if listen.is_none() {
        section.report_missing(&["listen"]);
    }
    let (protocol, address) = listen?;
    if address.port() == 0 {
        section.report_at(
            "listen",
            InvalidValue::new("port 0 is another one at each start", "write udp://127.0.0.1:5514"),
        );
    }
    if decoder.format.reads_documents() {
        documents(section);
    }
    let asks_for_certificate = protocol == Protocol::Tls && clients.is_some();
    if !address.ip().is_loopback() && senders.is_empty() && !asks_for_certificate {
        section.report_at(
            "listen",
            InvalidValue::new(
                format!("anyone who reaches {address} may send events: syslog knows no tokens"),
                "name the networks of your gateways as `senders`, listen on 127.0.0.1, or take messages from \
                 holders of a certificate: tls:// with client_ca_file",
            ),
        );
    }
    let has_files = certificate.is_some() || key.is_some() || clients.is_some();
    let transport = match (protocol, certificate, key) {
        (Protocol::Tls, Some(certificate), Some(key)) => {
            let config = tls(&certificate, &key, clients.as_deref());
            config.map_err(|wrong| section.report_at("certificate_file", wrong)).ok()?
        }
        (Protocol::Tls, _, _) => {
            section.report_missing(&["certificate_file", "key_file"]);
            return None;
        }
        (Protocol::Udp | Protocol::Tcp, _, _) if has_files => {
            section.report_at(
                "listen",
                InvalidValue::new(
                    "certificates have no effect without TLS",
                    "write \"tls://0.0.0.0:6514\", or remove them",
                ),
            );
            return None;
        }
        (Protocol::Udp, _, _) => Transport::Udp,
        (Protocol::Tcp, _, _) => Transport::Tcp,
    };
    Some(Params { transport, listen: address, senders, asks_for_certificate, decoder })
}

fn listen(value: Value<'_>) -> Result<(Protocol, SocketAddr), InvalidValue> {
    let text = value.text()?;
    let read = text.split_once("://").and_then(|(protocol, address)| {
        let protocol = match protocol {
            "udp" => Protocol::Udp,
            "tcp" => Protocol::Tcp,
            "tls" => Protocol::Tls,
            _ => return None,
        };
        Some((protocol, address.parse().ok()?))
    });
    read.ok_or_else(|| {
        InvalidValue::new(
            format!("`{}` is no address to listen on", mask::address(text)),
            "write udp://127.0.0.1:5514, tcp://127.0.0.1:5514 or tls://0.0.0.0:6514",
        )
    })
}

fn tls(certificate: &[u8], key: &[u8], clients: Option<&[u8]>) -> Result<Transport, InvalidValue> {
    let unusable = |what: &str| InvalidValue::new(what, "name the certificate of that key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| unusable("no version of TLS can be used"))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(
                CertificateDer::pem_slice_iter(authorities).filter_map(Result::ok),
            );
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|_| unusable("the authority of clients can't be used"))?,
            )
        }
    };
    let chain = CertificateDer::pem_slice_iter(certificate).filter_map(Result::ok).collect();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unusable("the key can't be used"))?;
    let config = builder.with_single_cert(chain, key);
    let config = config.map_err(|_| unusable("the certificate and its key do not fit"))?;
    Ok(Transport::Tls(Arc::new(config)))
}
