//! A Shared Signals receiver as auth store: signed statements, pushed.
//!
//! They say that a credential is no good any more; there is none that slows down or restores.
//! Source: RFC 8935 for the push.

use crate::adapters::clock;
use crate::adapters::egress::Egress;
use crate::adapters::target::Target;
use crate::formats::outbound::security_event::Transmitter;
use crate::model::decision::{Decision, Delivery, Order, Receipt};
use crate::model::finding::Action;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// Where the receiver is, and how it knows tripline.
#[derive(Clone, Debug)]
pub struct Params {
    /// The endpoint for pushed statements.
    pub url: Target,
    /// The signer.
    pub transmitter: Transmitter,
    /// The bearer token that the receiver wants, if any.
    pub bearer: Option<SecretString>,
}

/// A Shared Signals receiver as auth store.
#[derive(Clone, Debug)]
pub struct SharedSignalsStore {
    params: Params,
    egress: Egress,
}

impl SharedSignalsStore {
    /// Makes a store; nothing is connected to.
    pub const fn new(params: Params, egress: Egress) -> Self {
        Self { params, egress }
    }

    /// The one that signs.
    pub const fn transmitter(&self) -> &Transmitter {
        &self.params.transmitter
    }

    /// Reports the receiver of a suspension or a revocation.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        match decision.order {
            Order::Act(Action::Observe | Action::Alert) => return Receipt::Already.into(),
            Order::Act(Action::Throttle) | Order::Restore => return Receipt::Unsupported.into(),
            Order::Act(Action::Suspend | Action::Revoke) => {}
        }
        let signed = self.params.transmitter.sign(decision, clock::now());
        let (Some(statement), Some(headers)) = (signed, self.headers()) else {
            return Receipt::Refused.into();
        };
        match self.egress.post(&self.params.url, headers, statement.into_bytes()).await {
            Ok(answer) if answer.is_success() => Receipt::Applied.into(),
            Ok(answer) if answer.is_passing() => super::answer::later(&answer),
            Ok(answer) => {
                let body: serde_json::Value =
                    serde_json::from_slice(&answer.body).unwrap_or_default();
                let code = body.get("err").and_then(serde_json::Value::as_str).unwrap_or("none");
                tracing::error!(
                    status = answer.status, code, receiver = %self.params.url,
                    "the receiver rejects tokens; check issuer, audience and where it finds the \
                     keys"
                );
                Receipt::Refused.into()
            }
            Err(error) => super::answer::unanswered(&error),
        }
    }

    fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/secevent+jwt"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(bearer) = &self.params.bearer {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", bearer.expose_secret())).ok()?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Some(headers)
    }
}
