//! Our cookies on their way out of a request's head: looked for once, and handed to whoever reads them.

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
    /// All of the only line is one: nearly always.
    Line(HeaderValue),
    /// They may be anywhere in these.
    Among(Vec<HeaderValue>),
}

impl Own {
    /// Takes every cookie of that name out, as [`strip`] does.
    pub fn take(headers: &mut HeaderMap, name: &str) -> Self {
        let Entry::Occupied(lines) = headers.entry(COOKIE) else { return Self::Nothing };
        if lines.iter().nth(1).is_some() || memchr(b';', lines.get().as_bytes()).is_some() {
            let own = Self::look(headers);
            strip(headers, name);
            return own;
        }
        match value_of(lines.get().as_bytes(), name) {
            Some(_) => Self::Line(lines.remove()),
            None => Self::Nothing,
        }
    }

    /// Leaves all where they are.
    pub fn look(headers: &HeaderMap) -> Self {
        Self::Among(headers.get_all(COOKIE).into_iter().cloned().collect())
    }

    /// The values of every cookie of that name, in order, over all lines; equal ones too.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let (line, among) = match self {
            Self::Nothing => (None, &[][..]),
            Self::Line(line) => (value_of(line.as_bytes(), name), &[][..]),
            Self::Among(lines) => (None, &lines[..]),
        };
        let pieces = among.iter().flat_map(|line| pieces(line.as_bytes()));
        line.into_iter().chain(pieces.filter_map(move |piece| value_of(piece, name)))
    }
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
            let own = Own::take(&mut taken, "s");
            strip(&mut stripped, "s");
            assert_eq!(taken, stripped, "{line:?} {more:?}");
            let wanted: Vec<&[u8]> = super::super::tickets(&sent, "s").collect();
            assert_eq!(own.values("s").collect::<Vec<_>>(), wanted, "{line:?} {more:?}");
            assert_eq!(Own::look(&sent).values("s").collect::<Vec<_>>(), wanted);
        }
        assert_eq!(Own::take(&mut HeaderMap::new(), "s").values("s").count(), 0);
    }
}
