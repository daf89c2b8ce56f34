//! `/v1/sessions`: looking through the sessions and ending them. Nothing of what is in a session is shown unless asked for,
//! and both that and every ending leave a line in the log, with the handle and never with the subject.

use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tracing::info;

use super::{Admin, Refusal, answer, query::Query, view};
use crate::{
    session::Handle,
    store::{census, index},
};

impl Admin {
    /// Lists all sessions or those of a subject; ends those of a subject.
    pub(super) async fn sessions(&self, method: &Method, query: Option<&str>) -> Result<Response<String>, Refusal> {
        if *method == Method::DELETE {
            return self.revoke_subject(&Query::read(query, &["subject"])?).await;
        }
        let query = Query::read(query, &["subject", "limit", "cursor"])?;
        let (limit, cursor) = (query.limit()?, query.cursor()?);
        let roll = match query.subject()? {
            Some(subject) => census::page_of(&self.store, subject, cursor, limit).await?,
            None => census::page(&self.store, cursor, limit).await?,
        };
        let now = self.store.now();
        let sessions = roll.sessions.iter().map(|found| view::Session::of(found, now, &self.policy));
        let sessions: Vec<_> = sessions.collect();
        let next = roll.next.map(|next| next.to_string());
        Ok(answer::json(&view::Page { sessions, unreadable: roll.unreadable, next }))
    }

    async fn revoke_subject(&self, query: &Query) -> Result<Response<String>, Refusal> {
        let Some(subject) = query.subject()? else {
            return Err(Refusal::Query("subject is missing: whose sessions are to end?".to_owned()));
        };
        let revoked = index::revoke(&self.store, subject, None).await.map_err(Refusal::Ending)?;
        info!(target: "cloakroom::admin", revoked, "the sessions of a subject were revoked");
        Ok(answer::json(&json!({ "revoked": revoked })))
    }

    pub(super) async fn count(&self, query: Option<&str>) -> Result<Response<String>, Refusal> {
        let count = match Query::read(query, &["subject"])?.subject()? {
            Some(subject) => census::count_of(&self.store, subject).await?,
            None => census::count(&self.store).await?,
        };
        Ok(answer::json(&json!({ "count": count })))
    }

    /// Shows or ends one session.
    pub(super) async fn session(
        &self,
        handle: &str,
        method: &Method,
        query: Option<&str>,
    ) -> Result<Response<String>, Refusal> {
        let handle = percent_decode_str(handle).decode_utf8().ok().and_then(|text| Handle::parse(&text));
        let handle = handle.ok_or(Refusal::NoSession)?;
        if *method == Method::DELETE {
            Query::read(query, &[])?;
            return self.revoke(handle).await;
        }
        let with_data = Query::read(query, &["data"])?.flag("data")?;
        let found = census::find(&self.store, handle).await?.ok_or(Refusal::NoSession)?;
        let session = view::Session::of(&found, self.store.now(), &self.policy);
        if !with_data {
            return Ok(answer::json(&session));
        }
        info!(target: "cloakroom::admin", session = %handle, "the data of a session is shown");
        Ok(answer::json(&session.with_data(&found.record)))
    }

    async fn revoke(&self, handle: Handle) -> Result<Response<String>, Refusal> {
        if !census::end(&self.store, handle).await.map_err(Refusal::Ending)? {
            return Err(Refusal::NoSession);
        }
        info!(target: "cloakroom::admin", session = %handle, "a session was revoked");
        let mut response = answer::text(StatusCode::NO_CONTENT, "");
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        Ok(response)
    }
}
