//! Every way in which we say no, and nothing else knows HTTP's words for it (contract section 5, the table).
//!
//! A rejection replaces the whole response: RFC 9457 for programs, the same as a small page for browsers. It names its
//! kind and the request's id; what went wrong inside is for the log.

use std::{fmt, time::Duration};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::tally::Kind;
use crate::{
    envelope::OpenError,
    headers::{self, HeadFault},
    session::settle::Refusal,
    store::{StoreError, commit::CommitError},
    telemetry::meter::Label,
    upstream::SendError,
};

/// What `Allow` says.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why a request, or a change of its session, is refused.
#[derive(Debug)]
pub enum Rejection {
    /// Request target, header or framing not acceptable.
    BadRequest(String),
    /// The request line alone is larger than `limits.header_bytes`.
    TargetTooLong,
    /// Over `limits.header_bytes` or `limits.headers`.
    HeadTooLarge,
    /// Its head took longer than `limits.head_timeout`.
    HeadTooSlow,
    /// Over `limits.body_bytes`.
    BodyTooLarge,
    /// Nothing of the request's body came for `limits.body_idle_timeout`.
    BodyTooSlow,
    /// The request's body broke off, or is not framed as it should be.
    BodyBroken,
    /// `Expect` asks for something else than `100-continue`.
    Expectation,
    /// `CONNECT` and `TRACE`.
    MethodNotAllowed,
    /// The request came through us already.
    Loop,
    /// No route has this host and path.
    NoRoute,
    /// A gate is closed (`require`); with its status.
    SessionRequired(StatusCode),
    /// A gate is closed, and the visitor sent to sign in there.
    SignIn(HeaderValue),
    /// Steps 1 and 7: the update or control headers are no valid change.
    InvalidUpdate(String),
    /// Step 8.
    TooLarge,
    /// Step 6, or a JSON Patch that does not fit.
    VersionConflict,
    /// Steps 3 and 5; the ticket is recognised for this much longer.
    SessionEnded(Option<Duration>),
    /// Step 4.
    InsecureTransport,
    /// Steps 2 and 9.
    StoreUnavailable(StoreError),
    /// No connection to the application.
    UpstreamUnavailable(SendError),
    /// No answer in time.
    UpstreamTimeout,
    /// The application closed early or answered nonsense.
    UpstreamFailed(String),
    /// Over a connection limit.
    Unavailable,
}

