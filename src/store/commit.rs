//! Carries a decision out: settle, compare and set, settle again with what another writer stored, until it stands.
//!
//! A decision that writes is proven by the compare-and-set. One that does not (a no-op, a refusal) is proven only
//! against what is stored *now*: it is made again on a fresh read, never on what the request was given. A writer whose
//! acknowledgement was lost recognises its own nonce and does not apply its change twice.

use std::{mem, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::Either;
use rand::RngExt as _;

use super::{Store, StoreError, Swap, index, lane::Lanes};
use crate::session::{
    Handle, Policy, Ticket, Timestamp,
    change::{Change, Intent},
    policy::Create,
    record::{Content, Nonce, Record, Stored, WRITES},
    settle::{Before, Context, Fresh, Loaded, Plan, Reach, Refusal, Step, Write, settle, settle_held},
    ticket::{Locator, Secret, SecretHash},
};

/// What a request presented, owned.
#[derive(Debug, Clone)]
pub enum Presented<S> {
    /// No ticket, or none that the store knows.
    Nobody,
    /// A ticket that a rotation retired, recognised for this much longer.
    Retired(Duration),
    /// A ticket whose session an application destroyed, recognised for this much longer.
    Destroyed(Duration),
    /// Tickets of several live sessions.
    Several,
    /// The store could not be asked.
    Unavailable,
    /// One live session.
    Loaded(S),
}

/// A live session as it was read, whoever keeps it.
pub trait Live {
    /// What the browser presented.
    fn ticket(&self) -> &Ticket;
    /// Its public name.
    fn handle(&self) -> &Handle;
    /// The hash of its secret.
    fn secret(&self) -> &SecretHash;
    /// What the application was given.
    fn record(&self) -> &Record;
}

/// What a response asks for and under which circumstances.
pub struct Request<'a> {
    /// Update and control.
    pub change: &'a Change,
    /// Rules.
    pub policy: &'a Policy,
    /// Whether this response creates a session by itself.
    pub create: Create,
    /// Whether a cookie would arrive.
    pub reach: Reach,
}

/// What was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The decision.
    pub plan: Plan,
    /// If `revoke-others` was asked for: the session and the subject that it has afterwards, or had until it was destroyed.
    /// Whose other sessions are to be ended.
    pub owner: Option<Box<(Handle, String)>>,
    /// What the store was given for the presented session, unless there is doubt.
    pub text: Option<Bytes>,
}

impl Saved {
    /// `base`: the presented session, and its record as the decision found it.
    fn new(plan: Plan, base: Option<(Handle, Option<&Record>)>, request: &Request<'_>) -> Self {
        let owner = if request.change.control.revoke_others { owner(&plan, base) } else { None };
        Self { plan, owner, text: None }
    }
}

fn owner(plan: &Plan, base: Option<(Handle, Option<&Record>)>) -> Option<Box<(Handle, String)>> {
    let (own, record) = base.map_or((None, None), |(handle, record)| (Some(handle), record));
    let (handle, record) = match &plan.store {
        Step::Create(ticket, write) | Step::Recreate(_, ticket, write) => {
            (Some(ticket.locator.handle()), write.stored.live())
        }
        Step::Change(write) => (own, write.stored.live().or(record)),
        Step::Keep => (own, record),
    };
    handle.zip(record.and_then(|record| record.subject.clone())).map(Box::new)
}

/// Why nothing was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitError {
    /// The decision table said no.
    Refused(Refusal),
    /// The store failed; after a lost connection it may have saved all the same.
    Store(StoreError),
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Saves what a response asks for and says what the browser must learn.
///
/// # Errors
/// [`CommitError`]: then all of the change or nothing is stored, and no cookie is to be set.
pub fn commit<'a, S: Live>(
    store: &'a Store,
    lanes: &'a Lanes,
    presented: &'a Presented<S>,
    request: &'a Request<'a>,
) -> impl Future<Output = Result<Saved, CommitError>> + use<'a, S> {
    match presented {
        Presented::Loaded(session) if request.change.intent() != Intent::Nothing => {
            Either::Left(commit_loaded(store, lanes, session, request))
        }
        _ => Either::Right(Box::pin(commit_other(store, presented, request))),
    }
}

