//! RFC 9457: every refusal as `application/problem+json`. The only place that maps errors to a status.
//!
//! What is refused says what, where (a JSON pointer) and how to mend it. Deliberately absent: stack traces,
//! internal paths, other callers' objects, and anything that an error of a library may have put into its text.

use std::any::Any;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;
use vilicus_core::kind::BuildError;
use vilicus_core::{Millis, ParamsError};
use vilicus_store::{Refusal, StoreError};

/// A refusal on its way to the caller.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<Mistake>,
    retry_after: Option<Millis>,
}

/// One mistake in what was sent: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mistake {
    /// The place, as a JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// What is wrong there, and what would be right.
    pub detail: String,
}

impl Mistake {
    /// A mistake at this place.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A problem document as it goes over the wire.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody<'a> {
    /// `about:blank`: the status says it all.
    r#type: &'static str,
    /// The words of the status.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong, and how to mend it.
    detail: &'a str,
    /// The places, when the body is at fault.
    #[serde(skip_serializing_if = "<[Mistake]>::is_empty")]
    errors: &'a [Mistake],
}

impl Problem {
    /// A refusal with this status and these words.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// 400: the request is not what it should be.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: who are you?
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403: you may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: there is no such thing, or the caller may not know of it.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here, or the token may not know of it")
    }

    /// 409: it does not fit what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 412: the object was changed since the caller read it.
    pub fn stale() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "the object was changed since it was read; read it again and repeat the change",
        )
    }

    /// 413: the body is larger than this.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes; send less at a time"),
        )
    }

    /// 415: the body is in a form that is not taken.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 422: what was sent is well-formed and wrong, at one place.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::mistakes(vec![Mistake::new(pointer, detail)])
    }

    /// 422: what was sent is well-formed and wrong, at these places.
    pub fn mistakes(errors: Vec<Mistake>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} things are wrong; see errors", many.len()),
        };
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// 429: not so fast.
    pub fn too_many(detail: impl Into<String>, retry_after: Millis) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 403 that passes when somebody has done something: with `Retry-After`.
    pub fn not_yet(detail: impl Into<String>, retry_after: Millis) -> Self {
        Self { retry_after: Some(retry_after), ..Self::forbidden(detail) }
    }

    /// 500: a fault of ours, without details.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed; its log says why")
    }

    /// The same problem, its places moved below `prefix`.
    pub fn below(mut self, prefix: &str) -> Self {
        for error in &mut self.errors {
            error.pointer.insert_str(0, prefix);
        }
        if let [one] = self.errors.as_slice() {
            self.detail = format!("{}: {}", one.pointer, one.detail);
        }
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The mistakes in what was sent, each with its place.
    #[must_use]
    pub fn errors(&self) -> &[Mistake] {
        &self.errors
    }

    /// What is wrong, and how to mend it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vilicus\""));
        }
        // What is left of the body stays unread, so nothing else can follow on this connection.
        if matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(span) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(span.get().div_ceil(1000).max(1)));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let text = vilicus_core::result::error_chain(&error);
        match error {
            StoreError::Unwritable { retry_after, .. } => {
                tracing::warn!(error = %text, "the store cannot write");
                Self::unavailable("the store cannot write now; nothing was kept", retry_after)
            }
            StoreError::Busy { retry_after } => {
                Self::unavailable("more waits for the store than it may hold; nothing was kept", retry_after)
            }
            StoreError::Refused { refusal, .. } => refusal.into(),
            StoreError::NoBackup => Self::new(StatusCode::NOT_IMPLEMENTED, text),
            StoreError::Closed => Self::unavailable("the server is stopping", Millis::from_secs(5)),
            _ => {
                tracing::error!(error = %text, "the store failed");
                Self::internal()
            }
        }
    }
}

impl Problem {
    /// 503: not now.
    pub fn unavailable(detail: &str, retry_after: Millis) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound { .. } => Self::not_found(),
            // The id of the other object is nobody's business who may not see it; its name they know already.
            Refusal::Taken { object, field, value, .. } => {
                Self::conflict(format!("the {field} '{value}' is taken by another {object}; choose another"))
            }
            Refusal::UsedUp => Self::forbidden(detail),
            Refusal::TooOld { .. } => Self::invalid("/timestamp", detail),
            _ => Self::conflict(detail),
        }
    }
}

impl From<BuildError> for Problem {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Params(error) => error.into(),
            other => Self::invalid("/kind", other.to_string()),
        }
    }
}

impl From<ParamsError> for Problem {
    fn from(error: ParamsError) -> Self {
        Self::invalid(format!("/params{}", error.pointer), error.detail)
    }
}

/// The answer to a path that leads nowhere.
pub async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path; see /api/v1/")
}

/// The answer to a method that a path does not know; the router adds `Allow`.
pub async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} cannot be done to {:?}; Allow names what can", method.as_str(), uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// The answer when a handler panicked: what it said goes to the log alone.
#[must_use]
pub fn of_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it said nothing");
    tracing::error!(panic = ?said, "a request handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_errors_become_the_status_of_the_contract() {
        let refused = |refusal| StoreError::Refused { index: 0, refusal };
        let taken = Refusal::Taken { object: "agent", id: 7, field: "name", value: "web-1".to_owned() };
        for (error, status) in [
            (StoreError::Busy { retry_after: Millis::from_secs(2) }, 503),
            (StoreError::Closed, 503),
            (refused(Refusal::NotFound { object: "check", id: 1 }), 404),
            (refused(taken), 409),
            (refused(Refusal::UsedUp), 403),
        ] {
            assert_eq!(Problem::from(error).status().as_u16(), status);
        }
    }

    #[test]
    fn a_busy_store_says_when_to_come_back() {
        let response = Problem::from(StoreError::Busy { retry_after: Millis::new(1) }).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn the_id_of_another_scope_is_not_told() {
        let taken = Refusal::Taken { object: "agent", id: 4711, field: "guid", value: "g".to_owned() };
        assert!(!Problem::from(taken).detail().contains("4711"));
    }

    #[test]
    fn places_can_be_moved_below_another() {
        let problem = Problem::invalid("/name", "is empty").below("/objects/3");
        assert_eq!(problem.detail(), "/objects/3/name: is empty");
    }
}