impl Rejection {
    /// The response's status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooSlow | Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::SessionRequired(status) => *status,
            Self::SignIn(_) => StatusCode::SEE_OTHER,
            Self::VersionConflict | Self::SessionEnded(_) => StatusCode::CONFLICT,
            Self::StoreUnavailable(_) | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::InvalidUpdate(_)
            | Self::TooLarge
            | Self::InsecureTransport
            | Self::UpstreamUnavailable(_)
            | Self::UpstreamFailed(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// Which it is.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::BadRequest(_) | Self::BodyBroken => Kind::BadRequest,
            Self::TargetTooLong => Kind::TargetTooLong,
            Self::HeadTooLarge => Kind::HeadTooLarge,
            Self::HeadTooSlow => Kind::HeadTooSlow,
            Self::BodyTooLarge => Kind::BodyTooLarge,
            Self::BodyTooSlow => Kind::BodyTooSlow,
            Self::Expectation => Kind::ExpectationFailed,
            Self::MethodNotAllowed => Kind::MethodNotAllowed,
            Self::Loop => Kind::LoopDetected,
            Self::NoRoute => Kind::NoRoute,
            Self::SessionRequired(_) | Self::SignIn(_) => Kind::SessionRequired,
            Self::InvalidUpdate(_) => Kind::InvalidUpdate,
            Self::TooLarge => Kind::SessionTooLarge,
            Self::VersionConflict => Kind::VersionConflict,
            Self::SessionEnded(_) => Kind::SessionEnded,
            Self::InsecureTransport => Kind::InsecureTransport,
            Self::StoreUnavailable(_) => Kind::StoreUnavailable,
            Self::UpstreamUnavailable(_) => Kind::UpstreamUnavailable,
            Self::UpstreamTimeout => Kind::UpstreamTimeout,
            Self::UpstreamFailed(_) => Kind::UpstreamFailed,
            Self::Unavailable => Kind::Unavailable,
        }
    }

    /// The last part of the problem's `type`.
    pub fn label(&self) -> &'static str {
        self.kind().text()
    }

    fn title(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::BodyBroken => "The request is not acceptable",
            Self::TargetTooLong => "The request's address is too long",
            Self::HeadTooLarge => "The request's headers are too large",
            Self::HeadTooSlow => "The request's headers did not arrive in time",
            Self::BodyTooLarge => "The request's body is too large",
            Self::BodyTooSlow => "The request's body did not arrive in time",
            Self::Expectation => "The request expects what is not offered",
            Self::MethodNotAllowed => "The method is not allowed",
            Self::Loop => "The request goes round in circles",
            Self::NoRoute => "Nothing is served here",
            Self::SessionRequired(_) | Self::SignIn(_) => "This is not for everybody: sign in first",
            Self::InvalidUpdate(_) => "The application's session change is not valid",
            Self::TooLarge => "The session would become too large",
            Self::VersionConflict => "The session was changed meanwhile",
            Self::SessionEnded(_) => "The session has ended",
            Self::InsecureTransport => "The session cookie would not reach the browser",
            Self::StoreUnavailable(_) => "Sessions are unavailable at the moment",
            Self::UpstreamUnavailable(_) => "The application cannot be reached",
            Self::UpstreamTimeout => "The application did not answer in time",
            Self::UpstreamFailed(_) => "The application did not answer properly",
            Self::Unavailable => "The service is busy at the moment",
        }
    }

    /// Whether the fault is in the message itself, so that nobody should trust what follows on the connection.
    fn is_of_the_message(&self) -> bool {
        match self {
            Self::BadRequest(_)
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::HeadTooSlow
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::BodyBroken
            | Self::Expectation
            | Self::MethodNotAllowed => true,
            Self::Loop
            | Self::NoRoute
            | Self::SessionRequired(_)
            | Self::SignIn(_)
            | Self::InvalidUpdate(_)
            | Self::TooLarge
            | Self::VersionConflict
            | Self::SessionEnded(_)
            | Self::InsecureTransport
            | Self::StoreUnavailable(_)
            | Self::UpstreamUnavailable(_)
            | Self::UpstreamTimeout
            | Self::UpstreamFailed(_)
            | Self::Unavailable => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SessionEnded(left) => *left,
            Self::StoreUnavailable(_) | Self::Unavailable => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The response, in the form that the request's `Accept` asks for.
    pub fn response(&self, instance: &str, accept: Form) -> Response<String> {
        let (content_type, text) = match accept {
            Form::Problem => ("application/problem+json", self.problem(instance)),
            Form::Page => ("text/html; charset=utf-8", self.page(instance)),
        };
        let mut response = Response::new(text);
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(left) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(left.as_millis().div_ceil(1000).max(1) as u64));
        }
        if self.is_of_the_message() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        match self {
            Self::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static(METHODS));
            }
            Self::SignIn(target) => {
                headers.insert(LOCATION, target.clone());
            }
            // RFC 9110 section 15.5.2 wants a challenge; browsers ignore one that they do not know.
            Self::SessionRequired(StatusCode::UNAUTHORIZED) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Cookie realm=\"session\""));
            }
            _ => {}
        }
        response
    }

    fn problem(&self, instance: &str) -> String {
        let problem = json!({
            "type": format!("urn:cloakroom:error:{}", self.label()),
            "title": self.title(),
            "status": self.status().as_u16(),
            "instance": instance,
        });
        format!("{problem}\n")
    }

    fn page(&self, instance: &str) -> String {
        let (status, title) = (self.status().as_u16(), self.title());
        let shown: String = instance.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.:/~".contains(*c)).collect();
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{status} {title}</title>\
             <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em;\
             color-scheme:light dark}}small{{opacity:.6}}</style>\
             <h1>{title}</h1><p>Please try again. If it goes on, tell whoever runs this site:</p>\
             <p><small>{status} {label} · {shown}</small></p></html>\n",
            label = self.label(),
        )
    }
}

