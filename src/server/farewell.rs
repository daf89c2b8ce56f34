//! The end of a connection over HTTP/1.1. One that is closed while bytes are unread is reset, and our last answer with it:
//! so what the client still sends is read for a moment.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

/// How long a client that was refused in the middle of its request may take to read why.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// How long it takes to see that a client has sent nothing more.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// Says that we send nothing more, and reads on for a moment if the client is still sending; whether it is, is looked for
/// this long.
pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, patience: Duration) {
    let (end, mut waste) = (Instant::now() + FAREWELL, vec![0; 4096]);
    let glance = async {
        let _ = stream.shutdown().await;
        stream.read(&mut waste).await
    };
    if let Ok(Ok(1..)) = timeout(patience, glance).await {
        debug!(target: "cloakroom::server", "a client was still sending when its last answer was given");
        let drain = async { while matches!(stream.read(&mut waste).await, Ok(1..)) {} };
        let _ = timeout_at(end, drain).await;
    }
}
