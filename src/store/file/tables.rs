//! One write transaction: what callers asked for, applied in their order, and some of what has expired taken out.
//!
//! Here is the compare-and-set: nobody else writes while this transaction is open. Nothing is visible to anybody before
//! its commit.

use std::time::Duration;

use redb::{Error, ReadableTable, Table, WriteTransaction};

use super::{
    layout::{
        DUE, EPOCHS, FACT_BYTES, FACT_TIME, FACTS, HandleKey, LabelKey, Row, SESSIONS, SUBJECTS, Subject, SubjectKey,
        handle_key, handle_of, subject_key,
    },
    snapshot::listed,
    writer::{Answer, Deed},
};
use crate::{
    session::{Handle, Timestamp, record::Stamp},
    store::{
        Swap,
        index::{Epochs, Label},
    },
};

/// Longer than any save takes: an entry is made before its session, and an epoch matters while a save is under way.
const UNDER_WAY: Duration = Duration::from_secs(3600);

/// The tables of one write transaction.
pub(super) struct Tables<'t> {
    sessions: Table<'t, &'static HandleKey, &'static [u8]>,
    subjects: Table<'t, &'static SubjectKey, (u64, u64, u64)>,
    epochs: Table<'t, &'static LabelKey, (u64, u64)>,
    due: Table<'t, (u64, &'static [u8]), ()>,
    facts: Table<'t, &'static str, u64>,
    now: Timestamp,
    bytes: u64,
    changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, now: Timestamp) -> Result<Self, Error> {
        let facts = transaction.open_table(FACTS)?;
        let bytes = facts.get(FACT_BYTES)?.map_or(0, |fact| fact.value());
        Ok(Self {
            sessions: transaction.open_table(SESSIONS)?,
            subjects: transaction.open_table(SUBJECTS)?,
            epochs: transaction.open_table(EPOCHS)?,
            due: transaction.open_table(DUE)?,
            facts,
            now,
            bytes,
            changed: false,
        })
    }

    pub(super) fn carry_out(&mut self, deed: &Deed) -> Result<Answer, Error> {
        match deed {
            Deed::Swap { handle, expected, value, ttl } => {
                self.swap(handle, expected.as_ref(), value, *ttl).map(Answer::Swapped)
            }
            Deed::Remove { handle, expected } => self.remove(handle, expected).map(Answer::Swapped),
            Deed::Touch { handle, expected, ttl } => self.touch(handle, expected, *ttl).map(|()| Answer::Done),
            Deed::Enter { labels, handle, deadline } => {
                labels.first().map_or(Ok(()), |label| self.enter(label, handle, *deadline))?;
                labels.iter().map(|label| self.epoch(label)).collect::<Result<_, _>>().map(Epochs).map(Answer::Epochs)
            }
            Deed::Leave { labels, handle } => {
                labels.iter().try_for_each(|label| self.leave(&subject_key(label, handle))).map(|()| Answer::Done)
            }
            Deed::Raise { labels, epoch } => self.raise(labels, *epoch).map(Answer::Listed),
            Deed::Mend | Deed::Close => {
                self.changed = true; // shows whether the file can be written
                Ok(Answer::Done)
            }
        }
    }

    /// Takes out what is due, at most so many rows; when the next is.
    pub(super) fn purge(&mut self, portion: usize) -> Result<Option<Timestamp>, Error> {
        for _ in 0..portion {
            let Some((at, subject)) = self.first_due()? else { return Ok(None) };
            if at > self.now {
                return Ok(Some(at));
            }
            self.forget_due(at, &subject)?;
            match subject {
                Subject::Session(handle) => self.purge_session(&handle, at)?,
                Subject::Entry(entry) => self.purge_entry(&entry)?,
                Subject::Epoch(label) => self.purge_epoch(&label)?,
            }
        }
        Ok(self.first_due()?.map(|(at, _)| at))
    }

    /// Whether there is something to commit.
    pub(super) fn finish(mut self) -> Result<bool, Error> {
        if self.changed {
            self.facts.insert(FACT_TIME, self.now.0)?;
            self.facts.insert(FACT_BYTES, self.bytes)?;
        }
        Ok(self.changed)
    }
}

