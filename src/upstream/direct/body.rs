//! An answer's body, read as it is wanted.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{
    Method, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::{Frame, SizeHint};

use super::{
    super::error::Breakdown,
    Direct,
    chunks::{Chunks, Piece},
};

/// What is read at once of a body, at first and at most.
const LEAST: usize = 8 * 1024;
const MOST: usize = 64 * 1024;

/// Where an answer's body ends (RFC 9112 §6.3).
#[derive(Debug)]
pub(in crate::upstream) enum Framing {
    /// After so many more bytes.
    Length(u64),
    Chunked(Chunks),
    /// Where the connection ends.
    Close,
    /// It has ended there.
    Closed,
}

impl Framing {
    /// That of an answer whose head is plain (`framing::check`).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::upstream) fn of<B>(asked: &Method, answer: &Response<B>, most: usize) -> Result<Self, &'static str> {
        let (status, headers) = (answer.status(), answer.headers());
        if *asked == Method::HEAD || !has_body(status) {
            return Ok(Self::Length(0));
        }
        if headers.contains_key(TRANSFER_ENCODING) {
            return Ok(Self::chunked(most));
        }
        match headers.get(CONTENT_LENGTH) {
            None => Ok(Self::Close),
            Some(length) => match length.to_str().ok().and_then(|length| length.parse().ok()) {
                Some(length) => Ok(Self::Length(length)),
                None => Err("has a Content-Length that no body can have"),
            },
        }
    }

    /// In chunks, and what comes behind them may measure so much.
    pub(in crate::upstream) fn chunked(most: usize) -> Self {
        Self::Chunked(Chunks::new(most))
    }

    /// Whether the end was reached.
    pub(in crate::upstream) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_over(),
            Self::Close => false,
            Self::Closed => true,
        }
    }
}

/// Whether answers of this status have a body, but for those to `HEAD`.
pub(super) fn has_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational()
}

/// A body that is under way.
pub(in crate::upstream) struct Transfer {
    framing: Framing,
    /// What was read already.
    rest: Bytes,
    /// What to read next.
    step: usize,
    /// The connection may be used again.
    lasts: bool,
}

impl Transfer {
    pub(in crate::upstream) fn new(framing: Framing, rest: Bytes, lasts: bool) -> Self {
        Self { framing, rest, step: LEAST, lasts }
    }

    pub(in crate::upstream) fn is_over(&self) -> bool {
        self.framing.is_over()
    }

    /// Whether its connection can be used again when it is over: nothing came behind it.
    pub(in crate::upstream) fn is_clean(&self) -> bool {
        self.lasts && self.rest.is_empty() && !matches!(self.framing, Framing::Closed)
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        match &self.framing {
            Framing::Length(left) => SizeHint::with_exact(*left),
            Framing::Closed => SizeHint::with_exact(0),
            Framing::Chunked(_) | Framing::Close => SizeHint::default(),
        }
    }

    /// The next piece; `None` at the end.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        connection: &mut Direct,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Breakdown>>> {
        loop {
            match self.take() {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Piece::Over) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(Piece::Unknown) => {}
            }
            let most = match self.framing {
                Framing::Length(left) => usize::try_from(left).unwrap_or(MOST).min(MOST),
                _ => self.step,
            };
            match ready!(connection.poll_more(cx, &mut self.rest, most)) {
                Err(error) => return Poll::Ready(Some(Err(Breakdown::Io(error)))),
                Ok(0) if matches!(self.framing, Framing::Close) => self.framing = Framing::Closed,
                Ok(0) => return Poll::Ready(Some(Err(Breakdown::Closed))),
                Ok(read) if read >= self.step => self.step = (2 * self.step).min(MOST),
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self) -> Result<Piece, Breakdown> {
        Ok(match &mut self.framing {
            Framing::Length(0) | Framing::Closed => Piece::Over,
            Framing::Chunked(chunks) => chunks.next(&mut self.rest)?,
            Framing::Length(_) | Framing::Close if self.rest.is_empty() => Piece::Unknown,
            Framing::Close => Piece::Data(std::mem::take(&mut self.rest)),
            Framing::Length(left) => {
                let data = self.rest.split_to(usize::try_from(*left).unwrap_or(usize::MAX).min(self.rest.len()));
                *left -= data.len() as u64;
                Piece::Data(data)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, name: &str, value: &str) -> Response<()> {
        Response::builder().status(status).header(name, value).body(()).unwrap()
    }

    #[test]
    fn a_body_ends_where_method_status_and_head_say() {
        let of = |method: Method, answer: &Response<()>| format!("{:?}", Framing::of(&method, answer, 9).unwrap());
        let long = answer(200, "content-length", "12");
        assert_eq!(of(Method::GET, &long), "Length(12)");
        assert_eq!(of(Method::HEAD, &long), "Length(0)");
        assert_eq!(of(Method::GET, &answer(304, "content-length", "12")), "Length(0)");
        assert_eq!(of(Method::GET, &answer(204, "x", "1")), "Length(0)");
        assert_eq!(of(Method::GET, &answer(101, "upgrade", "x")), "Length(0)");
        assert_eq!(of(Method::GET, &answer(200, "x", "1")), "Close");
        assert!(of(Method::GET, &answer(200, "transfer-encoding", "chunked")).starts_with("Chunked"));
        assert!(Framing::of(&Method::GET, &answer(200, "content-length", "99999999999999999999999"), 9).is_err());
    }
}
