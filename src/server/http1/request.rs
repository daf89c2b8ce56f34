//! The wait for a request, up to the end of its head. A connection that is idle for a while gives its buffers back.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{
    Connection,
    head::{Asked, Fault, Head},
    source::split_off,
    time::Verdict,
};
use crate::{
    headers::{Announced, Framing, HeadBounds, HeadFault, HeadScan, announced_by},
    socket::Quiet,
};

/// Empty lines that may come before a request (RFC 9112 §2.2).
const EMPTY_LINES: usize = 4;

/// What comes next on a connection.
pub(super) enum Next {
    /// A head that is sound as a whole, and what follows it.
    Head(Found),
    /// A head that is not, or takes too long.
    Unsound(Fault, Asked),
    /// No request.
    Nothing,
    Broken(io::Error),
}

/// A head.
pub(super) struct Found {
    /// It, with the empty line at its end.
    pub(super) bytes: Bytes,
    pub(super) head: Head,
    pub(super) announced: Announced,
}

/// Looks for heads.
pub(super) struct Scan {
    pub(super) bounds: HeadBounds,
    scan: HeadScan,
    empty_lines: usize,
}

impl Scan {
    pub(super) fn new(bounds: HeadBounds) -> Self {
        Self { bounds, scan: HeadScan::default(), empty_lines: 0 }
    }

    /// The whole head that the bytes begin with, taken off them; what was looked at before is not looked at again.
    fn next(&mut self, read: &mut BytesMut) -> Result<Option<Found>, (Fault, Asked)> {
        while self.scan.is_fresh() {
            match &read[..] {
                b"\r" => return Ok(None),
                [b'\r', b'\n', ..] => read.advance(2),
                _ => break,
            }
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES {
                return Err(unsound(HeadFault::EmptyLines, read));
            }
        }
        let found = if self.scan.is_fresh() { self.plain(read) } else { None };
        let found = match found {
            Some(found) => found,
            None => {
                let end = self.scan.end(read, &self.bounds).map_err(|fault| unsound(fault, read))?;
                let Some(end) = end else { return Ok(None) };
                self.judged(read, end)?
            }
        };
        *self = Self::new(self.bounds);
        Ok(Some(found))
    }

    /// All that was read, if that is a plain head: nearly always.
    fn plain(&self, read: &mut BytesMut) -> Option<Found> {
        if !matches!(read.first(), Some(b'G' | b'H')) || !read.ends_with(b"\r\n\r\n") {
            return None;
        }
        let bytes = std::mem::take(read).freeze();
        let Some(head) = Head::read_plain(&bytes, &self.bounds) else {
            *read = BytesMut::from(bytes);
            return None;
        };
        Some(Found { bytes, head, announced: Announced { body: Framing::Nothing, upgrade: false } })
    }

    /// The head that ends there.
    fn judged(&self, read: &mut BytesMut, end: usize) -> Result<Found, (Fault, Asked)> {
        let announced = announced_by(&read[..end]).map_err(|fault| unsound(fault, read))?;
        let bytes = split_off(read, end);
        let head = Head::read(&bytes, self.scan.lines()).map_err(|fault| unsound(fault, &bytes))?;
        Ok(Found { bytes, head, announced })
    }
}

fn unsound(fault: impl Into<Fault>, head: &[u8]) -> (Fault, Asked) {
    (fault.into(), Asked::unsoundly(head))
}

