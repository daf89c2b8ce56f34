//! Why the application listener says no, as RFC 9457 problem documents.

use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;
use tracing::warn;

use crate::{
    proxy::Unsaved,
    session::settle,
    store::{StoreError, commit::CommitError},
};

/// Why there is no answer.
pub(super) enum Refusal {
    /// Nothing is served there.
    NoRoute,
    /// Another method is needed; these.
    Method(&'static str),
    /// No token, or not one of ours, or expired.
    Unauthorized,
    /// The upstream has no right to this change.
    Forbidden,
    /// The session that the token names has ended.
    Gone,
    /// `If-Match` does not.
    Precondition,
    /// A `test` or path does not fit.
    Conflict,
    /// Neither of the two patch types.
    MediaType,
    /// Not a valid patch.
    Invalid,
    /// The patch, or what the data would be.
    TooLarge,
    /// The store could not do it.
    Store(StoreError),
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        use settle::Refusal as Settled;
        match error {
            CommitError::Store(error) => Self::Store(error),
            CommitError::Refused(Settled::Ended(_)) => Self::Gone,
            CommitError::Refused(Settled::VersionConflict) => Self::Precondition,
            CommitError::Refused(Settled::DoesNotFit) => Self::Conflict,
            CommitError::Refused(Settled::NotAnObject) => Self::Invalid,
            CommitError::Refused(Settled::TooLarge) => Self::TooLarge,
            CommitError::Refused(Settled::Unavailable | Settled::Unreachable) => Self::Store(StoreError::Disconnected),
        }
    }
}

impl Refusal {
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "no-route", "There are /.well-known/jwks.json and /v1/session"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The application has no right to this change"),
            Self::Gone => (StatusCode::GONE, "session-ended", "The session has ended"),
            Self::Precondition => {
                (StatusCode::PRECONDITION_FAILED, "version-conflict", "The session was changed meanwhile")
            }
            Self::Conflict => (StatusCode::CONFLICT, "version-conflict", "The patch does not fit the session"),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Send application/merge-patch+json or application/json-patch+json",
            ),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-update", "The patch is not valid"),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "session-too-large", "The session would become too large")
            }
            Self::Store(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "Sessions are unavailable at the moment")
            }
        }
    }

    /// Which change it has cost; `None`: it is not about one.
    pub(super) fn unsaved(&self) -> Option<Unsaved> {
        match self {
            Self::NoRoute | Self::Method(_) | Self::Unauthorized => None,
            Self::Gone => Some(Unsaved::SessionEnded),
            Self::Precondition | Self::Conflict => Some(Unsaved::VersionConflict),
            Self::Forbidden | Self::MediaType | Self::Invalid => Some(Unsaved::InvalidUpdate),
            Self::TooLarge => Some(Unsaved::SessionTooLarge),
            Self::Store(_) => Some(Unsaved::StoreUnavailable),
        }
    }

    pub(super) fn response(&self) -> Response<String> {
        let (status, label, title) = self.parts();
        let kind = format!("urn:cloakroom:error:{label}");
        let mut response = Response::new(json!({"type": kind, "title": title, "status": status.as_u16()}).to_string());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Method(allowed) => headers.insert(ALLOW, HeaderValue::from_static(allowed)),
            Self::Unauthorized => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::Store(error) => {
                warn!(target: "cloakroom::application", %error, "a session could not be read or written");
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => None,
        };
        response
    }
}