/// In which form a rejection is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/problem+json`
    Problem,
    /// `text/html`
    Page,
}

impl Form {
    /// Browsers ask for `text/html` by name; nobody else does.
    pub fn wanted(headers: &HeaderMap) -> Self {
        if headers::asks_for_html(headers) { Self::Page } else { Self::Problem }
    }
}

/// For the log: what went wrong inside. Carries no data.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(why) | Self::InvalidUpdate(why) | Self::UpstreamFailed(why) => f.write_str(why),
            Self::StoreUnavailable(error) => error.fmt(f),
            Self::UpstreamUnavailable(error) => error.fmt(f),
            Self::InsecureTransport => f.write_str(
                "the browser would throw the cookie away. If it is Secure and came over plain HTTP: set listen.scheme = \
                 \"https\" if TLS ends before Cloakroom, list the proxy that ends it in listen.trusted_proxies, or set \
                 cookie.secure = false. If the host is not within cookie.domain: give its route a host of its own",
            ),
            Self::TooLarge => f.write_str("the data would be larger than session.max_bytes"),
            Self::TargetTooLong => HeadFault::TargetTooLong.fmt(f),
            Self::HeadTooLarge => f.write_str("the request's head is over limits.header_bytes or limits.headers"),
            Self::HeadTooSlow => HeadFault::TooSlow.fmt(f),
            Self::BodyTooLarge => f.write_str("the request's body is over limits.body_bytes"),
            Self::BodyTooSlow => f.write_str("nothing of the request's body came for limits.body_idle_timeout"),
            Self::BodyBroken => f.write_str("the request's body broke off or is malformed"),
            _ => f.write_str(self.title()),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<HeadFault> for Rejection {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::TargetTooLong => Self::TargetTooLong,
            HeadFault::TooLong | HeadFault::TooManyFields => Self::HeadTooLarge,
            HeadFault::TooSlow => Self::HeadTooSlow,
            HeadFault::EmptyLines
            | HeadFault::BareLineFeed
            | HeadFault::Folded
            | HeadFault::Length
            | HeadFault::Coding
            | HeadFault::LengthAndCoding => Self::BadRequest(fault.to_string()),
        }
    }
}

impl From<CommitError> for Rejection {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::StoreUnavailable(error),
            CommitError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ended(left) => Self::SessionEnded(left),
            Refusal::Unavailable => Self::StoreUnavailable(StoreError::Disconnected),
            Refusal::Unreachable => Self::InsecureTransport,
            Refusal::VersionConflict | Refusal::DoesNotFit => Self::VersionConflict,
            Refusal::NotAnObject => Self::InvalidUpdate("the data would be no JSON object".to_owned()),
            Refusal::TooLarge => Self::TooLarge,
        }
    }
}

impl From<OpenError> for Rejection {
    fn from(error: OpenError) -> Self {
        Self::InvalidUpdate(error.to_string())
    }
}

impl From<SendError> for Rejection {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NoSlot => Self::Unavailable,
            SendError::Unreachable(_) | SendError::NoServer => Self::UpstreamUnavailable(error),
            SendError::Timeout => Self::UpstreamTimeout,
            SendError::RequestBody => Self::BodyBroken,
            SendError::Failed(_) | SendError::Unfit(_) => Self::UpstreamFailed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::Value;

    use super::*;
    use crate::session::control::Control;

