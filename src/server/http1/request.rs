//! The wait for a request, up to the end of its head. A connection that is idle for a while gives its buffers back.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{Connection, head::Asked, source::split_off, time::Verdict};
use crate::{
    headers::{Announced, HeadBounds, HeadFault, HeadScan, announced_by},
    socket::Quiet,
};

/// Empty lines that may come before a request (RFC 9112 §2.2).
const EMPTY_LINES: usize = 4;

/// What comes next on a connection.
pub(super) enum Next {
    /// A head that is sound as a whole, and what follows it.
    Head(Found, Announced),
    /// A head that is not, or takes too long.
    Unsound(HeadFault, Asked),
    /// No request.
    Nothing,
    Broken(io::Error),
}

/// The bytes of a head, with the empty line at its end.
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) lines: usize,
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
    fn next(&mut self, read: &mut BytesMut) -> Result<Option<(Found, Announced)>, HeadFault> {
        while self.scan.is_fresh() {
            match &read[..] {
                b"\r" => return Ok(None),
                [b'\r', b'\n', ..] => read.advance(2),
                _ => break,
            }
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES {
                return Err(HeadFault::EmptyLines);
            }
        }
        let Some(end) = self.scan.end(read, &self.bounds)? else { return Ok(None) };
        let announced = announced_by(&read[..end])?;
        let found = Found { bytes: split_off(read, end), lines: self.scan.lines() };
        *self = Self::new(self.bounds);
        Ok(Some((found, announced)))
    }
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
                Ok(Some((found, announced))) => return Poll::Ready(Next::Head(found, announced)),
                Err(fault) => return Poll::Ready(Next::Unsound(fault, Asked::unsoundly(&self.source.read))),
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
            begun => Next::Unsound(HeadFault::TooSlow, Asked::unsoundly(begun)),
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
    use crate::headers::Framing;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 64, fields: 3 };
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";

    #[test]
    fn a_head_is_found_however_it_is_cut_and_what_is_behind_it_stays() {
        for empty in ["", "\r\n", "\r\n\r\n\r\n\r\n"] {
            let whole = [empty.as_bytes(), HEAD, b"abc"].concat();
            for cut in 0..whole.len() {
                let (mut scan, mut read) = (Scan::new(BOUNDS), BytesMut::from(&whole[..cut]));
                let first = scan.next(&mut read).unwrap();
                assert_eq!(first.is_some(), cut >= empty.len() + HEAD.len(), "{cut}");
                read.extend_from_slice(&whole[cut..]);
                let (found, announced) = first.or_else(|| scan.next(&mut read).unwrap()).unwrap();
                assert_eq!((&found.bytes[..], found.lines, &read[..]), (HEAD, 2, &b"abc"[..]), "{cut}");
                assert_eq!(announced.body, Framing::Length(3));
            }
        }
    }

    #[test]
    fn what_is_not_sound_stays_where_it_is() {
        for (text, fault) in [
            ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", HeadFault::EmptyLines),
            ("GET / HTTP/1.1\n\n", HeadFault::BareLineFeed),
            ("HEAD / HTTP/1.1\r\nContent-Length: +3\r\n\r\n", HeadFault::Length),
        ] {
            let mut read = BytesMut::from(text);
            assert_eq!(Scan::new(BOUNDS).next(&mut read).err(), Some(fault), "{text:?}");
            assert!(text.ends_with(std::str::from_utf8(&read).unwrap()) && !read.is_empty());
        }
    }
}