/// Sessions.
impl Tables<'_> {
    fn swap(&mut self, handle: &Handle, expected: Option<&Stamp>, value: &[u8], ttl: Duration) -> Result<Swap, Error> {
        let key = handle_key(handle);
        let raw = self.session(&key)?;
        let row = raw.as_deref().map(Row::of).transpose()?;
        let found = row.as_ref().and_then(|row| row.entry(self.now));
        let stamp = found.as_ref().and_then(|entry| Stamp::of(&entry.bytes));
        if found.is_some() != expected.is_some() || stamp.as_ref() != expected {
            return Ok(Swap::Conflict(found));
        }
        self.put(&key, row.as_ref(), value, self.now.after(ttl))?;
        Ok(Swap::Done)
    }

    fn remove(&mut self, handle: &Handle, expected: &Stamp) -> Result<Swap, Error> {
        let key = handle_key(handle);
        let raw = self.session(&key)?;
        let row = raw.as_deref().map(Row::of).transpose()?;
        let found = row.as_ref().and_then(|row| row.entry(self.now));
        let (Some(row), Some(true)) = (row, found.as_ref().map(|entry| entry.bytes.starts_with(&expected.0))) else {
            return Ok(Swap::Conflict(found));
        };
        self.forget_due(row.due, &Subject::Session(key))?;
        self.delete(&key)?;
        Ok(Swap::Done)
    }

    fn touch(&mut self, handle: &Handle, expected: &Stamp, ttl: Duration) -> Result<(), Error> {
        let key = handle_key(handle);
        let Some(raw) = self.session(&key)? else { return Ok(()) };
        let row = Row::of(&raw)?;
        let expires = self.now.after(ttl);
        if row.is_live(self.now) && row.value.starts_with(&expected.0) && expires > row.expires {
            self.put(&key, Some(&row), row.value, expires)?;
        }
        Ok(())
    }

    fn session(&self, key: &HandleKey) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.sessions.get(key)?.map(|raw| raw.value().to_vec()))
    }

    /// Writes a session over what was there, and sees to it that it is looked at when it expires.
    fn put(&mut self, key: &HandleKey, old: Option<&Row<'_>>, value: &[u8], expires: Timestamp) -> Result<(), Error> {
        let due = match old {
            Some(old) if old.due <= expires => old.due,
            Some(old) => {
                self.forget_due(old.due, &Subject::Session(*key))?;
                self.remember_due(expires, &Subject::Session(*key))?
            }
            None => self.remember_due(expires, &Subject::Session(*key))?,
        };
        self.write(key, &Row { due, expires, value })
    }

    fn write(&mut self, key: &HandleKey, row: &Row<'_>) -> Result<(), Error> {
        let raw = row.encode();
        self.bytes += size(key, &raw);
        if let Some(old) = self.sessions.insert(key, &raw[..])? {
            self.bytes = self.bytes.saturating_sub(size(key, old.value()));
        }
        self.changed = true;
        Ok(())
    }

    fn delete(&mut self, key: &HandleKey) -> Result<(), Error> {
        if let Some(old) = self.sessions.remove(key)? {
            self.bytes = self.bytes.saturating_sub(size(key, old.value()));
        }
        self.changed = true;
        Ok(())
    }

    /// `at`: the row in `due` that led here. One that another took the place of leads nowhere.
    fn purge_session(&mut self, key: &HandleKey, at: Timestamp) -> Result<(), Error> {
        let Some(raw) = self.session(key)? else { return Ok(()) };
        let row = Row::of(&raw)?;
        match row.is_live(self.now) {
            _ if row.due != at => Ok(()),
            true => {
                let due = self.remember_due(row.expires, &Subject::Session(*key))?;
                self.write(key, &Row { due, ..row })
            }
            false => self.delete(key),
        }
    }
}

