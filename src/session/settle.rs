//! The decision table: what a response may do to a session (contract sections 3 and 5).
//!
//! [`settle`] is total and pure. It is called once before anything is stored and again for every time that another
//! writer was faster, each time with what is stored by then. The order of its refusals is the contract's order of
//! errors; steps 1 and 2 (syntax, rights, store) are decided before a [`Change`] exists.

mod apply;
mod plan;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    Policy, Ticket, Timestamp,
    change::{Change, Intent},
    control::{Control, Timer},
    homes::Homes,
    policy::Create,
    record::{Content, Nonce, Record, Standing, Stored, Tombstone, Writes},
    ticket::{Locator, Secret, SecretHash},
    vault::Jar,
};
use apply::applied;
pub use plan::{CookieStep, Outcome, Plan, Refusal, Step, Write};

/// Browsers keep no cookie longer than 400 days (RFC 6265bis section 5.5).
pub const COOKIE_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// What the request presented, as far as the store could tell.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
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
    Loaded(Loaded<'a>),
}

/// The session of this request: as it was handed to the application, and as it is stored by now.
#[derive(Debug, Clone, Copy)]
pub struct Loaded<'a> {
    /// What the browser presented.
    pub ticket: &'a Ticket,
    /// The hash of its secret.
    pub secret: &'a SecretHash,
    /// What the application was given.
    pub given: &'a Record,
    /// What is stored now; `None`: nothing any more.
    pub stored: Option<Content<'a>>,
}

/// Whether a cookie that is set with this response would be kept by the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It would.
    Browser,
    /// It would be thrown away (`Secure` over plain HTTP, a foreign domain).
    Nowhere,
}

/// Random material for one save. Locator and secret are made when they are asked for, since most saves need neither, and
/// are the same from then on.
pub struct Fresh {
    nonce: Nonce,
    mint: fn() -> (Locator, Secret),
    minted: OnceLock<(Locator, Secret)>,
}

impl Fresh {
    /// A nonce, and where the rest comes from.
    pub fn new(nonce: Nonce, mint: fn() -> (Locator, Secret)) -> Self {
        Self { nonce, mint, minted: OnceLock::new() }
    }

    /// Marks the write.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Of the session that is made, if one is.
    fn locator(&self) -> &Locator {
        &self.minted.get_or_init(self.mint).0
    }

    /// The next secret, if one is needed.
    fn secret(&self) -> &Secret {
        &self.minted.get_or_init(self.mint).1
    }
}

/// Everything else that the decision depends on.
pub struct Context<'a> {
    /// The store's time.
    pub now: Timestamp,
    /// The configured rules.
    pub policy: &'a Policy,
    /// [`Create::Always`] only where this response may create a session that nothing was said about.
    pub create: Create,
    /// Whether a cookie would arrive.
    pub reach: Reach,
    /// Random material.
    pub fresh: &'a Fresh,
}

/// The shortest life that every store can give.
const SHORTEST: Duration = Duration::from_millis(1);

const NOTHING: Plan = Plan { store: Step::Keep, cookie: CookieStep::Keep, outcome: Outcome::None };
const UNCHANGED: Plan = Plan { outcome: Outcome::Live, ..NOTHING };

/// Decides what a change does to what is there.
///
/// # Errors
/// The first [`Refusal`] in the contract's order; then nothing is to be stored and no cookie set.
pub fn settle(before: &Before<'_>, change: &Change, context: &Context<'_>) -> Result<Plan, Refusal> {
    use {Before as B, Intent as I};
    match (before, change.intent()) {
        (B::Nobody, I::Nothing | I::Bare | I::Replace | I::Write) => create(change, context),
        (B::Nobody, I::End) => Ok(NOTHING),
        (B::Retired(_), I::Nothing | I::Bare) => Ok(NOTHING),
        (B::Retired(left), I::End | I::Replace | I::Write) => Err(late(*left, context)),
        (B::Destroyed(_), I::Nothing | I::Bare | I::End) => Ok(NOTHING),
        (B::Destroyed(left), I::Replace | I::Write) => Err(late(*left, context)),
        (B::Several, I::Nothing) => Ok(NOTHING),
        (B::Several, I::Bare | I::End | I::Replace | I::Write) => Err(Refusal::Ended(None)),
        (B::Unavailable, I::Nothing) => Ok(NOTHING),
        (B::Unavailable, I::Bare | I::End | I::Replace | I::Write) => Err(Refusal::Unavailable),
        (B::Loaded(_), I::Nothing) => Ok(UNCHANGED),
        (B::Loaded(loaded), I::Bare | I::Write) => amend(loaded, change, context),
        (B::Loaded(loaded), I::End) => Ok(end(loaded.stored, context)),
        (B::Loaded(loaded), I::Replace) => replace(loaded, change, context),
    }
}