/// Where there is no session to be changed.
async fn commit_other<S: Live>(
    store: &Store,
    presented: &Presented<S>,
    request: &Request<'_>,
) -> Result<Saved, CommitError> {
    let before = match presented {
        Presented::Nobody => Before::Nobody,
        Presented::Retired(left) => Before::Retired(*left),
        Presented::Destroyed(left) => Before::Destroyed(*left),
        Presented::Several => Before::Several,
        Presented::Unavailable => Before::Unavailable,
        Presented::Loaded(session) => before(session, None),
    };
    let fresh = mint();
    let decide = || settle(&before, request.change, &request.context(store.now(), &fresh));
    let mut plan = decide()?;
    // Nothing was read before: a shard's first session would be dated by this machine's clock.
    if let Step::Create(..) = &plan.store
        && store.learn_time().await?
    {
        plan = decide()?;
    }
    if let Step::Create(ticket, write) = &plan.store {
        create(store, ticket, write).await?;
    }
    Ok(Saved::new(plan, None, request))
}

/// Saves what the holder of a token asks for out of band: the session's data, and nothing else of it.
///
/// # Errors
/// [`CommitError`]: then nothing is stored.
pub async fn commit_held(
    store: &Store,
    lanes: &Lanes,
    handle: &Handle,
    request: &Request<'_>,
) -> Result<Saved, CommitError> {
    let decide = |stored: Option<Content<'_>>, context: &Context<'_>| settle_held(stored, request.change, context);
    Save { store, handle, request, fresh: mint(), decide }.run(lanes, None).await
}

fn commit_loaded<'a, S: Live>(
    store: &'a Store,
    lanes: &'a Lanes,
    session: &'a S,
    request: &'a Request<'a>,
) -> impl Future<Output = Result<Saved, CommitError>> + use<'a, S> {
    let decide =
        |stored: Option<Content<'_>>, context: &Context<'_>| settle(&before(session, stored), request.change, context);
    Save { store, handle: session.handle(), request, fresh: mint(), decide }.run(lanes, Some(session.record()))
}

fn before<'a, S: Live>(session: &'a S, stored: Option<Content<'a>>) -> Before<'a> {
    Before::Loaded(Loaded { ticket: session.ticket(), secret: session.secret(), given: session.record(), stored })
}

/// What is stored, as far as we know.
enum Current<'a> {
    /// What the request was given, or nothing that we know of.
    Given(Option<&'a Record>),
    /// What was seen during this save.
    Seen(Option<Stored>),
    /// What was decided: it has been written.
    Decided,
}

/// One save of one session that exists.
struct Save<'a, D> {
    store: &'a Store,
    handle: &'a Handle,
    request: &'a Request<'a>,
    fresh: Fresh,
    decide: D,
}

/// Futures that hold others are moved with them: here are few layers, and what is seldom waited for is boxed.
impl<D: Fn(Option<Content<'_>>, &Context<'_>) -> Result<Plan, Refusal>> Save<'_, D> {
    /// Waits for the session's turn and saves. Begins with what the last writer left, or else with what was `given`.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
    fn run(self, lanes: &Lanes, given: Option<&Record>) -> impl Future<Output = Result<Saved, CommitError>> {
        async move {
            let (lane, left) = lanes.enter(self.handle).await?;
            let mut current = left.map_or(Current::Given(given), Current::Seen);
            let result = self.save(&mut current).await;
            match (&result, &current) {
                (Err(CommitError::Store(error)), _) => lane.leave_failure(error),
                (Ok(saved), Current::Decided) => {
                    lane.leave_stored(saved.plan.store.written().map(|write| &write.stored))
                }
                (_, Current::Seen(stored)) => lane.leave_stored(stored.as_ref()),
                (_, Current::Given(_) | Current::Decided) => {}
            }
            result
        }
    }

    /// Compares and sets until it stands, and keeps the subject's index true.
    async fn save(&self, current: &mut Current<'_>) -> Result<Saved, CommitError> {
        let Self { store, handle, request, .. } = self;
        loop {
            let mut decision = self.decide(current);
            let is_settled = matches!(current, Current::Seen(_)) || decision == Err(Refusal::Unreachable);
            let write = match &mut decision {
                Ok(Plan { store: Step::Change(write), .. }) => write,
                Ok(Plan { store: Step::Recreate(end, ..), .. }) => end,
                _ if is_settled => return Ok(Saved::new(decision?, Some((**handle, current.live())), request)),
                _ => {
                    *current = Current::Seen(Box::pin(reread(store, handle)).await?);
                    continue;
                }
            };
            // Until it stands nothing is known.
            let tried = mem::replace(current, Current::Given(None));
            let base = tried.live();
            let entered = index::enter(store, handle, base, &write.stored).await?;
            let (stamp, text) = (tried.content().map(Content::stamp), write.stored.encode().into());
            write.stored.move_into(&text);
            let swap = store.swap_text(handle, stamp.as_ref(), &text, write.ttl).await?;
            let text = (swap == Swap::Done).then_some(text);
            if !self.stands(swap, current, tried.content().map_or(0, Content::version))? {
                continue;
            }
            if let Some(entered) = entered
                && !Box::pin(entered.confirm(store, handle, &write.stored)).await?
            {
                *current = Current::Given(None);
                return Err(Refusal::Ended(None).into());
            }
            if let Some(base) = base {
                index::leave(store, handle, base, &write.stored).await;
            }
            let plan = decision?;
            if let Step::Recreate(_, ticket, write) = &plan.store {
                Box::pin(create(store, ticket, write)).await?;
            }
            return Ok(Saved { text, ..Saved::new(plan, Some((**handle, base)), request) });
        }
    }

    fn decide(&self, current: &Current<'_>) -> Result<Plan, Refusal> {
        (self.decide)(current.content(), &self.request.context(self.store.now(), &self.fresh))
    }

    /// Whether our write is in the store. If not, another writer was faster.
    fn stands(&self, swap: Swap, current: &mut Current<'_>, tried: u64) -> Result<bool, CommitError> {
        match swap {
            Swap::Done => {
                *current = Current::Decided;
                Ok(true)
            }
            Swap::Conflict(found) => {
                *current = Current::Seen(found.and_then(|found| found.decode(self.handle)));
                Ok(false)
            }
            Swap::Doubt(found) => {
                let found = found.and_then(|found| found.decode(self.handle));
                let stands = holds(found.as_ref(), self.fresh.nonce(), tried)?;
                *current = Current::Seen(found);
                Ok(stands)
            }
        }
    }
}

