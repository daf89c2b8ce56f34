//! Our cookies on their way out of a request's head: looked for once, and handed to whoever reads them.

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, Entry},
};
use memchr::memchr;

use super::scan::{pieces, strip, value_of};

/// The `Cookie` lines in which our cookies are.
pub enum Own {
    /// There are none.
    Nothing,
    /// All of the only line was one, with this value: nearly always.
    Only(Bytes),
    /// They may be anywhere in these.
    Among(Vec<HeaderValue>),
}

impl Own {
    /// Takes every cookie of that name out, as [`strip`] does. `only`: the value of the only line, if it is not among the
    /// headers; what is left of it is put there.
    pub fn take(headers: &mut HeaderMap, only: Option<Bytes>, name: &str) -> Self {
        if let Some(mut line) = only {
            if let Some(value) = own_value(&line, name) {
                let begin = value.as_ptr().addr() - line.as_ptr().addr();
                line.truncate(begin + value.len());
                line.advance(begin);
                return Self::Only(line);
            }
            put(headers, line);
        }
        let Entry::Occupied(lines) = headers.entry(COOKIE) else { return Self::Nothing };
        let only = lines.iter().nth(1).is_none().then(|| lines.get().as_bytes()).filter(|line| is_one(line));
        match only.map(|line| value_of(line, name).is_some()) {
            Some(false) => Self::Nothing,
            Some(true) => Self::Among(vec![lines.remove()]),
            None => {
                let own = Self::among(headers);
                strip(headers, name);
                own
            }
        }
    }

    /// Leaves all where they are; `only` is put there.
    pub fn look(headers: &mut HeaderMap, only: Option<Bytes>) -> Self {
        only.into_iter().for_each(|line| put(headers, line));
        Self::among(headers)
    }

    fn among(headers: &HeaderMap) -> Self {
        Self::Among(headers.get_all(COOKIE).into_iter().cloned().collect())
    }

    /// The values of every cookie of that name, in order, over all lines; equal ones too.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let (only, among) = match self {
            Self::Nothing => (None, &[][..]),
            Self::Only(value) => (Some(&value[..]), &[][..]),
            Self::Among(lines) => (None, &lines[..]),
        };
        let pieces = among.iter().flat_map(|line| pieces(line.as_bytes()));
        only.into_iter().chain(pieces.filter_map(move |piece| value_of(piece, name)))
    }
}

/// Whoever lays a line aside has seen that it may be a field's value.
fn put(headers: &mut HeaderMap, line: Bytes) {
    if let Ok(line) = HeaderValue::from_maybe_shared(line) {
        headers.insert(COOKIE, line);
    }
}

/// The value, if all of the line is one cookie of that name.
fn own_value<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    value_of(line, name).filter(|value| is_one(value))
}

/// Whether there is no more than one cookie in it.
fn is_one(line: &[u8]) -> bool {
    memchr(b';', line).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_was_there_and_what_is_left_is_what_strip_leaves() {
        let pieces = ["s=1", " s = 2 ", "a=1", "", "s", "=s=1", "ss=1", "\ts=\t"];
        let mut lines = vec![String::new()];
        for _ in 0..3 {
            let longer = lines.iter().flat_map(|line| pieces.iter().map(move |piece| format!("{line};{piece}")));
            lines.extend(longer.collect::<Vec<_>>());
        }
        let lines = lines.iter().map(|line| line.trim_start_matches(';')).chain(pieces);
        for (line, more) in lines.flat_map(|line| [(line, None), (line, Some("s=9")), (line, Some("b=1"))]) {
            let sent: HeaderMap = [Some(line), more].into_iter().flatten().fold(HeaderMap::new(), |mut sent, line| {
                sent.append(COOKIE, HeaderValue::from_str(line).unwrap());
                sent
            });
            let (mut taken, mut stripped) = (sent.clone(), sent.clone());
            let own = Own::take(&mut taken, None, "s");
            strip(&mut stripped, "s");
            assert_eq!(taken, stripped, "{line:?} {more:?}");
            let wanted: Vec<&[u8]> = super::super::tickets(&sent, "s").collect();
            assert_eq!(own.values("s").collect::<Vec<_>>(), wanted, "{line:?} {more:?}");
            let mut looked = sent.clone();
            assert_eq!(Own::look(&mut looked, None).values("s").collect::<Vec<_>>(), wanted);
            assert_eq!(looked, sent);
            if more.is_none() {
                let (mut taken, mut looked) = (HeaderMap::new(), HeaderMap::new());
                let laid = || sent.get(COOKIE).map(|line| Bytes::copy_from_slice(line.as_bytes()));
                let own = Own::take(&mut taken, laid(), "s");
                assert_eq!((own.values("s").collect::<Vec<_>>(), taken), (wanted.clone(), stripped), "{line:?} alone");
                let own = Own::look(&mut looked, laid());
                assert_eq!((own.values("s").collect::<Vec<_>>(), looked), (wanted, sent.clone()), "{line:?} alone");
            }
        }
        assert_eq!(Own::take(&mut HeaderMap::new(), None, "s").values("s").count(), 0);
    }
}
