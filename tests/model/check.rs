//! Holds a round against the model: the saved operations of each session, in the order of their versions, must be what
//! the model does one after the other; what was not saved must be right at some moment of the round; and what is stored
//! in the end must be what came out, but for sessions whose subject was revoked.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

use cloakroom::{
    session::{
        Handle, Ticket,
        record::{Record, Stored},
        settle::{CookieStep, Plan, Step},
        ticket::SecretHash,
    },
    store::commit::{CommitError, Saved},
};

use crate::{
    expect::{Body, Expected, No, State},
    round::{Act, Done, Found, fits, secret_of},
    world::{Known, World},
};

/// What is said with every failure.
struct Context<'a> {
    name: String,
    done: &'a [Done],
}

impl fmt::Display for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:#?}", self.name, self.done)
    }
}

impl World {
    pub(crate) async fn check(&mut self, done: &[Done]) {
        let context = &Context { name: self.name(), done };
        let made: Vec<Handle> = done.iter().filter_map(|done| self.admit(done, context)).collect();
        let mut handles: Vec<Handle> = made;
        handles.extend(done.iter().filter_map(|done| done.home));
        if done.iter().any(|done| done.revoked().is_some()) {
            handles.extend(self.live());
        }
        let mut seen = HashSet::new();
        handles.retain(|handle| seen.insert(*handle));
        let stored = self.processes[0].stored(&handles).await;
        for (handle, stored) in handles.iter().zip(stored) {
            let round = Round { handle: *handle, done, context };
            let states = round.states(self.state(handle));
            let last = round.settle(&states, stored.as_ref());
            round.check_unsaved(&states, &last);
            self.tally.revoked += u64::from(states.last().is_some_and(State::is_live) && !last.is_live());
            if let Some(known) = self.sessions.get_mut(handle) {
                known.state = last;
            }
        }
        for done in done {
            self.take_in_reply(done, context);
        }
        for known in self.sessions.values() {
            let holders = known
                .tickets
                .iter()
                .filter(|ticket| matches!(known.state.who(secret_of(ticket)), crate::expect::Who::Holder(_)));
            let secrets: BTreeSet<_> = holders.map(|ticket| secret_of(ticket).0).collect();
            assert!(secrets.len() <= 1, "two tickets open one session; {context}");
        }
        self.forget_the_gone();
        self.abandon().await;
    }

    /// The session that an operation made becomes known.
    fn admit(&mut self, done: &Done, context: &Context<'_>) -> Option<Handle> {
        let plan = &done.saved()?.as_ref().ok()?.plan;
        let (Step::Create(ticket, write) | Step::Recreate(_, ticket, write)) = &plan.store else { return None };
        let Stored::Live(record) = &write.stored else { panic!("a tombstone was made; {context}") };
        let handle = ticket.locator.handle();
        let issued = matches!(&plan.cookie, CookieStep::Issue(issued, _) if issued == ticket);
        assert!(record.version == 1 && issued && record.secret == secret_of(ticket), "{context}");
        let state = State::Live { record: Box::new(Record::clone(record)), retired: Vec::new() };
        self.know(handle, Known { state, tickets: vec![Ticket::clone(ticket)] });
        if let Step::Create(..) = &plan.store {
            let (who, deed) = done.asked().expect("a response");
            assert_eq!(State::Gone.expect(who, deed), Expected::Create(Body::of(record)), "{context}");
        }
        Some(handle)
    }

    fn take_in_reply(&mut self, done: &Done, context: &Context<'_>) {
        match done.saved() {
            Some(Ok(Saved { plan, .. })) => {
                self.tally.saved += u64::from(plan.store != Step::Keep);
                let Act::Respond { browser, .. } = &done.act else {
                    assert_eq!(plan.cookie, CookieStep::Keep, "a token holder was told of a cookie; {context}");
                    return;
                };
                self.take_in(*browser, &plan.cookie);
            }
            Some(Err(_)) => self.tally.refused += 1,
            None => {}
        }
    }
}

/// A round as one session saw it.
struct Round<'a> {
    handle: Handle,
    done: &'a [Done],
    context: &'a Context<'a>,
}

