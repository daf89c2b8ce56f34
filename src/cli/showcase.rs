//! `cloakroom demo`: the shop on a free port, the proxy before it, both until a signal says stop.

use std::net::SocketAddr;

use tokio::{net::TcpListener, sync::oneshot};

use super::{
    Failure, LogArguments, demo, environment,
    run::{Order, begin, end, front_desk},
    say,
};
use crate::{
    config::{self, Overrides},
    telemetry,
};

pub(super) fn show(listen: SocketAddr, log: &LogArguments) -> Result<(), Failure> {
    let _log = telemetry::start(log.log_format, &log.log).map_err(Failure::Argument)?;
    front_desk(async {
        let cannot = |error: std::io::Error| Failure::Run(format!("the shop cannot listen: {error}"));
        let shop = TcpListener::bind("127.0.0.1:0").await.map_err(cannot)?;
        let upstream = format!("http://{}", shop.local_addr().map_err(cannot)?);
        let overrides = Overrides { upstream: Some(upstream), listen: Some(listen.to_string()), store: None };
        let loaded = config::load(None, &overrides, &environment)?;
        let secret = loaded.proxy.envelope.keys.first().map(|key| key.secret.clone()).unwrap_or_default();
        let audience = loaded.proxy.upstreams.first().map(|upstream| upstream.connections.name.to_string());
        let key = demo::TokenKey::new(&secret, &audience.unwrap_or_default());

        let (server, addresses, mut orders) = begin(loaded).await?;
        for address in addresses {
            say(format_args!("The shop is open: http://{address}/  (Ctrl-C closes it; sessions are kept in memory)"));
        }
        let (close, closed) = oneshot::channel::<()>();
        let shop = tokio::spawn(demo::serve(shop, key, async {
            let _ = closed.await;
        }));
        // There is no file to read again.
        while orders.next().await == Order::Renew {}
        end(server, &mut orders).await?;
        let _ = close.send(());
        let _ = shop.await;
        Ok(())
    })
}
