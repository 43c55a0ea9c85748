//! Errors as JSON: what happened and what to do.

use crate::adapters::channels::VoteError;
use crate::control_plane::approvals::NoVote;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
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
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), title, detail: detail.into() }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the request makes no sense", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
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
                headers.insert(RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
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
