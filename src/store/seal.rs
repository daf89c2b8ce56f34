//! What a store gets to see: records, sealed if `store.encrypt` says so, and labels in place of subjects.
//!
//! Sealing is AES-256-GCM-SIV with a random nonce, bound to the handle and to the record's stamp (the format is in
//! `session::record`). The first root seals, every root opens. Plain records are read while encryption is on and sealed
//! ones while it is off; either becomes the other when it is written next. What does not open is never taken for plain.
//! A store that somebody else can write to is not made safe by this: who may plant a plain record may do so.
//!
//! # Labels
//!
//! Processes of one deployment may differ for a while in `store.encrypt`, and in their roots while these are replaced (the
//! new one is listed second everywhere, then first everywhere, and the old one goes last). So a subject has several
//! labels: the plain digest, and an HMAC for each root. The index entry is made under one label; the epochs of all
//! labels are read; a revocation lists the index of all labels, and raises the epoch of *some*. What the protocol in
//! [`super::index`] needs of any two processes is that the one which revokes
//!
//! - lists the label under which the other enters: it is the plain digest, or that of a root which the first one lists;
//! - raises a label whose epoch the other reads: the other reads all of its own, and the two have the plain digest and at
//!   least one root in common.
//!
//! So a revocation need not write the plain digest while encryption is on, and does not: a subject that can be guessed
//! could be recognised by it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hmac,
};
use bytes::{Buf, Bytes, BytesMut};

use super::{StoreError, index::Label};
use crate::session::{
    Handle,
    record::{PLAIN, SEALED, STAMP_LEN},
    root::derive,
    ticket::HANDLE_LEN,
};

const ID_LEN: usize = 8;
const TAG_LEN: usize = 16;
/// Stamp, mark and which key.
const HEAD_LEN: usize = STAMP_LEN + 1 + ID_LEN;
const BODY_AT: usize = HEAD_LEN + NONCE_LEN;

/// The secrets of `keys.root`: the first seals, all open. Cannot be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Roots(pub Vec<Vec<u8>>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}

/// What this process seals, opens and labels with, as its settings are by now.
pub(super) struct Signet {
    seals: ArcSwap<Seals>,
    /// What the seals say as well: whoever need not seal does not fetch them.
    encrypts: AtomicBool,
}

impl Signet {
    pub(super) fn new(seals: Seals) -> Self {
        Self { encrypts: AtomicBool::new(seals.encrypts), seals: ArcSwap::from_pointee(seals) }
    }

    /// Takes others, here and wherever it is shared.
    pub(super) fn renew(&self, seals: Seals) {
        let encrypts = seals.encrypts;
        self.seals.store(Arc::new(seals));
        // Whoever is told to seal from now on has the seals to do it with.
        self.encrypts.store(encrypts, Ordering::Release);
    }

    /// As [`Seals::seal`].
    ///
    /// # Errors
    /// It cannot be sealed.
    pub(super) fn seal(&self, handle: &Handle, text: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if self.encrypts.load(Ordering::Acquire) { self.seals.load().seal(handle, text) } else { Ok(None) }
    }

    /// As [`Seals::open`].
    ///
    /// # Errors
    /// It is sealed with the key of a root that is not listed.
    pub(super) fn open(&self, handle: &Handle, value: Bytes) -> Result<Bytes, StoreError> {
        self.seals.load().open(handle, value)
    }

    /// The labels of a subject.
    pub(super) fn labels(&self, subject: &str) -> Labels {
        self.seals.load().labels(subject)
    }
}

/// What is sealed, opened and labelled with under some settings.
pub(super) struct Seals {
    keys: Vec<Key>,
    encrypts: bool,
}

/// The keys of one root.
struct Key {
    id: [u8; ID_LEN],
    record: LessSafeKey,
    subject: hmac::Key,
}

impl Key {
    fn of(root: &[u8]) -> Option<Self> {
        let record = UnboundKey::new(&AES_256_GCM_SIV, &derive::<32>(root, "record 1")[..]).ok()?;
        Some(Self {
            id: *derive(root, "record key id 1"),
            record: LessSafeKey::new(record),
            subject: hmac::Key::new(hmac::HMAC_SHA256, &derive::<32>(root, "subject 1")[..]),
        })
    }

    fn label(&self, subject: &str) -> Label {
        Label::of(hmac::sign(&self.subject, subject.as_bytes()).as_ref())
    }
}

impl Seals {
    /// # Errors
    /// There is no root to encrypt with.
    pub(super) fn new(roots: &Roots, encrypts: bool) -> Result<Self, String> {
        let keys: Option<Vec<Key>> = roots.0.iter().map(|root| Key::of(root)).collect();
        match keys {
            Some(keys) if !encrypts || !keys.is_empty() => Ok(Self { keys, encrypts }),
            Some(_) | None => Err("store.encrypt has no keys.root to encrypt with".to_owned()),
        }
    }