impl<S: AsyncRead + AsyncWrite + Quiet + Unpin> Connection<S> {
    /// Waits for the next request.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if !self.source.read.is_empty() {
            self.time.heard();
        }
        loop {
            match self.scan.next(&mut self.source.read) {
                Ok(None) => {}
                Ok(Some(found)) => return Poll::Ready(Next::Head(found)),
                Err((fault, asked)) => return Poll::Ready(Next::Unsound(fault, asked)),
            }
            match self.source.poll_some(cx) {
                Poll::Ready(Ok(1..)) => self.time.heard(),
                Poll::Ready(Ok(0)) if self.source.read.is_empty() => return Poll::Ready(Next::Nothing),
                Poll::Ready(Ok(0)) => return Poll::Ready(Next::Broken(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Next::Broken(error)),
                Poll::Pending => return self.poll_time(cx),
            }
        }
    }

    /// Ready when the wait is over.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            match ready!(self.time.poll(cx, self.client.ending.stage())) {
                Verdict::Over => return Poll::Ready(self.out_of_time()),
                Verdict::Ends => return Poll::Ready(Next::Nothing),
                Verdict::Rest => self.rest(),
                Verdict::Look => self.time.bound_by(&self.client.current.load().terms.limits),
            }
        }
    }

    /// Whoever has begun a head is told that it took too long; nobody else would understand.
    fn out_of_time(&self) -> Next {
        debug!(target: "cloakroom::server", "a client has used up its time");
        match &self.source.read[..] {
            [] => Next::Nothing,
            begun => Next::Unsound(HeadFault::TooSlow.into(), Asked::unsoundly(begun)),
        }
    }

    /// There is nothing to do for a while.
    fn rest(&mut self) {
        self.source.read = BytesMut::new();
        self.client.caller.rests();
        debug!(target: "cloakroom::server", "a connection rests");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 64, fields: 3 };
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";

    #[test]
    fn a_head_is_found_however_it_is_cut_and_what_is_behind_it_stays() {
        for (head, body) in [(HEAD, Framing::Length(3)), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Nothing)] {
            for (empty, rest) in [("", "abc"), ("", ""), ("\r\n", "\r\n\r\n"), ("\r\n\r\n\r\n\r\n", "")] {
                let whole = [empty.as_bytes(), head, rest.as_bytes()].concat();
                for cut in 0..=whole.len() {
                    let (mut scan, mut read) = (Scan::new(BOUNDS), BytesMut::from(&whole[..cut]));
                    let first = scan.next(&mut read).ok().unwrap();
                    assert_eq!(first.is_some(), cut >= empty.len() + head.len(), "{cut}");
                    read.extend_from_slice(&whole[cut..]);
                    let found = first.or_else(|| scan.next(&mut read).ok().unwrap()).unwrap();
                    assert_eq!((&found.bytes[..], &read[..]), (head, rest.as_bytes()), "{cut}");
                    assert_eq!((found.announced.body, found.announced.upgrade), (body, false));
                    assert_eq!(scan.empty_lines, 0);
                }
            }
        }
    }

    #[test]
    fn what_is_not_sound_stays_where_it_is() {
        for (text, fault) in [
            ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", HeadFault::EmptyLines),
            ("GET / HTTP/1.1\n\n", HeadFault::BareLineFeed),
            ("GET / HTTP/1.1\nA: b\r\n\r\n", HeadFault::BareLineFeed),
            ("HEAD / HTTP/1.1\r\nContent-Length: +3\r\n\r\n", HeadFault::Length),
        ] {
            let mut read = BytesMut::from(text);
            let found = Scan::new(BOUNDS).next(&mut read).err();
            assert_eq!(found.map(|(found, _)| found), Some(fault.into()), "{text:?}");
            assert!(text.ends_with(std::str::from_utf8(&read).unwrap()) && !read.is_empty());
        }
    }

    /// Whether these bytes are a head, and what it announces, for somebody who looks at all of them.
    fn looked_through(text: &[u8]) -> Option<Announced> {
        let mut scan = HeadScan::default();
        let end = scan.end(text, &BOUNDS).ok()?.filter(|end| *end == text.len())?;
        let announced = announced_by(&text[..end]).ok()?;
        Head::read(&Bytes::copy_from_slice(text), scan.lines()).is_ok().then_some(announced)
    }

    #[test]
    fn a_plain_head_is_one_that_has_no_body_for_those_who_look_through_it_as_well() {
        let marks =
            ["\r\n", "\n", "\r", " ", "A: b", "a:", "Host: c", "Content-Length: 0", "upgrade:x", "Via:\tb\t", "\0"];
        let starts = [
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.0\n",
            "HEAD /a HTTP/1.1",
            "G",
            "GET  / HTTP/1.1\r\n",
            "\r\nGET / HTTP/1.1\r\n",
        ];
        let mut texts: Vec<String> = starts.map(str::to_owned).into();
        for from in [0, 6, 72] {
            let longer = texts[from..].iter().flat_map(|text| marks.iter().map(move |mark| format!("{text}{mark}")));
            texts.extend(longer.collect::<Vec<_>>());
        }
        let (mut plain, mut all) = (0, 0);
        for text in texts.iter().flat_map(|text| ["\r\n\r\n", "\r\n"].map(|end| format!("{text}{end}"))) {
            all += 1;
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            if Head::read_plain(&bytes, &BOUNDS).is_some() {
                plain += 1;
                let announced = looked_through(text.as_bytes());
                assert_eq!(announced, Some(Announced { body: Framing::Nothing, upgrade: false }), "{text:?}");
            }
        }
        assert!(plain > 20 && plain < all / 4, "{plain} of {all}");
    }

    #[test]
    fn a_plain_head_has_its_bounds() {
        let head = |fields: usize, length: usize| {
            format!("GET / HTTP/1.1\r\n{}A: {}\r\n\r\n", "B:\r\n".repeat(fields - 1), "x".repeat(length))
        };
        for (text, is_plain) in [(head(3, 1), true), (head(4, 1), false), (head(1, 41), true), (head(1, 42), false)] {
            assert_eq!(Head::read_plain(&Bytes::from(text.clone()), &BOUNDS).is_some(), is_plain, "{text:?}");
            assert_eq!(looked_through(text.as_bytes()).is_some(), is_plain, "{text:?}");
        }
    }
}
