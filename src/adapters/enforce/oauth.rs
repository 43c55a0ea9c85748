//! An OAuth 2.0 authorization server as auth store: token revocation.
//!
//! It can revoke, and nothing else: what it revoked can't be brought back.
//!
//! The server answers 200 to a token that it doesn't know, too (RFC 7009, 2.2), and tripline often has no
//! token, only its id (`jti`). So a 200 shows nothing, and the receipt is `unverified`, unless
//! introspection shows what came of it:
//! ```text
//! before        after        receipt
//! active        inactive     applied
//! inactive      inactive     already, for a kind whose id is the token; else unverified
//! any           active       refused: the server left the token as it was
//! not asked or without a clear answer  unverified
//! ```
//! An id that the server doesn't know is inactive to it, so of a JWT only the change shows anything.
//! Source: RFC 7009; RFC 7662 for introspection; RFC 6749, 2.3.1 for how the client shows who it is.

use crate::adapters::egress::{Answer, Egress};
use crate::adapters::target::Target;
use crate::model::credential::Kind;
use crate::model::decision::{Decision, Delivery, Order, Receipt};
use crate::model::finding::Action;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

/// Where it is, and who tripline is there.
#[derive(Clone, Debug)]
pub struct Params {
    /// The revocation endpoint.
    pub url: Target,
    /// The introspection endpoint. Default: none, so every revocation is `unverified`.
    pub introspection: Option<Target>,
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
    egress: Egress,
}

/// A server's answer about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Inactive,
    /// There is no endpoint to ask, or it gives no clear answer.
    Unknown,
}

/// The part of an introspection response that counts (RFC 7662, 2.2).
#[derive(Deserialize)]
struct Introspection {
    active: bool,
}

impl OAuthStore {
    /// Makes a store; nothing is connected to.
    pub const fn new(params: Params, egress: Egress) -> Self {
        Self { params, egress }
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
        let delivered = self.revoke(decision).await;
        delivered.unwrap_or_else(|delivery| delivery)
    }

    async fn revoke(&self, decision: &Decision) -> Result<Delivery, Delivery> {
        let before = self.introspect(decision).await?;
        let answer = self.post(&self.params.url, decision).await?;
        if answer.is_passing() {
            return Err(super::answer::later(&answer));
        }
        if !answer.is_success() {
            tracing::error!(
                status = answer.status, server = %self.params.url,
                "the authorization server rejects requests; check client_id, its secret and its \
                 rights"
            );
            return Err(Receipt::Refused.into());
        }
        let after = self.introspect(decision).await?;
        if after == State::Active {
            tracing::error!(
                decision = %decision.id, server = %self.params.url,
                "the authorization server answered 200 and left the token active; check whose it is"
            );
        }
        Ok(receipt(decision.credential.kind(), before, after).into())
    }

    /// Asks what the server says of the token. An endpoint that can't be reached is asked again
    /// later; one that refuses shows nothing.
    async fn introspect(&self, decision: &Decision) -> Result<State, Delivery> {
        let Some(target) = &self.params.introspection else { return Ok(State::Unknown) };
        let answer = self.post(target, decision).await?;
        if answer.is_passing() {
            return Err(super::answer::later(&answer));
        }
        let read = serde_json::from_slice::<Introspection>(&answer.body);
        match read {
            Ok(Introspection { active }) if answer.is_success() => {
                Ok(if active { State::Active } else { State::Inactive })
            }
            Ok(_) | Err(_) => {
                tracing::error!(
                    status = answer.status, server = %target,
                    "introspection gives no clear answer, so no revocation is verified; check \
                     introspection_url and the rights of client_id"
                );
                Ok(State::Unknown)
            }
        }
    }

    async fn post(&self, target: &Target, decision: &Decision) -> Result<Answer, Delivery> {
        let headers = self.headers().ok_or_else(|| Delivery::from(Receipt::Refused))?;
        let body = form(decision).into_bytes();
        let answer = self.egress.post(target, headers, body).await;
        answer.map_err(|error| super::answer::unanswered(&error))
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
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Some(headers)
    }
}

/// The receipt of a revocation that was answered 200.
const fn receipt(kind: Kind, before: State, after: State) -> Receipt {
    match (before, after) {
        (_, State::Active) => Receipt::Refused,
        (State::Active, State::Inactive) => Receipt::Applied,
        (State::Inactive, State::Inactive) if id_is_the_token(kind) => Receipt::Already,
        (_, State::Inactive | State::Unknown) => Receipt::Unverified,
    }
}

/// Whether tripline's id of a credential is what its holder presents: of a signed token it is the
/// `jti` alone, and services may accept the token without asking the server.
const fn id_is_the_token(kind: Kind) -> bool {
    match kind {
        Kind::RefreshToken | Kind::Session | Kind::ApiKey => true,
        Kind::Jwt | Kind::AgentToken => false,
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

#[cfg(test)]
mod tests {
    use super::{Kind, Receipt, State, receipt};

    #[test]
    fn only_what_introspection_shows_is_applied() {
        use State::{Active, Inactive, Unknown};
        for (before, after, jwt, refresh_token) in [
            (Active, Inactive, Receipt::Applied, Receipt::Applied),
            (Inactive, Inactive, Receipt::Unverified, Receipt::Already),
            (Unknown, Inactive, Receipt::Unverified, Receipt::Unverified),
            (Unknown, Unknown, Receipt::Unverified, Receipt::Unverified),
            (Active, Unknown, Receipt::Unverified, Receipt::Unverified),
            (Active, Active, Receipt::Refused, Receipt::Refused),
            (Inactive, Active, Receipt::Refused, Receipt::Refused),
        ] {
            let told = [Kind::Jwt, Kind::RefreshToken].map(|kind| receipt(kind, before, after));
            assert_eq!(told, [jwt, refresh_token], "{before:?}, {after:?}");
        }
    }
}
