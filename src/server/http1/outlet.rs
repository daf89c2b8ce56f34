//! What is on its way to a browser: small things in one buffer, and at most one large piece behind them, written together.

use std::{
    io::{self, IoSlice, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::answer::{Framing, line};
use crate::socket::draft::Draft;

/// Pieces up to this size are copied.
const SMALL: usize = 8 * 1024;
/// The end of a chunked body without trailers.
const END: &[u8] = b"0\r\n\r\n";
/// So much is gathered before it is written.
const ENOUGH: usize = 16 * 1024;

/// Bytes to be written.
#[derive(Default)]
pub(super) struct Outlet {
    small: Draft,
    large: Option<Box<Large>>,
    /// The stream may still hold some of what was written.
    held: bool,
    /// How much was ever written.
    total: u64,
}

/// A piece that is not copied, and what comes behind it.
struct Large {
    data: Bytes,
    suffix: &'static [u8],
}

impl Outlet {
    /// Where heads are written to. There must be room for more.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.small.bytes()
    }

    pub(super) fn has_room(&self) -> bool {
        self.large.is_none() && self.small.len() < ENOUGH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_none() && !self.held
    }

    /// How much was ever written.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Puts a piece of a body behind what is there, and the end of the body if it is the last; what is more than the length
    /// that was said is left out. There must be room for more.
    pub(super) fn put(&mut self, mut data: Bytes, is_last: bool, framing: &mut Framing) {
        let suffix: &'static [u8] = match framing {
            Framing::Nothing => return,
            Framing::UntilClose => b"",
            Framing::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                b""
            }
            Framing::Chunked(_) if data.is_empty() => {
                self.buffer().extend_from_slice(if is_last { END } else { b"" });
                return;
            }
            Framing::Chunked(_) => {
                // Writing to a vector cannot fail.
                let _ = write!(self.buffer(), "{:x}\r\n", data.len());
                if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" }
            }
        };
        if data.len() <= SMALL {
            self.buffer().extend_from_slice(&data);
            self.buffer().extend_from_slice(suffix);
        } else {
            self.large = Some(Box::new(Large { data, suffix }));
        }
    }

    /// Puts the end of a body behind what is there: its trailers, of which only those pass that were announced. There must be
    /// room for more.
    pub(super) fn end(&mut self, trailers: &HeaderMap, framing: &Framing) {
        let Framing::Chunked(announced) = framing else { return };
        self.buffer().extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter().filter(|(name, _)| announced.contains(name)) {
            line(self.buffer(), name.as_str().as_bytes(), value.as_bytes());
        }
        self.buffer().extend_from_slice(b"\r\n");
    }

    /// Writes all there is.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while !self.small.is_empty() || self.large.is_some() {
            self.held = true;
            let written = match &self.large {
                Some(large) => {
                    let slices = [self.small.left(), &large.data, large.suffix].map(IoSlice::new);
                    Pin::new(&mut *stream).poll_write_vectored(cx, &slices)
                }
                None => Pin::new(&mut *stream).poll_write(cx, self.small.left()),
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.small.wait();
                    return Poll::Pending;
                }
            }
        }
        if self.held {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.held = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        self.total += count as u64;
        let small = count.min(self.small.left().len());
        self.small.advance(small);
        if let Some(large) = &mut self.large {
            let data = (count - small).min(large.data.len());
            large.data.advance(data);
            large.suffix = &large.suffix[count - small - data..];
            if large.data.is_empty() && large.suffix.is_empty() {
                self.large = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue};
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::clock::testing::Bell;

    /// What comes out of an outlet into which these pieces are put, through pipes that take little at once, and less.
    async fn sent(pieces: &[(usize, bool)], framing: Framing, trailers: Option<&HeaderMap>) -> (Vec<u8>, Framing) {
        let sent = through(1_000, pieces, framing.clone(), trailers).await;
        for narrow in [1, 7] {
            assert_eq!(through(narrow, pieces, framing.clone(), trailers).await, sent, "{narrow} at once");
        }
        sent
    }

    async fn through(
        width: usize,
        pieces: &[(usize, bool)],
        mut framing: Framing,
        trailers: Option<&HeaderMap>,
    ) -> (Vec<u8>, Framing) {
        let (mut near, mut far) = duplex(width);
        let (pieces, trailers) = (pieces.to_vec(), trailers.cloned());
        let writing = tokio::spawn(async move {
            let mut outlet = Outlet::default();
            outlet.buffer().extend_from_slice(b"head ");
            for (length, is_last) in pieces {
                outlet.put(Bytes::from(vec![b'x'; length]), is_last, &mut framing);
                std::future::poll_fn(|cx| outlet.poll_flush(cx, &mut near)).await.unwrap();
                assert!(outlet.is_empty() && outlet.has_room());
            }
            if let Some(trailers) = trailers {
                outlet.end(&trailers, &framing);
                std::future::poll_fn(|cx| outlet.poll_flush(cx, &mut near)).await.unwrap();
            }
            framing
        });
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        (all, writing.await.unwrap())
    }

    #[tokio::test]
    async fn what_one_client_does_not_take_is_sent_to_no_other() {
        let bell = Arc::<Bell>::default();
        let ((mut slow, mut reader), (mut other, mut second), (mut quick, mut third)) =
            (duplex(4), duplex(4), duplex(99));
        let mut outlets: [Outlet; 3] = std::array::from_fn(|_| Outlet::default());
        outlets[0].buffer().extend_from_slice(b"for the first ");
        assert!(bell.poll(|cx| outlets[0].poll_flush(cx, &mut slow)).is_pending());
        outlets[1].buffer().extend_from_slice(b"for the second");
        assert!(bell.poll(|cx| outlets[1].poll_flush(cx, &mut other)).is_pending());
        outlets[0].buffer().extend_from_slice(b"and more");
        outlets[2].buffer().extend_from_slice(b"for the third");
        assert!(bell.poll(|cx| outlets[2].poll_flush(cx, &mut quick)).is_ready());
        let mut read = [Vec::new(), Vec::new()];
        let mut piece = [0; 4];
        while !(outlets[0].is_empty() && outlets[1].is_empty()) {
            for (at, (reader, writer)) in [(&mut reader, &mut slow), (&mut second, &mut other)].into_iter().enumerate()
            {
                if !outlets[at].is_empty() {
                    let count = reader.read(&mut piece).await.unwrap();
                    read[at].extend_from_slice(&piece[..count]);
                    let _ = bell.poll(|cx| outlets[at].poll_flush(cx, writer));
                }
            }
        }
        drop((slow, other, quick));
        for (at, (reader, wanted)) in
            [(reader, "for the first and more"), (second, "for the second")].into_iter().enumerate()
        {
            let mut reader = reader;
            reader.read_to_end(&mut read[at]).await.unwrap();
            assert_eq!(std::str::from_utf8(&read[at]), Ok(wanted));
        }
        let mut all = String::new();
        third.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "for the third");
    }

    #[tokio::test]
    async fn a_body_of_a_length_is_written_up_to_that_length() {
        for (pieces, length) in [(&[(3, true)][..], 3), (&[(20_000, false), (5, true)], 20_005), (&[(9_000, true)], 10)]
        {
            let (all, framing) = sent(pieces, Framing::Length(length), None).await;
            assert_eq!((all.len() as u64, framing), (5 + length, Framing::Length(0)));
        }
        assert_eq!(sent(&[(3, true)], Framing::Length(5), None).await.1, Framing::Length(2));
        assert_eq!(sent(&[(3, true)], Framing::UntilClose, None).await.0, b"head xxx");
        assert_eq!(sent(&[(3, true)], Framing::Nothing, None).await.0, b"head ");
    }

    #[tokio::test]
    async fn chunks_are_written_with_their_sizes_and_one_end() {
        let chunked = || Framing::Chunked(vec![HeaderName::from_static("x-sum")]);
        let large = [b"head 2710\r\n".to_vec(), vec![b'x'; 10_000], b"\r\n0\r\n\r\n".to_vec()].concat();
        assert_eq!(sent(&[(10_000, true)], chunked(), None).await.0, large);
        assert_eq!(
            sent(&[(3, false), (0, false), (1, true)], chunked(), None).await.0,
            b"head 3\r\nxxx\r\n1\r\nx\r\n0\r\n\r\n"
        );
        assert_eq!(sent(&[(3, false), (0, true)], chunked(), None).await.0, b"head 3\r\nxxx\r\n0\r\n\r\n");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("6"));
        trailers.insert("x-other", HeaderValue::from_static("7"));
        let all = sent(&[(3, false)], chunked(), Some(&trailers)).await.0;
        assert_eq!(all, b"head 3\r\nxxx\r\n0\r\nx-sum: 6\r\n\r\n");
        assert_eq!(sent(&[], Framing::Length(0), Some(&trailers)).await.0, b"head ");
    }
}