/// Decides what the holder of a token may do to a session's data out of band (`PATCH /v1/session`). A token outlives the
/// rotation of the ticket that it was made for; the change has no control but `if-version`.
///
/// # Errors
/// As [`settle`].
pub fn settle_held(stored: Option<Content<'_>>, change: &Change, context: &Context<'_>) -> Result<Plan, Refusal> {
    let base = match stored {
        Some(Content::Live(record)) if record.deadline > context.now => record,
        Some(Content::Live(_) | Content::Tombstone(_)) | None => return Err(Refusal::Ended(None)),
    };
    check_version(base.version, change)?;
    let (next, fits) = applied(base, change, context);
    fits?;
    if *next == *base {
        return Ok(UNCHANGED);
    }
    Ok(Plan { store: Step::Change(saved(next, change, context)), cookie: CookieStep::Keep, outcome: Outcome::Updated })
}

fn create(change: &Change, context: &Context<'_>) -> Result<Plan, Refusal> {
    let Some((ticket, write)) = newborn(Ok(0), change, context)? else { return Ok(NOTHING) };
    let cookie = issue(&ticket, &write.stored, context);
    Ok(Plan { store: Step::Create(ticket, write), cookie, outcome: Outcome::Created })
}

fn replace(loaded: &Loaded<'_>, change: &Change, context: &Context<'_>) -> Result<Plan, Refusal> {
    let live = still_live(loaded, context);
    let made = newborn(live.map(|old| old.version), change, context)?;
    let Some((ticket, write)) = made else { return Ok(end(loaded.stored, context)) };
    let cookie = issue(&ticket, &write.stored, context);
    Ok(Plan {
        store: Step::Recreate(Box::new(buried(live?, context)), ticket, write),
        cookie,
        outcome: Outcome::Destroyed,
    })
}

/// Log-out wins: it ends the session also if the session was rotated meanwhile. What has ended stays ended quietly.
fn end(stored: Option<Content<'_>>, context: &Context<'_>) -> Plan {
    match stored {
        Some(Content::Live(record)) if record.deadline > context.now => Plan {
            store: Step::Change(buried(record, context)),
            cookie: CookieStep::Delete,
            outcome: Outcome::Destroyed,
        },
        Some(Content::Live(_) | Content::Tombstone(_)) | None => NOTHING,
    }
}

fn amend(loaded: &Loaded<'_>, change: &Change, context: &Context<'_>) -> Result<Plan, Refusal> {
    let live = still_live(loaded, context);
    let base = live.unwrap_or(loaded.given);
    let (mut next, fits) = applied(base, change, context);
    let renewed = || another_subject(base, &next) || another_cookie(base, &next, change, context.now);
    let rotated = change.control.rotate.unwrap_or_else(renewed);
    let retold = next.persistent != base.persistent || (next.persistent && next.deadline != base.deadline);
    if (rotated || retold) && context.reach == Reach::Nowhere {
        return Err(Refusal::Unreachable);
    }
    check_version(live?.version, change)?;
    fits?;
    if !rotated && *next == *base {
        return Ok(UNCHANGED);
    }
    if rotated {
        let next = Arc::make_mut(&mut next);
        next.retired = base.retire(context.now, context.policy);
        next.secret = context.fresh.secret().hash();
    }
    let write = saved(next, change, context);
    let cookie = match (rotated, retold) {
        (true, _) => {
            let (locator, secret) = (loaded.ticket.locator.clone(), context.fresh.secret().clone());
            issue(&Ticket { locator, secret }, &write.stored, context)
        }
        (false, true) => issue(loaded.ticket, &write.stored, context),
        (false, false) => CookieStep::Keep,
    };
    let outcome = if rotated { Outcome::Rotated } else { Outcome::Updated };
    Ok(Plan { store: Step::Change(write), cookie, outcome })
}

