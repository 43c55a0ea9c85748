//! A client of HTTP for benchmarks.

/// It wants a provider of cryptography even where all is plain; the first that is installed stays.
pub(crate) fn client() -> reqwest::blocking::Client {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::blocking::Client::new()
}
