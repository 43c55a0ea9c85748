//! HTTP clients of the benchmarks.

use reqwest::blocking::{Client, ClientBuilder};

/// rustls wants a provider of cryptography even where all is plain; the first that is installed stays.
pub(crate) fn builder() -> ClientBuilder {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}

/// With the default settings.
pub(crate) fn client() -> Client {
    builder().build().expect("the default settings are good")
}