    /// The value to store, of a record's text; `None`: the text as it is.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub(super) fn seal(&self, handle: &Handle, text: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.keys.first() {
            Some(key) if self.encrypts => sealed(key, handle, text).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// The plain value of one that was stored. One whose seal is broken stays a sealed one, which is no record.
    ///
    /// # Errors
    /// It is sealed with the key of a root that is not listed.
    pub(super) fn open(&self, handle: &Handle, value: Bytes) -> Result<Bytes, StoreError> {
        if !is_sealed(&value) {
            return Ok(value);
        }
        let id = &value[STAMP_LEN + 1..HEAD_LEN];
        match self.keys.iter().find(|key| key.id == id) {
            Some(key) => Ok(opened(key, handle, BytesMut::from(value))),
            None => Err(StoreError::UnknownKey),
        }
    }

    /// The labels of a subject.
    pub(super) fn labels(&self, subject: &str) -> Labels {
        let hidden = self.keys.iter().map(|key| key.label(subject));
        let plain = Label::of(digest::digest(&digest::SHA256, subject.as_bytes()).as_ref());
        match self.encrypts {
            true => Labels { shown: self.keys.len(), all: hidden.chain([plain]).collect() },
            false => Labels { shown: self.keys.len() + 1, all: std::iter::once(plain).chain(hidden).collect() },
        }
    }
}

/// Whether a value has to be opened; any other is as it is.
pub(super) fn is_sealed(value: &[u8]) -> bool {
    value.get(STAMP_LEN) == Some(&SEALED) && value.len() >= BODY_AT + TAG_LEN
}

/// What a subject may be called in the store by the processes of one deployment.
pub(super) struct Labels {
    all: Vec<Label>,
    shown: usize,
}

impl Labels {
    /// All of them; this process enters sessions under the first.
    pub(super) fn all(&self) -> &[Label] {
        &self.all
    }

    /// Those that this process may write.
    pub(super) fn shown(&self) -> &[Label] {
        &self.all[..self.shown]
    }

    /// The others, which it only looks for.
    pub(super) fn sought(&self) -> &[Label] {
        &self.all[self.shown..]
    }
}

fn sealed(key: &Key, handle: &Handle, text: &[u8]) -> Result<Bytes, StoreError> {
    let nonce: [u8; NONCE_LEN] = rand::random();
    let (stamp, body) = text.split_at_checked(STAMP_LEN + 1).ok_or(StoreError::Unsealed)?;
    let mut out = Vec::with_capacity(BODY_AT + body.len() + TAG_LEN);
    for part in [&stamp[..STAMP_LEN], &[SEALED], &key.id, &nonce, body] {
        out.extend_from_slice(part);
    }
    let bound = bound(handle, &out);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.record.seal_in_place_separate_tag(nonce, Aad::from(bound), &mut out[BODY_AT..]);
    out.extend_from_slice(tag.map_err(|_| StoreError::Unsealed)?.as_ref());
    Ok(out.into())
}

/// Opens it where it stands, and moves the stamp to where the plain body begins. `value` has room for head and tag.
fn opened(key: &Key, handle: &Handle, mut value: BytesMut) -> Bytes {
    const MOVED: usize = BODY_AT - STAMP_LEN - 1;
    let bound = bound(handle, &value);
    let (front, back) = value.split_at_mut(BODY_AT);
    let (body, tag) = back.split_at_mut(back.len() - TAG_LEN);
    let authentic = Nonce::try_assume_unique_for_key(&front[HEAD_LEN..])
        .and_then(|nonce| key.record.open_in_place_separate_tag(nonce, Aad::from(bound), tag, body))
        .is_ok();
    if !authentic {
        value.truncate(HEAD_LEN);
        return value.freeze();
    }
    value.copy_within(..STAMP_LEN, MOVED);
    value[MOVED + STAMP_LEN] = PLAIN;
    value.truncate(value.len() - TAG_LEN);
    value.advance(MOVED);
    value.freeze()
}

/// What is authenticated with the body: whose record it is, and everything that stands in clear before the nonce.
fn bound(handle: &Handle, value: &[u8]) -> [u8; HANDLE_LEN + HEAD_LEN] {
    let mut bound = [0; HANDLE_LEN + HEAD_LEN];
    bound[..HANDLE_LEN].copy_from_slice(handle.as_str().as_bytes());
    bound[HANDLE_LEN..].copy_from_slice(&value[..HEAD_LEN]);
    bound
}

#[cfg(test)]
mod tests;
