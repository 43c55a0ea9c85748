//! Bodies of requests from people: JSON, with a reason.

use super::problem::Problem;
use crate::formats::secrets::secret::Fingerprinter;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use compact_str::CompactString;
use serde::Deserialize;
use utoipa::ToSchema;

/// The longest reason. Unit: characters.
const REASON_CHARS_MAX: usize = 1000;

/// The body of an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderBody {
    /// Why: one line, without characters that turn the direction of text.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]*[^\s\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069][^\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"
    )]
    reason: String,
    /// Who, where tokens don't tell; as `reason`.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]+$"
    )]
    by: Option<String>,
    /// How long a suspension lasts. Unit: seconds.
    #[schema(minimum = 1, maximum = 604_800)]
    pub(super) lasts_s: Option<u32>,
    /// Whether to order nothing about a credential that no event named and nothing was decided on of
    /// late: its name may be a slip. Default: false.
    #[serde(default)]
    pub(super) only_known: bool,
}

/// The checked body.
pub(super) struct OrderReason {
    /// Why.
    pub(super) reason: String,
    /// Who, as people read it.
    pub(super) by: CompactString,
}

/// Whether a character turns the direction of text, so that a line reads as it is not.
const fn turns_text(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a text is one line that people can read, and not empty.
pub(super) fn is_line(text: &str) -> bool {
    let length = (1..=REASON_CHARS_MAX).contains(&text.chars().count());
    length && !text.chars().any(|char| char.is_control() || turns_text(char))
}

impl OrderBody {
    /// Checks what was said by the holder of `account`. Secrets in it are replaced by fingerprints.
    pub(super) fn heard(
        &self,
        account: &str,
        fingerprints: &Fingerprinter,
    ) -> Result<OrderReason, Problem> {
        let clean = |text: &str| fingerprints.clean_text(text).unwrap_or_else(|| text.to_owned());
        let reason = self.reason.trim().to_owned();
        if reason.is_empty()
            || !is_line(&self.reason)
            || self.by.as_deref().is_some_and(|by| !is_line(by))
        {
            return Err(Problem::bad_request(
                "say why, in `reason`: 1 to 1000 characters on one line",
            ));
        }
        let by = match &self.by {
            Some(by) => CompactString::from(format!("{} ({account})", clean(by))),
            None => CompactString::from(account),
        };
        Ok(OrderReason { reason: clean(&reason), by })
    }
}

/// A JSON body, and nothing else: a form of a web page on another site can't be sent as one.
pub(super) struct Body<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
            let detail = "send Content-Type: application/json";
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "this is no JSON",
                detail,
            ));
        }
        let bytes = axum::body::to_bytes(request.into_body(), 64 * 1024).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large",
                "send 64 KiB at most",
            )
        })?;
        let read = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|_| {
            Problem::bad_request("its fields are not those of the description, see /openapi.json")
        })
    }
}
