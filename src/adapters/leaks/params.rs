//! Parameters of the leak intake; a part that is not there has no endpoint.

use super::keys::KeySource;
use super::lookups::{HttpLookup, RedisLookup};
use crate::formats::leaks::hash::HashRule;
use crate::formats::outbound::standard_webhook::Signer;
use secrecy::SecretString;

/// All of them. Default: nothing may be reported.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// GitHub's keys, for `POST /v1/leaks/github`.
    pub github: Option<KeySource>,
    /// GitLab, for `POST /v1/revoke_tokens`.
    pub gitlab: Option<GitlabParams>,
    /// The key that scanners sign with, for `POST /v1/leaks`.
    pub webhook: Option<Signer>,
    /// The rates of `POST /v1/leaks/self`.
    pub self_service: Option<SelfServiceRates>,
    /// How the operator stores secrets, where that is not by tripline's fingerprints.
    pub hash: Option<HashRule>,
    /// A Redis that knows secrets.
    pub redis: Option<RedisLookup>,
    /// A service that knows secrets.
    pub resolver: Option<HttpLookup>,
}

/// GitLab as a reporter.
#[derive(Clone, Debug)]
pub struct GitlabParams {
    /// The token that it shows.
    pub token: SecretString,
    /// The types of tokens that it may send.
    pub types: Vec<String>,
}

/// How often holders of secrets may report them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfServiceRates {
    /// From all addresses. Unit: reports a minute. Default: 10.
    pub all_per_min: usize,
    /// From one address. Unit: reports a minute. Default: 3, so that one leaves room for others.
    pub address_per_min: usize,
}
