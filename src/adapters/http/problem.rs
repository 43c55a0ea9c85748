//! Errors as JSON: what happened and what to do.

use crate::adapters::channels::VoteError;
use crate::control_plane::approvals::NoVote;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// An error. Shape: problem details of RFC 9457.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The status code.
    status: u16,
    /// The kind of problem.
    title: &'static str,
    /// The remedy.
    detail: String,
    /// When to send again. Unit: seconds.
    #[serde(skip)]
    retry_after_s: u64,
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), title, detail: detail.into(), retry_after_s: 1 }
    }

    /// The same, to be sent again after that time.
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after_s: wait.as_secs() + 1, ..self }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the request makes no sense", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let kind = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            "application/problem+json"
                .parse()
                .unwrap_or_else(|_| axum::http::HeaderValue::from_static("application/json")),
        );
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, retry_after_s.into());
            }
            _ => {}
        }
        response
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here", "see /openapi.json")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path takes another method",
        "see /openapi.json",
    )
}

impl From<VoteError> for Problem {
    fn from(error: VoteError) -> Self {
        let (status, title) = match error {
            VoteError::NoVote(NoVote::NotWaiting) => (StatusCode::NOT_FOUND, "nothing waits there"),
            VoteError::NoVote(NoVote::TooLate) => (StatusCode::CONFLICT, "that comes too late"),
            VoteError::NoVote(NoVote::Already) => {
                (StatusCode::CONFLICT, "one person has one voice")
            }
            VoteError::LessSevere(_) => (StatusCode::CONFLICT, "something more severe is in force"),
            VoteError::NotDurable(_) => (StatusCode::SERVICE_UNAVAILABLE, "not carried out yet"),
        };
        Self::new(status, title, error.to_string())
    }
}
