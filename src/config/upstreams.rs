//! `[upstreams.NAME]`: applications, where they are and what they may do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::{Uri, uri::Scheme};

use super::{
    faults::Report,
    file::Node,
    section::{Origin, Section},
    units,
};
use crate::{
    proxy::UpstreamSettings,
    session::rights::{Rights, Verbs},
    upstream::{Server, Settings},
};

const PATTERN: &str = "upstreams.*";
const VERBS: &[&str] = &["rotate", "destroy", "clear", "subject", "lifetime", "revoke"];

/// Reads every `[upstreams.NAME]`, in the order of the names.
pub(super) fn upstreams(section: &Section<'_>, response_header_bytes: usize) -> Vec<UpstreamSettings> {
    let entries = section.entries();
    entries.map(|(name, node)| upstream(name, node, response_header_bytes, section.report)).collect()
}

fn upstream(name: &str, node: &Node, response_header_bytes: usize, report: &Report) -> UpstreamSettings {
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        report.fault(
            &node.place,
            "is not a name for an upstream",
            "write 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
        );
    }
    let section = Section::open(node, PATTERN, report);
    let connections = Settings {
        name: Arc::from(name),
        server: server(&section),
        connect_timeout: section.duration("connect_timeout", Duration::from_secs(2)).value,
        response_timeout: section.duration("response_timeout", Duration::from_secs(60)).value,
        idle_timeout: section.duration("idle_timeout", Duration::from_secs(60)).value,
        max_connections: section.count("max_connections", 1024, 1_000_000).value,
        preserve_host: section.flag("preserve_host", true).value,
        response_header_bytes,
    };
    let rights = rights(&section);
    section.close();
    UpstreamSettings { connections, rights }
}

fn server(section: &Section<'_>) -> Server {
    let servers = section.optional("servers", |node, report| match units::list(node, report)? {
        [] => units::fault(node, report, "is empty", "write servers = [\"http://127.0.0.1:3000\"]"),
        [server, ..] => http_server(server, report),
    });
    if servers.origin == Origin::Default {
        section.report.fault(&servers.place, "is missing", "write servers = [\"http://127.0.0.1:3000\"]");
    }
    servers.value.unwrap_or_else(|| Server { host: String::new(), port: 0 })
}

fn http_server(node: &Node, report: &Report) -> Option<Server> {
    let text = units::text(node, report)?;
    let server = text.meant.parse::<Uri>().map_err(|_| ()).and_then(|uri| server_of(&uri));
    server.ok().or_else(|| {
        let bare = text.typed.trim_end_matches('/');
        let cure = match format!("http://{bare}").parse::<Uri>().map_err(|_| ()).and_then(|uri| server_of(&uri)) {
            Ok(_) => format!("write \"http://{bare}\""),
            Err(()) => "write \"http://host:port\", without user, path or query".to_owned(),
        };
        units::fault(node, report, "is not the address of an HTTP server", &cure)
    })
}

fn server_of(uri: &Uri) -> Result<Server, ()> {
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(())?;
    let plain = uri.path() == "/" && uri.query().is_none() && uri.scheme() == Some(&Scheme::HTTP);
    let host = authority.host();
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().map(|_| v6).map_err(|_| ())?,
        None => host,
    };
    let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) && !host.is_empty();
    let port = match authority.as_str().rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok().filter(|port| *port != 0).ok_or(())?,
        _ => 80,
    };
    if plain && named { Ok(Server { host: host.to_owned(), port }) } else { Err(()) }
}

fn rights(section: &Section<'_>) -> Rights {
    let pointers = |node: &Node, report: &Report| units::each(node, report, |node| units::pointer(node, report));
    Rights {
        verbs: section.read("may", Verbs::default(), verbs).value,
        may_write: section.optional("may_write", pointers).value,
        forward: section.optional("forward", pointers).value,
    }
}

fn verbs(node: &Node, report: &Report) -> Option<Verbs> {
    let words = units::each(node, report, |node| {
        let verb = units::text(node, report)?;
        VERBS.contains(&verb.meant.as_str()).then(|| verb.meant.clone()).or_else(|| {
            let problem = format!("\"{}\" is not a right", verb.typed);
            units::fault(node, report, &problem, &format!("write some of {}", VERBS.join(", ")))
        })
    })?;
    let words: BTreeSet<&str> = words.iter().map(String::as_str).collect();
    Some(Verbs {
        rotate: words.contains("rotate"),
        destroy: words.contains("destroy"),
        clear: words.contains("clear"),
        subject: words.contains("subject"),
        lifetime: words.contains("lifetime"),
        revoke: words.contains("revoke"),
    })
}