/// Steps 4 to 8 for a new session; `None` if nothing was said that needs one. `version` is that of the session in
/// whose place it comes, 0 if there is none.
fn newborn(
    version: Result<u64, Refusal>,
    change: &Change,
    context: &Context<'_>,
) -> Result<Option<(Box<Ticket>, Write)>, Refusal> {
    let blank = blank(context);
    let (made, fits) = applied(&blank, change, context);
    let asked = fits.is_err() || worth_storing(&made, &blank, &change.control);
    let unasked = context.create == Create::Always && context.reach == Reach::Browser;
    if asked && context.reach == Reach::Nowhere {
        return Err(Refusal::Unreachable);
    }
    check_version(version?, change)?;
    fits?;
    if !asked && !unasked {
        return Ok(None);
    }
    let ticket = Ticket { locator: context.fresh.locator().clone(), secret: context.fresh.secret().clone() };
    let mut write = saved(made, change, context);
    if let Some(fresh) = context.policy.fresh_timeout {
        write.ttl = write.ttl.min(fresh.max(SHORTEST));
    }
    Ok(Some((Box::new(ticket), write)))
}

/// Step 5: the stored record, if the presented ticket still opens it.
fn still_live<'a>(loaded: &Loaded<'a>, context: &Context<'_>) -> Result<&'a Record, Refusal> {
    let Some(stored) = loaded.stored else { return Err(Refusal::Ended(None)) };
    match (stored.standing(loaded.secret, context.now), stored) {
        (Standing::Live, Content::Live(record)) => Ok(record),
        (Standing::Retired(left) | Standing::Destroyed(left), _) => Err(late(left, context)),
        (Standing::Live | Standing::Unknown, _) => Err(Refusal::Ended(None)),
    }
}

/// What whoever is late is told. Never more than the grace: who retired the ticket may know the store's time a little
/// better than we do.
fn late(left: Duration, context: &Context<'_>) -> Refusal {
    Refusal::Ended(Some(left.min(context.policy.retire_grace)))
}

/// Step 6.
fn check_version(stored: u64, change: &Change) -> Result<(), Refusal> {
    match change.control.if_version {
        Some(version) if version != stored => Err(Refusal::VersionConflict),
        Some(_) | None => Ok(()),
    }
}

fn another_subject(base: &Record, next: &Record) -> bool {
    next.subject.is_some() && next.subject != base.subject
}

/// Applications renew their own id at a log-in: whoever planted the ticket must not follow.
fn another_cookie(base: &Record, next: &Record, change: &Change, now: Timestamp) -> bool {
    change.cookies.iter().any(|offer| next.vault.renews(&base.vault, offer, now))
}

/// A session about which nothing has been said yet.
fn blank(context: &Context<'_>) -> Record {
    Record {
        version: 0,
        writes: Writes::NONE,
        secret: context.fresh.secret().hash(),
        retired: Vec::new(),
        created: context.now,
        written: context.now,
        deadline: context.now.after(context.policy.absolute_timeout),
        idle: None,
        persistent: context.policy.persistent,
        subject: None,
        vault: Jar::default(),
        homes: Homes::default(),
        data: "{}".into(),
    }
}

/// Whether what was asked for needs a session at all.
fn worth_storing(made: &Record, blank: &Record, control: &Control) -> bool {
    let timers = [control.idle, control.lifetime].into_iter().flatten().any(|timer| timer != Timer::Default);
    made != blank || timers || control.persistent == Some(true)
}

/// The write that makes `next` the version after the one that it was made from.
fn saved(mut made: Arc<Record>, change: &Change, context: &Context<'_>) -> Write {
    let next = Arc::make_mut(&mut made);
    if let Some(served) = &change.served {
        next.homes.note(served);
    }
    next.version = next.version.saturating_add(1);
    next.writes = next.writes.led_by(context.fresh.nonce());
    next.written = context.now;
    next.retired.retain(|retired| retired.1 > context.now);
    next.vault.sweep(context.now);
    let ttl = next.time_to_live(context.now, context.now, context.policy).max(SHORTEST);
    Write { stored: Stored::Live(made), ttl }
}

fn buried(record: &Record, context: &Context<'_>) -> Write {
    let tombstone = Tombstone {
        version: record.version.saturating_add(1),
        writes: record.writes.led_by(context.fresh.nonce()),
        retired: record.retire(context.now, context.policy),
    };
    Write { stored: tombstone.into(), ttl: context.policy.retire_grace.max(SHORTEST) }
}

/// A `Max-Age` of zero would delete the cookie, and only a `destroy` may (section 2).
fn issue(ticket: &Ticket, stored: &Stored, context: &Context<'_>) -> CookieStep {
    let seconds = |deadline: Timestamp| deadline.since(context.now).min(COOKIE_MAX).as_secs().max(1);
    let max_age = match stored {
        Stored::Live(record) => record.persistent.then(|| seconds(record.deadline)),
        Stored::Tombstone(_) => None,
    };
    CookieStep::Issue(Box::new(ticket.clone()), max_age)
}

#[cfg(test)]
mod tests;
