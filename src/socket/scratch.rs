//! Reading while nobody knows how much will come: into one buffer of the thread, then what came into memory of its size.
//!
//! A connection that waits holds no memory for what it waits for, and a busy one finds the buffer in the processor's cache.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// What is read at once: most heads fit, with a small body.
pub const PIECE: usize = 4096;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// Reads at most [`PIECE`] bytes behind those that are there; how many came, 0 at the end.
pub fn poll_read<S>(stream: &mut S, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>>
where
    S: AsyncRead + Unpin,
{
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        into.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_comes_stands_behind_what_was_there_and_takes_no_more_room_than_it_needs() {
        let (mut near, mut far) = duplex(3 * PIECE);
        far.write_all(&vec![b'x'; PIECE + 5]).await.unwrap();
        drop(far);
        let mut read = BytesMut::from(&b"head "[..]);
        for (count, all) in [(PIECE, 5 + PIECE), (5, 10 + PIECE), (0, 10 + PIECE)] {
            assert_eq!(poll_fn(|cx| poll_read(&mut near, cx, &mut read)).await.unwrap(), count);
            assert_eq!(read.len(), all);
        }
        let (mut near, mut far) = duplex(PIECE);
        far.write_all(&[b'y'; 100]).await.unwrap();
        let mut read = BytesMut::new();
        poll_fn(|cx| poll_read(&mut near, cx, &mut read)).await.unwrap();
        assert_eq!((&read[..], read.capacity()), (&[b'y'; 100][..], 100));
    }
}
