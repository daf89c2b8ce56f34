//! `[listen]` and `[application]`: where the process listens, and how browsers are met there.
//!
//! Addresses are numbers: a name such as `localhost` may mean two of them, and which one is no business of a
//! resolver at start. A Unix socket is named by its whole path.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;

use super::{
    faults::Report,
    file::{Node, Value},
    secrets::Sources,
    section::{Origin, Section, Typed},
    units,
};
use crate::{
    headers::{SchemePolicy, Trust},
    server::Preamble,
    socket::Address,
    tls::Identity,
};

const DEFAULT_LISTEN: Address = Address::Tcp(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080));
/// What the system takes for the path of a socket.
const LONGEST_PATH: usize = 107;
const UNIX: &str = "unix:";

/// `[listen]`: the addresses, and what the line is told.
pub(super) struct Listen {
    pub(super) addresses: Typed<Vec<Address>>,
    pub(super) identity: Option<Identity>,
    pub(super) preamble: Preamble,
    pub(super) trust: Trust,
    pub(super) scheme: SchemePolicy,
}

/// Reads `[listen]`.
pub(super) fn listen(section: Section<'_>, sources: &Sources<'_>) -> Listen {
    let listen = Listen {
        addresses: section.read("address", vec![DEFAULT_LISTEN], addresses),
        trust: section.read("trusted_proxies", Trust::default(), trust).value,
        scheme: section.choice("scheme", &[("auto", SchemePolicy::Auto), ("https", SchemePolicy::Https)]).value,
        preamble: match section.flag("proxy_protocol", false).value {
            true => Preamble::ProxyHeader,
            false => Preamble::None,
        },
        identity: section.table("tls", "listen.tls").and_then(|section| identity(section, sources)),
    };
    section.close();
    listen
}

/// Reads `[application]`: absent is not served.
pub(super) fn application(section: Option<Section<'_>>) -> Option<Typed<Option<Address>>> {
    let section = section?;
    let address = private_address(&section);
    section.close();
    Some(address)
}

/// Reads the address of a listener that is not for browsers, which has no default.
pub(super) fn private_address(section: &Section<'_>) -> Typed<Option<Address>> {
    let address = section.optional("address", address);
    if address.origin == Origin::Default {
        let cure = "write address = \"127.0.0.1:PORT\", or remove the whole table to serve nothing";
        section.report.fault(&address.place, "is missing", cure);
    }
    address
}

/// Reports addresses that are used twice.
pub(super) fn distinct(report: &Report, listen: &Typed<Vec<Address>>, private: [Option<&Typed<Option<Address>>>; 2]) {
    let public = listen.value.iter().filter(|_| listen.is_sound()).map(|address| (address, &listen.place));
    let private = private.into_iter().flatten();
    let private = private.filter_map(|typed| typed.value.as_ref().map(|address| (address, &typed.place)));
    let any_port = |address: &Address| matches!(address, Address::Tcp(address) if address.port() == 0);
    let mut seen = BTreeMap::new();
    for (address, place) in public.chain(private).filter(|(address, _)| !any_port(address)) {
        if let Some(first) = seen.insert(address, place.key()) {
            let problem = format!("{address} is used by {first} already");
            report.fault(place, problem, "give each listener an address of its own");
        }
    }
}

fn addresses(node: &Node, report: &Report) -> Option<Vec<Address>> {
    match &node.value {
        Value::List(list) if list.is_empty() => {
            units::fault(node, report, "is empty", "write at least one address, such as \"127.0.0.1:8080\"")
        }
        Value::List(_) => units::each(node, report, |node| address(node, report)),
        _ => address(node, report).map(|address| vec![address]),
    }
}

fn address(node: &Node, report: &Report) -> Option<Address> {
    let text = units::text(node, report)?;
    if let Some(path) = text.meant.strip_prefix(UNIX) {
        return unix(path, node, report);
    }
    if let Ok(address) = text.meant.parse() {
        return Some(Address::Tcp(address));
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

fn unix(path: &str, node: &Node, report: &Report) -> Option<Address> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        let cure = "write the whole path, such as \"unix:/run/cloakroom.sock\"";
        return units::fault(node, report, "is not the path of a Unix socket", cure);
    }
    if path.len() > LONGEST_PATH {
        let problem = format!("is a path of {} bytes; a Unix socket has at most {LONGEST_PATH}", path.len());
        return units::fault(node, report, &problem, "choose a shorter one, such as \"unix:/run/cloakroom.sock\"");
    }
    Some(Address::Unix(PathBuf::from(path)))
}

fn trust(node: &Node, report: &Report) -> Option<Trust> {
    let (mut trust, mut sound) = (Trust::default(), true);
    for element in units::list(node, report)? {
        match &element.value {
            Value::Text(text) if text.meant == UNIX => trust.unix = true,
            _ => match network(element, report) {
                Some(network) => trust.proxies.push(network),
                None => sound = false,
            },
        }
    }
    sound.then_some(trust)
}

fn network(node: &Node, report: &Report) -> Option<IpNet> {
    let text = units::text(node, report)?;
    let network = text.meant.parse::<IpNet>().or_else(|_| text.meant.parse::<IpAddr>().map(IpNet::from));
    network.ok().map(|network| network.trunc()).or_else(|| {
        let problem = format!("\"{}\" is not a network", text.typed);
        let cure = "write a CIDR, such as \"10.0.0.0/8\" or \"fd00::/8\", or \"unix:\" for Unix sockets";
        units::fault(node, report, &problem, cure)
    })
}

/// Reads `listen.tls`: a chain and its key, both from files.
fn identity(section: Section<'_>, sources: &Sources<'_>) -> Option<Identity> {
    let place = section.place.clone();
    let [chain, key] = ["certificate", "key"].map(|name| {
        let pem = section.optional(name, |node, report| sources.pem(node, report));
        if pem.origin == Origin::Default && !section.is_broken() {
            section.report.fault(&pem.place, "is missing", format!("write {name} = \"{name}.pem\", a file in PEM"));
        }
        pem.value
    });
    let report = section.report;
    section.close();
    Identity::new(&chain?, &key?)
        .map_err(|error| {
            let cure = "name the certificate chain (leaf first) and the key that belongs to it, both in PEM";
            report.fault(&place, error.to_string(), cure);
        })
        .ok()
}
