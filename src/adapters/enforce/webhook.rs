//! A webhook as auth store: every order as signed JSON.
//!
//! The receiver knows a repeated delivery by `webhook-id`, which is the decision's id, and an older
//! decision by `generation`.

use crate::adapters::clock;
use crate::adapters::egress::Egress;
use crate::adapters::target::Target;
use crate::formats::api::decision::DecisionJson;
use crate::formats::outbound::standard_webhook::Signer;
use crate::model::decision::{Decision, Delivery, Receipt};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Where it is, and what it trusts.
#[derive(Clone, Debug)]
pub struct Params {
    /// Where it is.
    pub url: Target,
    /// The key of its signatures.
    pub signer: Signer,
}

/// A webhook as auth store.
#[derive(Clone, Debug)]
pub struct WebhookStore {
    params: Params,
    egress: Egress,
}

impl WebhookStore {
    /// Makes a store; nothing is connected to.
    pub const fn new(params: Params, egress: Egress) -> Self {
        Self { params, egress }
    }

    /// Sends a decision to the receiver.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        let Some(status) = decision.order.status() else { return Receipt::Already.into() };
        let Ok(mut body) = serde_json::to_value(DecisionJson(decision.clone())) else {
            return Receipt::Refused.into();
        };
        if let Some(fields) = body.as_object_mut() {
            fields.insert("type".to_owned(), "tripline.decision".into());
            fields.insert("status".to_owned(), status.as_str().into());
        }
        let body = body.to_string().into_bytes();
        let headers = self.params.signer.headers(
            &decision.id.to_string(),
            clock::now().ms().div_euclid(1000),
            &body,
        );
        match self.egress.post(&self.params.url, header_map(&headers), body).await {
            Ok(answer) if answer.is_success() => Receipt::Applied.into(),
            Ok(answer) if answer.status == 409 => Receipt::Already.into(),
            Ok(answer) if answer.is_passing() => super::answer::later(&answer),
            Ok(answer) => {
                tracing::error!(
                    status = answer.status, receiver = %self.params.url,
                    "the webhook rejects decisions; redirects are not followed"
                );
                Receipt::Refused.into()
            }
            Err(error) => super::answer::unanswered(&error),
        }
    }
}

/// The headers of a signed JSON message.
fn header_map(signed: &[(&'static str, String); 3]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in signed {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}