    const ID: &str = "0123-abc";

    fn response(rejection: &Rejection, form: Form) -> Response<String> {
        rejection.response(ID, form)
    }

    /// Every way in which we say no, with what the contract's table promises.
    fn table() -> Vec<(Rejection, u16, &'static str, Option<&'static str>)> {
        let unreachable = || SendError::Unreachable(io::Error::other("10.0.0.1:80"));
        let left = |ms| Some(Duration::from_millis(ms));
        let secret = || "10.0.0.1 canary".to_owned();
        vec![
            (Rejection::BadRequest(secret()), 400, "bad-request", None),
            (Rejection::BodyBroken, 400, "bad-request", None),
            (Rejection::TargetTooLong, 414, "target-too-long", None),
            (Rejection::HeadTooLarge, 431, "head-too-large", None),
            (Rejection::HeadTooSlow, 408, "head-too-slow", None),
            (Rejection::BodyTooLarge, 413, "body-too-large", None),
            (Rejection::BodyTooSlow, 408, "body-too-slow", None),
            (Rejection::Expectation, 417, "expectation-failed", None),
            (Rejection::MethodNotAllowed, 405, "method-not-allowed", None),
            (Rejection::Loop, 508, "loop-detected", None),
            (Rejection::NoRoute, 404, "no-route", None),
            (Rejection::SessionRequired(StatusCode::UNAUTHORIZED), 401, "session-required", None),
            (Rejection::SessionRequired(StatusCode::FORBIDDEN), 403, "session-required", None),
            (Rejection::SignIn(HeaderValue::from_static("/login")), 303, "session-required", None),
            (Rejection::InvalidUpdate(secret()), 502, "invalid-update", None),
            (Rejection::TooLarge, 502, "session-too-large", None),
            (Rejection::VersionConflict, 409, "version-conflict", None),
            (Rejection::SessionEnded(None), 409, "session-ended", None),
            (Rejection::SessionEnded(left(9_001)), 409, "session-ended", Some("10")),
            (Rejection::SessionEnded(left(9_000)), 409, "session-ended", Some("9")),
            (Rejection::SessionEnded(left(0)), 409, "session-ended", Some("1")),
            (Rejection::InsecureTransport, 502, "insecure-transport", None),
            (Rejection::StoreUnavailable(StoreError::Full), 503, "store-unavailable", Some("1")),
            (Rejection::StoreUnavailable(StoreError::Timeout), 503, "store-unavailable", Some("1")),
            (Rejection::UpstreamUnavailable(unreachable()), 502, "upstream-unavailable", None),
            (Rejection::UpstreamTimeout, 504, "upstream-timeout", None),
            (Rejection::UpstreamFailed(secret()), 502, "upstream-failed", None),
            (Rejection::Unavailable, 503, "unavailable", Some("1")),
        ]
    }