/// The subject index.
impl Tables<'_> {
    fn enter(&mut self, label: &Label, handle: &Handle, deadline: Timestamp) -> Result<(), Error> {
        let key = subject_key(label, handle);
        self.leave(&key)?;
        let due = self.now.after(UNDER_WAY).min(deadline);
        self.remember_due(due, &Subject::Entry(key))?;
        self.subjects.insert(&key, (self.now.0, deadline.0, due.0))?;
        Ok(())
    }

    fn leave(&mut self, key: &SubjectKey) -> Result<(), Error> {
        let known = self.subjects.remove(key)?.map(|row| row.value());
        known.map_or(Ok(()), |(_, _, due)| self.forget_due(Timestamp(due), &Subject::Entry(*key)))
    }

    fn epoch(&self, label: &Label) -> Result<Option<u64>, Error> {
        Ok(self.epochs.get(label.bytes())?.map(|row| row.value().0))
    }

    /// Every epoch is set before any index is read.
    fn raise(&mut self, labels: &[Label], epoch: u64) -> Result<Vec<Handle>, Error> {
        for label in labels {
            let subject = Subject::Epoch(*label.bytes());
            let before = self.epochs.insert(label.bytes(), (epoch, self.now.0))?.map(|row| row.value());
            if let Some((_, raised)) = before {
                self.forget_due(Timestamp(raised).after(UNDER_WAY), &subject)?;
            }
            self.remember_due(self.now.after(UNDER_WAY), &subject)?;
        }
        listed(&self.subjects, labels)
    }

    /// An entry stays while its session may yet be written, and while that lives; never beyond its deadline.
    fn purge_entry(&mut self, key: &SubjectKey) -> Result<(), Error> {
        let Some((entered, deadline, _)) = self.subjects.get(key)?.map(|row| row.value()) else { return Ok(()) };
        let settled = Timestamp(entered).after(UNDER_WAY);
        let session = handle_of(key).map(|handle| self.session(&handle_key(&handle))).transpose()?.flatten();
        let session = session.as_deref().map(Row::of).transpose()?.filter(|row| row.is_live(self.now));
        let again = match session {
            _ if Timestamp(deadline) <= self.now => None,
            _ if settled > self.now => Some(settled),
            Some(row) => Some(row.expires),
            None => None,
        };
        match again.map(|again| again.min(Timestamp(deadline))) {
            Some(due) => {
                self.remember_due(due, &Subject::Entry(*key))?;
                self.subjects.insert(key, (entered, deadline, due.0))?;
            }
            None => drop(self.subjects.remove(key)?),
        }
        Ok(())
    }

    fn purge_epoch(&mut self, label: &LabelKey) -> Result<(), Error> {
        self.epochs.remove(label)?;
        Ok(())
    }
}

/// When rows are looked at again.
impl Tables<'_> {
    fn first_due(&self) -> Result<Option<(Timestamp, Subject)>, Error> {
        let Some((key, ())) = self.due.first()?.map(|(key, none)| (key, none.value())) else { return Ok(None) };
        let (at, subject) = key.value();
        Ok(Some((Timestamp(at), Subject::of(subject)?)))
    }

    fn remember_due(&mut self, at: Timestamp, subject: &Subject) -> Result<Timestamp, Error> {
        self.due.insert((at.0, &subject.key()[..]), ())?;
        self.changed = true;
        Ok(at)
    }

    fn forget_due(&mut self, at: Timestamp, subject: &Subject) -> Result<(), Error> {
        self.due.remove((at.0, &subject.key()[..]))?;
        self.changed = true;
        Ok(())
    }
}

fn size(key: &HandleKey, raw: &[u8]) -> u64 {
    (key.len() + raw.len()) as u64
}
