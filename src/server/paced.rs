//! The two places where a connection's pace shows: its socket, on which bytes arrive, and the bodies of its responses.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::{Pace, UnderWay};
use crate::{proxy::Download, socket::Socket};

/// A socket that notes when bytes arrive, and gives back what was read ahead of its reader.
pub(super) struct PacedStream {
    socket: Socket,
    ahead: Bytes,
    pace: Arc<Pace>,
}

impl PacedStream {
    pub(super) fn new(socket: Socket, pace: Arc<Pace>) -> Self {
        Self { socket, ahead: Bytes::new(), pace }
    }

    /// These bytes come first, again. Nothing else may have been given back that was not read since.
    pub(super) fn give_back(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pace.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A response's body. While it is not asked for more after it gave something, the client takes nothing; when it
/// is gone, so is its request.
pub(super) struct PacedBody {
    body: Download,
    waits: bool,
    request: UnderWay,
}

impl PacedBody {
    pub(super) fn new(body: Download, request: UnderWay) -> Self {
        Self { body, waits: false, request }
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        if self.waits {
            self.request.moved(-1);
        }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = <Download as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let waits = matches!(frame, Poll::Ready(Some(Ok(_))));
        if waits || self.waits {
            self.request.moved(isize::from(waits) - isize::from(self.waits));
            self.waits = waits;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
