//! The bodies of the responses on an HTTP/2 connection, in which its pace shows.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::pace::UnderWay;
use crate::proxy::Download;

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