impl Current<'_> {
    fn content(&self) -> Option<Content<'_>> {
        match self {
            Self::Given(record) => record.map(Content::Live),
            Self::Seen(stored) => stored.as_ref().map(Stored::content),
            Self::Decided => None,
        }
    }

    fn live(&self) -> Option<&Record> {
        self.content().and_then(Content::live)
    }
}

/// Whether our own earlier try is what is stored here.
///
/// # Errors
/// So many writes came in between that it cannot be known any more.
fn holds(stored: Option<&Stored>, nonce: Nonce, tried: u64) -> Result<bool, StoreError> {
    match stored {
        Some(stored) if stored.has_write(nonce) => Ok(true),
        Some(stored) if stored.version() > tried.saturating_add(WRITES as u64) => Err(StoreError::Disconnected),
        Some(_) | None => Ok(false),
    }
}

async fn create(store: &Store, ticket: &Ticket, write: &Write) -> Result<(), CommitError> {
    let handle = ticket.locator.handle();
    let entered = index::enter(store, &handle, None, &write.stored).await?;
    match store.swap(&handle, None, &write.stored, write.ttl).await? {
        Swap::Done => {}
        Swap::Conflict(_) | Swap::Doubt(_) => return Err(StoreError::Nonsense.into()),
    }
    let stays = match entered {
        Some(entered) => entered.confirm(store, &handle, &write.stored).await?,
        None => true,
    };
    if stays { Ok(()) } else { Err(Refusal::Ended(None).into()) }
}

async fn reread(store: &Store, handle: &Handle) -> Result<Option<Stored>, StoreError> {
    let entry = store.load(std::slice::from_ref(handle)).await?.pop().flatten();
    Ok(entry.and_then(|entry| entry.decode(handle)))
}

/// Random material from the thread's cryptographically secure generator, which the system seeds.
fn mint() -> Fresh {
    Fresh::new(Nonce(rand::random()), || {
        let mut rng = rand::rng();
        (Locator::from_random(rng.random()), Secret::from_random(rng.random()))
    })
}

impl<L: Live> Live for Arc<L> {
    fn ticket(&self) -> &Ticket {
        L::ticket(self)
    }

    fn handle(&self) -> &Handle {
        L::handle(self)
    }

    fn secret(&self) -> &SecretHash {
        L::secret(self)
    }

    fn record(&self) -> &Record {
        L::record(self)
    }
}

impl Request<'_> {
    fn context<'a>(&'a self, now: Timestamp, fresh: &'a Fresh) -> Context<'a> {
        Context { now, policy: self.policy, create: self.create, reach: self.reach, fresh }
    }
}