impl Round<'_> {
    fn mine(&self) -> impl Iterator<Item = &Done> {
        self.done.iter().filter(|done| done.home == Some(self.handle))
    }

    /// Every state that the session was in, oldest first.
    fn states(&self, before: State) -> Vec<State> {
        let context = self.context;
        let mut writes: Vec<(&Done, &Plan, &Stored)> = self.mine().filter_map(written).collect();
        writes.sort_by_key(|(_, _, stored)| stored.version());
        let mut states = vec![before];
        for (done, plan, stored) in writes {
            let last = states.last().expect("a state");
            if stored.version() > last.version() + 1 {
                let made_of =
                    |undone: &State| undone.version() + 1 == stored.version() && leads_to(undone, done, stored);
                let undone = self.undone(last).into_iter().find(made_of);
                states.push(undone.unwrap_or_else(|| panic!("a version that nobody made; {context}")));
            }
            let last = states.last().expect("a state");
            assert_eq!(stored.version(), last.version() + 1, "an update was lost; {context}");
            states.push(followed(last, done, plan, stored, context));
        }
        states
    }

    /// The changes that may have been made and undone again, one on top of the other, because their subject was revoked
    /// meanwhile. Others may have met one of them.
    fn undone(&self, last: &State) -> Vec<State> {
        self.built(last, &self.mine().filter(|done| self.gave_way(done)).collect::<Vec<_>>())
    }

    fn built(&self, last: &State, undone: &[&Done]) -> Vec<State> {
        let mut states = Vec::new();
        for (place, done) in undone.iter().enumerate() {
            let Some(next) = passed_over(last, done) else { continue };
            let others = [&undone[..place], &undone[place + 1..]].concat();
            let further = self.built(&next, &others);
            states.push(next);
            states.extend(further);
        }
        states
    }

    /// Whether this was refused although it fits: it gave its session a subject that was being revoked.
    fn gave_way(&self, done: &Done) -> bool {
        let refused = matches!(done.saved(), Some(Err(CommitError::Refused(no))) if No::of(*no) == No::Ended);
        let subject = done.asked().and_then(|(_, deed)| deed.subject);
        refused && self.done.iter().filter_map(Done::revoked).any(|(revoked, _)| Some(revoked) == subject)
    }

    /// The state after the round, as the store has it.
    fn settle(&self, states: &[State], stored: Option<&Stored>) -> State {
        let (context, last) = (self.context, states.last().expect("a state"));
        match (last, stored) {
            (State::Live { record, .. }, Some(Stored::Live(found))) if **record == **found => {
                self.check_survivor(states, record);
                last.clone()
            }
            (State::Destroyed { version, .. }, Some(Stored::Tombstone(found))) if found.version == *version => {
                last.clone()
            }
            (State::Gone, None) => State::Gone,
            (State::Live { .. }, None) if self.was_revoked(states) => State::Gone,
            _ => panic!("{}: {stored:#?} is stored instead of {last:#?}; {context}", self.handle),
        }
    }

    fn was_revoked(&self, states: &[State]) -> bool {
        let spared = |except: Option<Handle>| except == Some(self.handle);
        let had = |subject: &str| states.iter().any(|state| state.subject() == Some(subject));
        let revoked = self.done.iter().filter_map(Done::revoked);
        revoked.into_iter().any(|(subject, except)| !spared(except) && had(subject))
            || self.mine().any(|done| self.gave_way(done))
    }

    /// A session that a revocation found must be gone, unless it was given the subject anew.
    fn check_survivor(&self, states: &[State], record: &Record) {
        for done in self.done {
            let (Act::Revoke { subject, .. }, Found::Revoked(theirs)) = (&done.act, &done.found) else { continue };
            let Some((_, version)) = theirs.iter().find(|(handle, _)| *handle == self.handle) else { continue };
            let anew = states.windows(2).any(|pair| {
                pair[1].version() > *version && pair[0].subject() != Some(subject) && pair[1].subject() == Some(subject)
            });
            let theirs = record.subject.as_deref() == Some(*subject);
            assert!(!theirs || anew, "{} outlived the revocation of {subject}; {}", self.handle, self.context);
        }
    }

    /// What wrote nothing must have been right at some moment.
    fn check_unsaved(&self, states: &[State], last: &State) {
        let context = self.context;
        let undone: Vec<State> = states.iter().flat_map(|state| self.undone(state)).collect();
        let moments = || states.iter().chain(&undone).chain([last]);
        for done in self.done.iter().filter(|done| done.home.is_none() || done.home == Some(self.handle)) {
            let seen = match (&done.found, &done.act) {
                (Found::Given(presented), Act::Read { ticket }) => {
                    let secret = secret_of(ticket);
                    let right = moments().any(|state| fits(presented, state.who(secret), state));
                    assert!(right || !undone.is_empty(), "read what never was: {presented:?}; {context}");
                    continue;
                }
                (Found::Saved(saved), _) => match &**saved {
                    Ok(Saved { plan: Plan { store: Step::Keep, cookie, .. }, .. }) => {
                        assert_eq!(*cookie, CookieStep::Keep, "{context}");
                        Expected::Keep
                    }
                    Ok(_) => continue,
                    Err(CommitError::Refused(refusal)) => Expected::Refused(No::of(*refusal)),
                    Err(CommitError::Store(error)) => panic!("{error}; {context}"),
                },
                _ => continue,
            };
            let (who, deed) = done.asked().expect("something to save");
            let right = match done.home {
                Some(_) => moments().any(|state| state.expect(who, deed) == seen),
                None => State::Gone.expect(who, deed) == seen,
            };
            assert!(
                right || self.gave_way(done),
                "{seen:?} to {who:?} {deed:?} was never right; {states:#?} {context}"
            );
        }
    }
}

