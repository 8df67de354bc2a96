//! Which status an outcome has. Every status but 200 makes the source try again with the same bytes; they differ for
//! the people who read them. Never a redirect: Go's client would turn the POST into a GET.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use sink_core::failure::{Disposition, Failure, chain};
use sink_core::staging::admission::RowError;
use sink_core::target::pool::UNKNOWN_DATABASE;
use sink_service::body::BodyError;

use crate::encoding::EncodingError;
use crate::payload::PayloadError;
use crate::route::BadOption;

/// A refusal: a status and a short text, which the source shows to its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// What is wrong and what to do.
    pub text: String,
}

impl Refusal {
    /// A refusal with this status.
    #[must_use]
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

/// The answer to a delivery.
#[must_use]
pub fn response(outcome: Result<(), Refusal>) -> Response<Full<Bytes>> {
    match outcome {
        Ok(()) => text(StatusCode::OK, "OK"),
        Err(refusal) => text(refusal.status, refusal.text),
    }
}

/// A plain text response.
#[must_use]
pub fn text(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", text.into())
}

/// A response of some type.
#[must_use]
pub fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110, 15.5.2: a 401 says which kind of credentials is wanted.
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    response
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Self {
        let status = match error {
            PayloadError::TooManyRows => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<BadOption> for Refusal {
    fn from(error: BadOption) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<RowError> for Refusal {
    fn from(error: RowError) -> Self {
        let status = match error {
            RowError::Text { .. } | RowError::Malformed { .. } => StatusCode::BAD_REQUEST,
            // The feed tries again until the configuration is mended.
            RowError::Rejected { .. } => StatusCode::SERVICE_UNAVAILABLE,
            RowError::Shape(_)
            | RowError::NoPrimaryKey(_)
            | RowError::KeyLength { .. }
            | RowError::KeyOrder(_)
            | RowError::KeyMember { .. }
            | RowError::Kind { .. }
            | RowError::KeyType { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), body_text(matches!(error, BodyError::TooLarge { .. }), &error))
    }
}

impl From<EncodingError> for Refusal {
    fn from(error: EncodingError) -> Self {
        let status = match error {
            EncodingError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            EncodingError::OverBudget => StatusCode::SERVICE_UNAVAILABLE,
            EncodingError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, body_text(status == StatusCode::PAYLOAD_TOO_LARGE, &error))
    }
}

/// The source will send the same bytes again, so a body that is too long needs a person.
fn body_text(too_large: bool, error: &dyn std::error::Error) -> String {
    if too_large {
        format!(
            "{error}; raise --maxBodyBytes, or lower Flush.Bytes or Flush.Messages in the feed's webhook_sink_config"
        )
    } else {
        error.to_string()
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = match failure.disposition() {
            _ if failure.sqlstate() == Some(UNKNOWN_DATABASE) => StatusCode::NOT_FOUND,
            Disposition::Retry | Disposition::Defer | Disposition::Fenced => StatusCode::SERVICE_UNAVAILABLE,
            // Data exceptions and integrity violations are the row's.
            Disposition::Halt
                if failure
                    .sqlstate()
                    .is_some_and(|code| code.starts_with("22") || code.starts_with("23")) =>
            {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Disposition::Halt => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, chain(&failure))
    }
}
