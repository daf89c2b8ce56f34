//! One process as the proxy is one: its way to the store, its lanes, its rules. What it does with a ticket is what the
//! proxy's line does.

use std::{sync::Arc, time::Duration};

use crate::visitor::{Presented, opened_by};
use cloakroom::{
    session::{Handle, Policy, Ticket, change::Change, policy::Create, record::Stored, settle::Reach},
    store::{
        Store,
        commit::{CommitError, Request, Saved, commit, commit_held},
        index::revoke,
        lane::Lanes,
    },
};

#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) store: Store,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) policy: Policy,
}

impl Process {
    /// Retired tickets and idle sessions outlast the run; naps have rules of their own.
    pub(crate) fn new(store: Store) -> Self {
        let policy = Policy { retire_grace: Duration::from_secs(10_000), ..Policy::default() };
        Self { store, lanes: Arc::default(), policy }
    }

    pub(crate) async fn stored(&self, handles: &[Handle]) -> Vec<Option<Stored>> {
        if handles.is_empty() {
            return Vec::new();
        }
        let entries = self.store.load(handles).await.expect("a read");
        let readable = |(entry, handle): (Option<cloakroom::store::Entry>, &Handle)| {
            entry.map(|entry| entry.decode(handle).unwrap_or_else(|| panic!("{handle} cannot be read")))
        };
        entries.into_iter().zip(handles).map(readable).collect()
    }

    /// What this ticket opens.
    pub(crate) async fn present(&self, ticket: Option<&Ticket>) -> Presented {
        let Some(ticket) = ticket else { return Presented::Nobody };
        let handle = ticket.locator.handle();
        let stored = self.stored(&[handle]).await.pop().flatten();
        opened_by(ticket, stored, self.store.now())
    }

    /// Saves what a response asks for, as the line does.
    pub(crate) async fn save(&self, presented: &Presented, change: &Change) -> Result<Saved, CommitError> {
        let saved = commit(&self.store, &self.lanes, presented, &self.request(change)).await?;
        if let (true, Some(owner)) = (change.control.revoke_others, &saved.owner) {
            revoke(&self.store, &owner.1, Some(&owner.0)).await?;
        }
        Ok(saved)
    }

    /// Saves what the holder of a token asks for out of band.
    pub(crate) async fn save_held(&self, handle: &Handle, change: &Change) -> Result<Saved, CommitError> {
        commit_held(&self.store, &self.lanes, handle, &self.request(change)).await
    }

    fn request<'a>(&'a self, change: &'a Change) -> Request<'a> {
        Request { change, policy: &self.policy, create: Create::OnWrite, reach: Reach::Browser }
    }
}