/// The secret of a rotation that was undone again: others may have built on it, but nobody was told it.
const UNSEEN: SecretHash = SecretHash([0; 32]);

/// The change of a session that was there, if this made one.
fn written(done: &Done) -> Option<(&Done, &Plan, &Stored)> {
    let plan = &done.saved()?.as_ref().ok()?.plan;
    match &plan.store {
        Step::Change(write) => Some((done, plan, &write.stored)),
        Step::Recreate(end, ..) => Some((done, plan, &end.stored)),
        Step::Keep | Step::Create(..) => None,
    }
}

/// Whether what was stored by this change can have been made of that state.
fn leads_to(state: &State, done: &Done, stored: &Stored) -> bool {
    let Some((who, deed)) = done.asked() else { return false };
    match (state, state.expect(who, deed), stored) {
        (State::Live { record: before, .. }, Expected::Change(body, rotated), Stored::Live(record)) => {
            Body::of(record) == body && (before.secret == UNSEEN || (record.secret != before.secret) == rotated)
        }
        (_, Expected::End | Expected::Replace(_), Stored::Tombstone(_)) => true,
        _ => false,
    }
}

/// The state that a change has made which was undone again.
fn passed_over(last: &State, done: &Done) -> Option<State> {
    let State::Live { record, retired } = last else { return None };
    let (who, deed) = done.asked()?;
    let Expected::Change(body, rotated) = last.expect(who, deed) else { return None };
    let (mut next, mut retired) = (record.clone(), retired.clone());
    next.version += 1;
    (next.data, next.subject, next.persistent) = (body.data.to_string().into(), body.subject, body.persistent);
    if rotated {
        retired.push(next.secret);
        next.secret = UNSEEN;
    }
    Some(State::Live { record: next, retired })
}

/// The state after a change, which must be the one that the model expects.
fn followed(last: &State, done: &Done, plan: &Plan, stored: &Stored, context: &Context<'_>) -> State {
    let (who, deed) = done.asked().expect("something to save");
    let expected = last.expect(who, deed);
    let State::Live { record: before, retired } = last else { panic!("{last:?} was changed; {context}") };
    let mut retired = retired.clone();
    match (expected, stored) {
        (Expected::Change(body, rotated), Stored::Live(record)) => {
            assert_eq!(Body::of(record), body, "{context}");
            assert_eq!((record.created, record.deadline), (before.created, before.deadline), "{context}");
            assert!(before.secret == UNSEEN || (record.secret != before.secret) == rotated, "{context}");
            if rotated {
                retired.push(before.secret);
            }
            State::Live { record: Box::new(Record::clone(record)), retired }
        }
        (Expected::End, Stored::Tombstone(tombstone)) => {
            assert_eq!(plan.cookie, CookieStep::Delete, "{context}");
            retired.push(before.secret);
            State::Destroyed { version: tombstone.version, retired }
        }
        (Expected::Replace(body), Stored::Tombstone(tombstone)) => {
            let made = match &plan.store {
                Step::Recreate(_, _, write) => write.stored.live().map(Body::of),
                _ => None,
            };
            assert_eq!(made, Some(body), "{context}");
            retired.push(before.secret);
            State::Destroyed { version: tombstone.version, retired }
        }
        (expected, stored) => panic!("{stored:?} instead of {expected:?}; {context}"),
    }
}
