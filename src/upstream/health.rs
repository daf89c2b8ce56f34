//! Active health checks: each server is asked for a path now and then, on a connection of its own, past every limit.
//!
//! A status of 2xx or 3xx within the time is well. A server is taken to be healthy until its checks say otherwise.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request,
    header::{HOST, USER_AGENT},
    uri::PathAndQuery,
};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    Fleet, Payload, Progress, Protocol, ResponseBody, SendError,
    connection::{Need, Shared, Single},
    exchange::{HostOf, Line, Terms, Try},
    member::Member,
    shelf::Shelf,
};

/// `health = { ... }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked for.
    pub path: PathAndQuery,
    /// From one check to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many in a row that go wrong take a server out.
    pub unhealthy_after: u32,
    /// So many in a row that go well bring it back.
    pub healthy_after: u32,
}

/// Begins to check every server of a fleet, until the fleet is gone.
pub(super) fn watch(fleet: &Arc<Fleet>) {
    let Some(health) = &fleet.settings.health else { return };
    for index in 0..fleet.members.len() {
        tokio::spawn(check(Arc::downgrade(fleet), index, health.clone()));
    }
}

async fn check(fleet: Weak<Fleet>, index: usize, health: Health) {
    loop {
        let Some(strong) = fleet.upgrade() else { return };
        let member = &strong.members[index];
        let found = match timeout(health.timeout, probe(&strong, member, &health)).await {
            Ok(found) => found,
            Err(_) => Err("no answer in time".to_owned()),
        };
        judge(&strong, member, &found, &health);
        drop(strong);
        sleep(health.interval).await;
    }
}

fn judge(fleet: &Fleet, member: &Member, found: &Result<(), String>, health: &Health) {
    let needed = if found.is_ok() { health.healthy_after } else { health.unhealthy_after };
    if !member.standing.checked(found.is_ok(), needed) {
        return;
    }
    let (upstream, server) = (&*fleet.settings.name, &member.server);
    match found {
        Ok(()) => info!(target: "cloakroom::upstream", upstream, %server, "a server is healthy again"),
        Err(reason) => warn!(target: "cloakroom::upstream", upstream, %server, reason, "a server is not healthy"),
    }
}

async fn probe(fleet: &Fleet, member: &Arc<Member>, health: &Health) -> Result<(), String> {
    let settings = &fleet.settings;
    let stream = member.dialer.dial(None).await.map_err(|error| error.to_string())?;
    let line = match settings.protocol {
        Protocol::Http1 => Line::Single(Single::begin(stream, Need::Answer, settings).await.map_err(text)?),
        Protocol::Http2 => {
            let shared = Shared::begin(stream, settings).await.map_err(text)?;
            let place = shared.place().ok_or("no stream")?;
            Line::Stream(shared, place)
        }
    };
    let mut request = Request::new(Nothing(Progress::of_nothing()));
    *request.uri_mut() = health.path.clone().into();
    request.headers_mut().insert(HOST, member.authority.clone());
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("cloakroom-health-check"));
    let terms = Terms { host: HostOf::Server, patience: health.timeout };
    let shelf = Shelf::new(member, Duration::ZERO);
    let answer = line.exchange::<ResponseBody<_>>(Box::new(request), Try::once(), terms, (&shelf, None)).await;
    let status = answer.map_err(|setback| text(setback.error))?.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("it answers {status}")) }
}

fn text(error: SendError) -> String {
    error.to_string()
}

/// The body of a check.
struct Nothing(Progress);

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

impl Payload for Nothing {
    fn progress(&self) -> &Progress {
        &self.0
    }

    fn again(&self) -> Option<Self> {
        None
    }
}
