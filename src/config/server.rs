//! `[limits]` and `[drain]`: what a client may cost, and how the process ends.

use std::time::Duration;

use super::{section::Section, units};
use crate::{proxy::UploadLimits, server};

/// hyper takes no smaller buffer.
pub(super) const LEAST_HEAD: usize = 8 * 1024;
/// A header map takes no more.
const MOST_HEADERS: usize = 32_000;
/// Nobody has more use for.
const MOST_STREAMS: usize = 10_000;

/// Reads `[limits]`: what belongs to the server, to the line, and, the size of a response head, to the upstreams.
pub(super) fn limits(section: Section<'_>) -> (server::Limits, UploadLimits, usize) {
    let limits = server::Limits {
        header_bytes: section.size("header_bytes", 32 * 1024, LEAST_HEAD).value,
        headers: section.count("headers", 100, MOST_HEADERS).value,
        head_timeout: section.duration("head_timeout", Duration::from_secs(10)).value,
        idle_timeout: section.duration("idle_timeout", Duration::from_secs(60)).value,
        connections: section.count("connections", 10_000, 10_000_000).value,
        streams: u32::try_from(section.count("streams", 100, MOST_STREAMS).value).unwrap_or(u32::MAX),
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
