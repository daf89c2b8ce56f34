//! `[upstreams.NAME]`: applications, where they are and what they may do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::{
    Uri,
    uri::{PathAndQuery, Scheme},
};

use super::{
    faults::Report,
    file::Node,
    secrets::Sources,
    section::{Origin, Section, Typed, contradiction},
    tls, units,
};
use crate::{
    proxy::UpstreamSettings,
    session::rights::{Rights, Verbs},
    tls::{Client, Trust},
    upstream::{Balance, Health, MOST_SERVERS, Protocol, Server, Settings},
};

const PATTERN: &str = "upstreams.*";
/// A Unix socket's path has to be shorter.
const SOCKET_PATH: usize = 108;
const BALANCES: &[(&str, Balance)] =
    &[("round-robin", Balance::RoundRobin), ("least-connections", Balance::LeastConnections)];
const PROTOCOLS: &[(&str, Protocol)] = &[("http1", Protocol::Http1), ("h2", Protocol::Http2)];
const VERBS: &[&str] = &["rotate", "destroy", "clear", "subject", "lifetime", "revoke"];

/// Reads every `[upstreams.NAME]`, in the order of the names.
pub(super) fn upstreams(
    section: &Section<'_>,
    response_header_bytes: usize,
    sources: &Sources<'_>,
) -> Vec<UpstreamSettings> {
    let reader = Reader { response_header_bytes, sources };
    section.entries().map(|(name, node)| reader.upstream(name, node, section.report)).collect()
}

struct Reader<'a> {
    response_header_bytes: usize,
    sources: &'a Sources<'a>,
}

impl Reader<'_> {
    fn upstream(&self, name: &str, node: &Node, report: &Report) -> UpstreamSettings {
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            report.fault(
                &node.place,
                "is not a name for an upstream",
                "write 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
            );
        }
        let section = Section::open(node, PATTERN, report);
        let servers = self.servers(&section);
        let connections = Settings {
            name: Arc::from(name),
            tls: self.tls(&section, &servers),
            servers: servers.value,
            balance: section.choice("balance", BALANCES).value,
            affinity: section.flag("affinity", false).value,
            protocol: section.choice("protocol", PROTOCOLS).value,
            connect_timeout: section.duration("connect_timeout", Duration::from_secs(2)).value,
            response_timeout: section.duration("response_timeout", Duration::from_secs(60)).value,
            idle_timeout: section.duration("idle_timeout", Duration::from_secs(60)).value,
            max_connections: section.count("max_connections", 1024, 1_000_000).value,
            preserve_host: section.flag("preserve_host", true).value,
            response_header_bytes: self.response_header_bytes,
            health: section.table("health", "upstreams.*.health").map(health),
        };
        let rights = rights(&section);
        section.close();
        UpstreamSettings { connections, rights }
    }

    fn servers(&self, section: &Section<'_>) -> Typed<Vec<Server>> {
        const CURE: &str = "write servers = [\"http://127.0.0.1:3000\"]";
        let servers = section.read("servers", Vec::new(), |node, report| {
            let servers = units::each(node, report, |node| self.server(node, report))?;
            match servers.len() {
                0 => units::fault(node, report, "is empty", CURE),
                count if count > MOST_SERVERS => {
                    let problem = format!("has {count} servers; {MOST_SERVERS} are the most");
                    units::fault(
                        node,
                        report,
                        &problem,
                        "put a name with several addresses, or another balancer, in between",
                    )
                }
                _ => Some(servers),
            }
        });
        for (index, server) in servers.value.iter().enumerate() {
            if servers.value[..index].contains(server) {
                section.report.fault(&servers.place, format!("has {server} twice"), "leave it once");
            }
        }
        if servers.origin == Origin::Default {
            section.report.fault(&servers.place, "is missing", CURE);
        }
        servers
    }

    fn server(&self, node: &Node, report: &Report) -> Option<Server> {
        let text = units::text(node, report)?;
        if let Some(path) = text.meant.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let sound = !path.is_empty() && path.len() < SOCKET_PATH && !path.ends_with('/');
            let cure = format!("write \"unix:/run/app.sock\", at most {} bytes", SOCKET_PATH - 1);
            return match sound {
                true => Some(Server::Unix(self.sources.folder.join(path))),
                false => units::fault(node, report, "is not the path of a Unix socket", &cure),
            };
        }
        let server = text.meant.parse::<Uri>().map_err(|_| ()).and_then(|uri| server_of(&uri));
        server.ok().or_else(|| {
            let bare = text.typed.trim_end_matches('/');
            let cure = match format!("http://{bare}").parse::<Uri>().map_err(|_| ()).and_then(|uri| server_of(&uri)) {
                Ok(_) => format!("write \"http://{bare}\""),
                Err(()) => "write \"http://host:port\", \"https://host:port\" or \"unix:/path\", without user or query"
                    .to_owned(),
            };
            units::fault(node, report, "is not the address of an HTTP server", &cure)
        })
    }

    fn tls(&self, section: &Section<'_>, servers: &Typed<Vec<Server>>) -> Client {
        let table = section.table("tls", "upstreams.*.tls");
        let place = section.place_of("tls");
        let encrypts = servers.value.iter().any(|server| matches!(server, Server::Https { .. }));
        if table.is_some() && !encrypts && servers.is_given() {
            section.report.fault(
                &place,
                "has no meaning: no server begins with https:",
                "remove it, or write \"https://host\"",
            );
        }
        tls::client(table, self.sources).unwrap_or(Client { trust: Trust::System, identity: None })
    }
}

fn server_of(uri: &Uri) -> Result<Server, ()> {
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(())?;
    let host = authority.host();
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().map(|_| v6).map_err(|_| ())?,
        None => host,
    };
    let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) && !host.is_empty();
    let port = match authority.as_str().rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => Some(port.parse().ok().filter(|port| *port != 0).ok_or(())?),
        _ => None,
    };
    let (host, bare) = (host.to_owned(), uri.path() == "/" && uri.query().is_none());
    match uri.scheme() {
        _ if !named || !bare => Err(()),
        Some(scheme) if *scheme == Scheme::HTTP => Ok(Server::Http { host, port: port.unwrap_or(80) }),
        Some(scheme) if *scheme == Scheme::HTTPS => Ok(Server::Https { host, port: port.unwrap_or(443) }),
        _ => Err(()),
    }
}

fn health(section: Section<'_>) -> Health {
    let path = section.optional("path", |node, report| {
        let text = &units::text(node, report)?.meant;
        let path = text.parse::<PathAndQuery>().ok().filter(|_| text.starts_with('/') && !text.contains('#'));
        path.or_else(|| {
            units::fault(node, report, "is not a path", "write the path of a health check, such as \"/healthz\"")
        })
    });
    if path.origin == Origin::Default && !section.is_broken() {
        section.report.fault(&path.place, "is missing", "write path = \"/healthz\"");
    }
    let interval = section.duration("interval", Duration::from_secs(5));
    let timeout = section.duration("timeout", Duration::from_secs(2));
    let (fits, problem) = (timeout.value <= interval.value || !timeout.is_given(), "is longer than interval");
    contradiction(section.report, (&timeout, &interval), fits, problem, "shorten timeout");
    let count = |key| u32::try_from(section.count(key, 2, 1_000).value).unwrap_or(2);
    let health = Health {
        path: path.value.unwrap_or_else(|| PathAndQuery::from_static("/")),
        interval: interval.value,
        timeout: timeout.value.min(interval.value),
        unhealthy_after: count("unhealthy_after"),
        healthy_after: count("healthy_after"),
    };
    section.close();
    health
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
