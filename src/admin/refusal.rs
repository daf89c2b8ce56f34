//! Why the admin listener says no, as RFC 9457 problem documents. Whoever reads them runs this process: `detail` says what
//! to do about it. No value, key or token is ever in one.

use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;
use tracing::warn;

use super::answer::{Kind, answer};
use crate::store::StoreError;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nothing is served there.
    NoRoute,
    /// Another method is needed; these.
    Method(&'static str),
    /// The query is not one; what is wrong with it.
    Query(String),
    /// It was sent for another host than this.
    ForeignHost,
    /// A page of another origin sends it.
    ForeignOrigin,
    /// No token, or another one.
    Unauthorized,
    /// There is no token that would open this.
    Closed,
    /// No such session lives.
    NoSession,
    /// The store could not be read.
    Store(StoreError),
    /// Nor could what was to be ended be ended, or not all of it, or that is not known.
    Ending(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "no-route", "There is nothing here"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed"),
            Self::Query(_) => (StatusCode::BAD_REQUEST, "bad-request", "The query cannot be understood"),
            Self::ForeignHost => (StatusCode::FORBIDDEN, "foreign-host", "The request is for another host"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin", "The request comes from another site"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "The admin token is needed"),
            Self::Closed => (StatusCode::FORBIDDEN, "closed", "This part of the admin listener is off"),
            Self::NoSession => (StatusCode::NOT_FOUND, "no-session", "No such session lives"),
            Self::Store(_) | Self::Ending(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "The store could not do it")
            }
        }
    }

    fn detail(&self) -> String {
        let fixed = match self {
            Self::NoRoute => "the paths are /, /healthz, /readyz, /metrics, /v1/status, /v1/traffic and /v1/sessions",
            Self::Method(allowed) => return format!("send one of {allowed}"),
            Self::Query(fault) => return fault.clone(),
            Self::ForeignHost => {
                "ask by an IP address, as localhost or *.localhost, or by a name without a dot, so that no other site's \
                 name can be made to lead here"
            }
            Self::ForeignOrigin => "open the page of this listener itself",
            Self::Unauthorized => "send Authorization: Bearer and the token of admin.token",
            Self::Closed => {
                "there is no token: set admin.token = { file = \"...\" } to at least 32 characters (cloakroom keys new \
                 prints some), or listen on a Unix socket, admin.address = \"unix:/...\", which needs none"
            }
            Self::NoSession => "it has ended, or the handle is none: it has 43 characters",
            Self::Store(StoreError::Refused(code)) | Self::Ending(StoreError::Refused(code)) if code == "NOPERM" => {
                "the user in store.url lacks a right: permit +scan in its ACL"
            }
            Self::Store(error) => return error.to_string(),
            Self::Ending(error) => return format!("{error}; some of it may have ended: do it again"),
        };
        fixed.to_owned()
    }

    pub(super) fn response(&self) -> Response<String> {
        let (status, label, title) = self.parts();
        let kind = format!("urn:cloakroom:error:{label}");
        let problem = json!({"type": kind, "title": title, "status": status.as_u16(), "detail": self.detail()});
        let mut response = answer(status, Kind::Problem, problem.to_string());
        let headers = response.headers_mut();
        match self {
            Self::Method(allowed) => headers.insert(ALLOW, HeaderValue::from_static(allowed)),
            Self::Unauthorized => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::Store(error) | Self::Ending(error) => {
                warn!(target: "cloakroom::admin", %error, "sessions could not be read or ended");
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => None,
        };
        response
    }
}
