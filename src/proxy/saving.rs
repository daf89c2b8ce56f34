//! What an answer asks for, and its saving.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode};
use tracing::{info, warn};

use super::{
    Answer, Rejection, Shard,
    access::Entry,
    legacy::Asked,
    line::{Application, Route},
    tally::Unsaved,
    visit::{Presented, Visitor},
};
use crate::{
    clock, envelope,
    headers::{Mark, Seen},
    session::{
        Handle,
        change::{Change, Intent},
        control::Control,
        homes::Served,
        policy::{Create, On5xx},
        settle::{CookieStep, Outcome, Plan, Step},
    },
    store::{
        StoreError,
        commit::{Live, Request, Saved, commit},
        index::revoke,
    },
    upstream::ServedBy,
};

/// What became of a session, for the browser and for the log.
pub(super) struct Settled {
    /// What the browser must learn.
    pub(super) cookie: CookieStep,
    pub(super) outcome: Outcome,
    /// The session that was made.
    pub(super) made: Option<Handle>,
}

impl Settled {
    fn unchanged(outcome: Outcome) -> Self {
        Self { cookie: CookieStep::Keep, outcome, made: None }
    }
}

impl Shard {
    /// What the response asks for. Of a `5xx` only endings count, and what cannot be read there is logged. `seen`: of its
    /// head, with what the route hides.
    pub(super) fn open(
        &self,
        response: &Answer,
        seen: Seen,
        application: &Application,
        route: &Route,
        asked: &Asked,
    ) -> Result<Change, Rejection> {
        let (lines, settings, rights) = (response.headers(), &self.line.envelope, &application.rights);
        let told = envelope::Told::new(lines, response.body().told(), settings);
        let status = response.status();
        if !status.is_server_error() || self.line.policy.on_5xx == On5xx::Save {
            // Update and control are hidden on every route.
            let change = if seen.has(Mark::Ours) { envelope::open(&told, rights)? } else { Change::default() };
            let change = self.overhear(change, (lines, seen), (route, application), asked)?;
            let ends = asked.ends && (status.is_success() || status.is_redirection());
            let change = change.served_by(served(response, application));
            return Ok(if ends { change.ending() } else { change });
        }
        let endings = envelope::open_endings(&told, rights).unwrap_or_else(|error| {
            warn!(target: "cloakroom::proxy", %error, "the session change on a 5xx answer cannot be read");
            Change::default()
        });
        let no_endings = told.has_control() && endings.control == Control::default();
        let heard = route.legacy.hears(lines, self.line.cookie.name());
        if no_endings || heard || told.has_update() {
            self.tally.not_saved(Unsaved::ServerError);
            warn!(target: "cloakroom::proxy", "a session change on a 5xx answer is dropped (session.save_on_5xx)");
        }
        Ok(endings)
    }

    /// Whether nothing that this answer says, or does not say, changes a session: nearly always. `seen` as for
    /// [`Shard::open`], which would find nothing.
    pub(super) fn stays<B>(
        &self,
        visitor: &Visitor,
        response: &Response<B>,
        seen: Seen,
        route: &Route,
        asked: &Asked,
    ) -> bool {
        !seen.has(Mark::Ours)
            && !asked.ends
            && !route.legacy.may_hear(seen)
            && response.extensions().get::<ServedBy>().is_none()
            && self.create(visitor, response.status()) == Create::OnWrite
    }

    /// Whether an answer with this status creates a session by itself.
    fn create(&self, visitor: &Visitor, status: StatusCode) -> Create {
        if visitor.opens && !status.is_server_error() { self.line.policy.create } else { Create::OnWrite }
    }

    /// Settles and saves; returns once the store has acknowledged.
    pub(super) async fn save(
        &self,
        visitor: &Visitor,
        change: &Change,
        status: StatusCode,
        entry: &mut Entry,
    ) -> Result<Settled, Rejection> {
        let create = self.create(visitor, status);
        let is_idle = (change.intent(), create) == (Intent::Nothing, Create::OnWrite);
        if is_idle && change.control.revoke_subject.is_none() {
            return Ok(Settled::unchanged(visitor.outcome()));
        }
        let begun = clock::now();
        // Boxed, for so it is moved only once.
        let settled = Box::pin(self.carry_out(visitor, change, create)).await;
        entry.waited_for_store(begun);
        settled
    }

    async fn carry_out(&self, visitor: &Visitor, change: &Change, create: Create) -> Result<Settled, Rejection> {
        if let Some(subject) = &change.control.revoke_subject {
            Box::pin(self.revoke(subject, None)).await?;
        }
        if (change.intent(), create) == (Intent::Nothing, Create::OnWrite) {
            return Ok(Settled::unchanged(visitor.outcome()));
        }
        // A log-out everywhere ends the others first: once the own session is gone, a second try no longer knows whose.
        let everywhere = change.control.revoke_others && change.intent() == Intent::End;
        if let (true, Presented::Loaded(guest)) = (everywhere, &visitor.presented)
            && let Some(subject) = &guest.record().subject
        {
            Box::pin(self.revoke(subject, Some(guest.handle()))).await?;
        }
        let request = Request { change, policy: &self.line.policy, create, reach: visitor.reach };
        let saved = pin!(commit(&self.store, &self.lanes, &visitor.presented, &request));
        let Some(saved) = self.alarms.within(clock::now() + self.line.save_timeout, saved).await else {
            return Err(Rejection::StoreUnavailable(StoreError::Timeout));
        };
        let Saved { plan, owner, text } = saved?;
        self.tally.carried_out(&plan);
        let settled = self.settled(&visitor.presented, plan, text);
        if let Some(owner) = owner.filter(|_| !everywhere) {
            Box::pin(self.revoke(&owner.1, Some(&owner.0))).await?;
        }
        Ok(settled)
    }

    /// What was carried out, and notes what is stored of a guest by now.
    fn settled(&self, presented: &Presented, plan: Plan, text: Option<Bytes>) -> Settled {
        let Plan { store, cookie, outcome } = plan;
        let made = match store {
            Step::Create(ticket, _) | Step::Recreate(_, ticket, _) => Some(ticket.locator.handle()),
            Step::Change(write) => {
                if let (Presented::Loaded(guest), Some(text)) = (presented, text) {
                    self.known.wrote(guest, text, write.stored, &self.line.policy);
                }
                None
            }
            Step::Keep => None,
        };
        Settled { cookie, outcome, made }
    }

    async fn revoke(&self, subject: &str, except: Option<&Handle>) -> Result<(), Rejection> {
        let ended = revoke(&self.store, subject, except).await.map_err(Rejection::StoreUnavailable)?;
        info!(target: "cloakroom::proxy", ended, "sessions of a subject were revoked");
        Ok(())
    }
}

/// Who answered, if the session is to stay there.
fn served<B>(response: &Response<B>, application: &Application) -> Option<Served> {
    let ServedBy(server) = response.extensions().get()?;
    Some(Served { upstream: application.audience.name().into(), server: Arc::clone(server) })
}
