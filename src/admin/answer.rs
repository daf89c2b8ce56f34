//! Answers of the admin listener: none may be kept, none is guessed to be another type than it says, none is framed.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Json,
    Problem,
    Html,
}

impl Kind {
    fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Problem => "application/problem+json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// An answer with this body.
pub(super) fn answer(status: StatusCode, kind: Kind, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind.media_type()),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn text(status: StatusCode, body: &str) -> Response<String> {
    answer(status, Kind::Text, body.to_owned())
}

/// 200 with this as JSON.
pub(super) fn json(body: &impl Serialize) -> Response<String> {
    match serde_json::to_string(body) {
        Ok(text) => answer(StatusCode::OK, Kind::Json, text),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written\n"),
    }
}