    #[test]
    fn every_rejection_has_the_status_the_type_and_the_advice_of_the_contract() {
        for (rejection, status, label, retry_after) in table() {
            let response = response(&rejection, Form::Problem);
            assert_eq!(response.status(), status, "{rejection:?}");
            let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header(RETRY_AFTER), retry_after, "{rejection:?}");
            assert_eq!(header(CONTENT_TYPE), Some("application/problem+json"));
            assert_eq!(header(CACHE_CONTROL), Some("no-store"));
            assert_eq!(header(ALLOW).is_some(), status == 405);
            assert_eq!(header(CONNECTION), [400, 405, 408, 413, 414, 417, 431].contains(&status).then_some("close"));
            assert_eq!(header(WWW_AUTHENTICATE).is_some(), status == 401);
            assert_eq!(header(LOCATION), (status == 303).then_some("/login"));
            let problem: Value = serde_json::from_str(response.body()).unwrap();
            let wanted = json!({
                "type": format!("urn:cloakroom:error:{label}"),
                "title": rejection.title(),
                "status": status,
                "instance": ID,
            });
            assert_eq!(problem, wanted);
        }
    }

    #[test]
    fn the_page_says_the_same_and_may_not_be_kept_either() {
        for (rejection, status, label, retry_after) in table() {
            let response = response(&rejection, Form::Page);
            assert_eq!(response.status(), status, "{rejection:?}");
            let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header(CONTENT_TYPE), Some("text/html; charset=utf-8"));
            assert_eq!((header(CACHE_CONTROL), header(RETRY_AFTER)), (Some("no-store"), retry_after));
            let page = response.body();
            assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
            assert!(
                [rejection.title(), label, ID, &status.to_string()].iter().all(|part| page.contains(part)),
                "{page}"
            );
        }
    }

    #[test]
    fn no_answer_says_what_went_wrong_inside() {
        for (rejection, ..) in table() {
            for form in [Form::Problem, Form::Page] {
                let answer = format!("{:?}", response(&rejection, form));
                assert!(!answer.contains("canary") && !answer.contains("10.0.0.1"), "{answer}");
            }
            assert!(!rejection.to_string().is_empty());
        }
    }

    #[test]
    fn a_request_id_cannot_break_out_of_the_page_or_the_problem() {
        let id = "\"><script>alert('x')</script>&lt;\\";
        let page = Rejection::NoRoute.response(id, Form::Page).into_body();
        assert!(!page.contains("<script") && page.contains("scriptalertx/scriptlt"), "{page}");
        let problem = Rejection::NoRoute.response(id, Form::Problem).into_body();
        let problem: Value = serde_json::from_str(&problem).unwrap();
        assert_eq!(problem["instance"], id);
    }

    #[test]
    fn every_refusal_of_a_change_is_a_row_of_the_table() {
        let ended = Some(Duration::from_secs(3));
        for (refusal, wanted) in [
            (Refusal::Ended(ended), "session-ended"),
            (Refusal::Ended(None), "session-ended"),
            (Refusal::Unavailable, "store-unavailable"),
            (Refusal::Unreachable, "insecure-transport"),
            (Refusal::VersionConflict, "version-conflict"),
            (Refusal::DoesNotFit, "version-conflict"),
            (Refusal::NotAnObject, "invalid-update"),
            (Refusal::TooLarge, "session-too-large"),
        ] {
            assert_eq!(Rejection::from(CommitError::Refused(refusal)).label(), wanted, "{refusal:?}");
        }
        assert_eq!(Rejection::from(Refusal::Ended(ended)).retry_after(), ended);
        for error in [
            StoreError::Timeout,
            StoreError::Disconnected,
            StoreError::Refused("OOM".to_owned()),
            StoreError::Nonsense,
            StoreError::Full,
        ] {
            assert_eq!(Rejection::from(CommitError::Store(error)).label(), "store-unavailable");
        }
        let unread = Control::parse([&b"none"[..]]).unwrap_err();
        assert_eq!(Rejection::from(OpenError::Control(unread)).label(), "invalid-update");
    }

    #[test]
    fn every_failure_of_an_upstream_is_a_row_of_the_table() {
        for (error, wanted) in [
            (SendError::NoSlot, "unavailable"),
            (SendError::Unreachable(io::Error::other("x")), "upstream-unavailable"),
            (SendError::NoServer, "upstream-unavailable"),
            (SendError::Timeout, "upstream-timeout"),
            (SendError::Unfit("x"), "upstream-failed"),
            (SendError::RequestBody, "bad-request"),
        ] {
            assert_eq!(Rejection::from(error).label(), wanted);
        }
    }

    #[test]
    fn the_log_says_which_setting_makes_cookies_arrive() {
        let reason = Rejection::InsecureTransport.to_string();
        assert!(["listen.scheme", "listen.trusted_proxies", "cookie.secure"].iter().all(|key| reason.contains(key)));
    }
}
