//! An OAuth 2.0 authorization server as auth store: token revocation.
//!
//! It can revoke, and nothing else: what it revoked can't be brought back.
//! Source: RFC 7009; RFC 6749, 2.3.1 for how the client shows who it is.

use crate::edge::outgoing::{Outgoing, Target};
use crate::model::credential::Kind;
use crate::model::decision::{Decision, Delivery, Order, Receipt};
use crate::model::finding::Action;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::{Serializer, byte_serialize};

/// Where it is, and who tripline is there.
#[derive(Clone, Debug)]
pub struct Params {
    /// The revocation endpoint.
    pub url: Target,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretString,
    /// Whether a suspension is a revocation there. Default: no, it is left out.
    pub suspend_revokes: bool,
}

/// An authorization server as auth store.
#[derive(Clone, Debug)]
pub struct OAuthStore {
    params: Params,
    outgoing: Outgoing,
}

impl OAuthStore {
    /// Makes a store; nothing is connected to.
    pub const fn new(params: Params, outgoing: Outgoing) -> Self {
        Self { params, outgoing }
    }

    /// Revokes, where that is what a decision orders.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        match decision.order {
            Order::Act(Action::Observe | Action::Alert) => return Receipt::Already.into(),
            Order::Act(Action::Throttle) | Order::Restore => return Receipt::Unsupported.into(),
            Order::Act(Action::Suspend) if !self.params.suspend_revokes => {
                return Receipt::Unsupported.into();
            }
            Order::Act(Action::Suspend | Action::Revoke) => {}
        }
        // A server says yes to a token that it doesn't know, and a fingerprint is none.
        if decision.credential.id().starts_with("fp_") {
            return Receipt::Unsupported.into();
        }
        let Some(headers) = self.headers() else { return Receipt::Refused.into() };
        let body = form(decision).into_bytes();
        match self.outgoing.post(&self.params.url, headers, body).await {
            // A token that the server does not know is revoked, too.
            Ok(answer) if answer.is_success() => Receipt::Applied.into(),
            Ok(answer) if answer.is_passing() => super::later(&answer),
            Ok(answer) => {
                tracing::error!(
                    status = answer.status, server = %self.params.url,
                    "the authorization server refuses; check client_id, its secret and its rights"
                );
                Receipt::Refused.into()
            }
            Err(error) => super::unanswered(&error),
        }
    }

    fn headers(&self) -> Option<HeaderMap> {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (&self.params.client_id, self.params.client_secret.expose_secret());
        let basic = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
        let mut basic = HeaderValue::from_str(&format!("Basic {basic}")).ok()?;
        basic.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, basic);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        Some(headers)
    }
}

fn form(decision: &Decision) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("token", decision.credential.id());
    match decision.credential.kind() {
        Kind::Jwt | Kind::AgentToken => {
            form.append_pair("token_type_hint", "access_token");
        }
        Kind::RefreshToken => {
            form.append_pair("token_type_hint", "refresh_token");
        }
        Kind::ApiKey | Kind::Session => {}
    }
    form.finish()
}
