//! `[listen]`, `[application]`, `[admin]`, `[limits]` and `[drain]`: where the process listens, what a client may
//! cost, how it ends.
//!
//! Addresses are numbers: a name such as `localhost` may mean two of them, and which one is no business of a
//! resolver at start.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    faults::Report,
    file::{Node, Value},
    section::{Origin, Section, Typed},
    units,
};
use crate::{headers::SchemePolicy, proxy::UploadLimits, server};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
/// hyper takes no smaller buffer.
pub(super) const LEAST_HEAD: usize = 8 * 1024;
/// A header map takes no more.
const MOST_HEADERS: usize = 32_000;

/// `[listen]`: the addresses, and what the line is told.
pub(super) struct Listen {
    pub(super) addresses: Typed<Vec<SocketAddr>>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) scheme: SchemePolicy,
}

/// Reads `[listen]`.
pub(super) fn listen(section: Section<'_>) -> Listen {
    let listen = Listen {
        addresses: section.read("address", vec![DEFAULT_LISTEN], addresses),
        trusted_proxies: section
            .read("trusted_proxies", Vec::new(), |node, report| units::each(node, report, |node| network(node, report)))
            .value,
        scheme: section.choice("scheme", &[("auto", SchemePolicy::Auto), ("https", SchemePolicy::Https)]).value,
    };
    section.close();
    listen
}

/// Reads `[application]` or `[admin]`: absent is not served.
pub(super) fn private(section: Option<Section<'_>>) -> Option<Typed<Option<SocketAddr>>> {
    let section = section?;
    let address = section.optional("address", address);
    if address.origin == Origin::Default {
        let cure = "write address = \"127.0.0.1:PORT\", or remove the whole table to serve nothing";
        section.report.fault(&address.place, "is missing", cure);
    }
    section.close();
    Some(address)
}

/// Reports addresses that are used twice.
pub(super) fn distinct(
    report: &Report,
    listen: &Typed<Vec<SocketAddr>>,
    private: [&Option<Typed<Option<SocketAddr>>>; 2],
) {
    let public = listen.value.iter().filter(|_| listen.is_sound()).map(|address| (*address, &listen.place));
    let private = private.into_iter().flatten().filter_map(|typed| typed.value.map(|address| (address, &typed.place)));
    let mut seen = BTreeMap::new();
    for (address, place) in public.chain(private).filter(|(address, _)| address.port() != 0) {
        if let Some(first) = seen.insert(address, place.key()) {
            let problem = format!("{address} is used by {first} already");
            report.fault(place, problem, "give each listener an address of its own");
        }
    }
}

/// Reads `[limits]`: what belongs to the server, to the line, and, the size of a response head, to the upstreams.
pub(super) fn limits(section: Section<'_>) -> (server::Limits, UploadLimits, usize) {
    let limits = server::Limits {
        header_bytes: section.size("header_bytes", 32 * 1024, LEAST_HEAD).value,
        headers: section.count("headers", 100, MOST_HEADERS).value,
        head_timeout: section.duration("head_timeout", Duration::from_secs(10)).value,
        idle_timeout: section.duration("idle_timeout", Duration::from_secs(60)).value,
        connections: section.count("connections", 10_000, 10_000_000).value,
    };
    let uploads = UploadLimits {
        bytes: section
            .optional("body_bytes", |node, report| units::size(node, report, 1))
            .value
            .map(|size| size as u64),
        idle_timeout: section.duration("body_idle_timeout", Duration::from_secs(30)).value,
    };
    let response_header_bytes = section.size("response_header_bytes", 128 * 1024, LEAST_HEAD).value;
    section.close();
    (limits, uploads, response_header_bytes)
}

/// Reads `[drain]`.
pub(super) fn drain(section: Section<'_>) -> server::Drain {
    let drain = server::Drain {
        delay: section.duration_or_zero("delay", Duration::ZERO).value,
        timeout: section.duration_or_zero("timeout", Duration::from_secs(30)).value,
    };
    section.close();
    drain
}

fn addresses(node: &Node, report: &Report) -> Option<Vec<SocketAddr>> {
    match &node.value {
        Value::List(list) if list.is_empty() => {
            units::fault(node, report, "is empty", "write at least one address, such as \"127.0.0.1:8080\"")
        }
        Value::List(_) => units::each(node, report, |node| address(node, report)),
        _ => address(node, report).map(|address| vec![address]),
    }
}

fn address(node: &Node, report: &Report) -> Option<SocketAddr> {
    let text = units::text(node, report)?;
    if let Ok(address) = text.meant.parse() {
        return Some(address);
    }
    let port = text.meant.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
    let cure = match (text.meant.split_once(':'), port) {
        (Some(("localhost", _)), Some(port)) => format!("write \"127.0.0.1:{port}\""),
        (Some(("" | "*", _)) | None, Some(port)) => format!("write \"0.0.0.0:{port}\" for all interfaces"),
        _ => match text.meant.parse::<IpAddr>() {
            Ok(ip) => format!("write \"{}\"", SocketAddr::new(ip, 8080)),
            Err(_) => "write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned(),
        },
    };
    units::fault(node, report, &format!("\"{}\" is not an address with a port", text.typed), &cure)
}

fn network(node: &Node, report: &Report) -> Option<IpNet> {
    let text = units::text(node, report)?;
    let network = text.meant.parse::<IpNet>().or_else(|_| text.meant.parse::<IpAddr>().map(IpNet::from));
    network.ok().map(|network| network.trunc()).or_else(|| {
        let problem = format!("\"{}\" is not a network", text.typed);
        units::fault(node, report, &problem, "write a CIDR, such as \"10.0.0.0/8\" or \"fd00::/8\"")
    })
}
