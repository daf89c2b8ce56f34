//! What may come behind a request's head, over whichever HTTP: nothing, a body, or another protocol.
//!
//! The line does not know who reads it. A request without either costs nothing here.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

/// A request's body as it comes from the browser.
pub type Incoming = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// What comes behind a request's head.
pub enum Inflow {
    /// Nothing.
    Nothing,
    /// Its body.
    Body(Incoming),
    /// Another protocol, if the answer switches to it.
    Switch(OnSwitch),
}

/// A browser's connection after HTTP.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Gives a browser's connection away once its `101` is written.
pub struct Switch(oneshot::Sender<Box<dyn Wire>>);

/// Resolves to a browser's connection once its `101` is written; `None`: it never was.
pub struct OnSwitch(oneshot::Receiver<Box<dyn Wire>>);

/// Both ends of a switch of protocols.
pub fn switch() -> (Switch, OnSwitch) {
    let (giver, taker) = oneshot::channel();
    (Switch(giver), OnSwitch(taker))
}

impl Switch {
    /// The answer is written: from now on these bytes are no HTTP.
    pub fn give(self, wire: Box<dyn Wire>) {
        drop(self.0.send(wire));
    }
}

impl Future for OnSwitch {
    type Output = Option<Box<dyn Wire>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}
