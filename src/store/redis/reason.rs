//! Why the server could not be reached, and which setting to look at: in our own words, for a server's may repeat what it
//! was sent, the password included.

use std::io;

use redis::ServerError;

use super::{mover::End, refusal::code, talk::Fault};

pub(super) const SILENT: &str = "no answer within store.timeout";

pub(super) fn silent(speaks_tls: bool) -> String {
    match speaks_tls {
        false => SILENT.to_owned(),
        true => format!("{SILENT}; does it speak TLS there (redis:// in store.url if not; see store.tls)?"),
    }
}

pub(super) fn unreachable(error: io::Error) -> String {
    format!("cannot connect: {error}; is it running, and does store.url name it?")
}

pub(super) fn unencrypted(error: io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            "no TLS is spoken there; write redis:// in store.url, or name the port for TLS".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(_)) => {
            format!("its certificate is not believed: {error}; see store.tls.ca, and the host in store.url")
        }
        _ => format!("TLS failed: {error}; see store.tls"),
    }
}

/// The connection broke, or what came is no RESP.
pub(super) fn speechless(end: &End) -> String {
    let why = match end {
        End::Broken(error) => error.to_string(),
        End::Useless(Fault::Nonsense) => "what came is no answer".to_owned(),
        End::Useless(Fault::TooLarge) => "its answer is too large".to_owned(),
        End::Useless(Fault::Stuck) => SILENT.to_owned(),
    };
    format!(
        "the connection broke while it was opened: {why}; is it a Redis server, does it want TLS (rediss:// in \
         store.url) or a certificate of ours (store.tls)?"
    )
}

pub(super) fn not_let_in(error: &ServerError) -> String {
    match code(error) {
        "ERR" => "it has no such log-in (ERR); see the user in store.url, and leave the password out if it has none"
            .to_owned(),
        other => format!(
            "it does not let us in ({other}); see the user in store.url, and the password there or in store.password"
        ),
    }
}

pub(super) fn no_database(error: &ServerError) -> String {
    match code(error) {
        "NOAUTH" => password_wanted(error),
        other => format!("it does not give us this database ({other}); see the number at the end of store.url"),
    }
}

/// A name is worth having and no more: only what says that every other command will fail is a failure.
pub(super) fn nameless(error: &ServerError) -> Option<String> {
    match (code(error), error.details()) {
        ("NOAUTH", _) => Some(password_wanted(error)),
        ("DENIED", _) => Some(
            "it is in protected mode (DENIED) and wants a password; set one there and in store.password".to_owned(),
        ),
        ("ERR", Some(detail)) if detail.starts_with("max number of clients") => {
            Some("it has too many clients already; see its setting maxclients".to_owned())
        }
        _ => None,
    }
}

fn password_wanted(error: &ServerError) -> String {
    format!("it wants a password ({}); see store.password", code(error))
}
