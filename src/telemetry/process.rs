//! The process itself: which build it is, since when it runs, and what it uses. The names are those of every Prometheus
//! client. What the system does not tell is left out.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    param::page_size,
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::{Page, Source};

/// This process.
pub struct Process {
    started: Duration,
}

impl Process {
    /// Begins to be told of.
    pub fn new() -> Self {
        Self { started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Process {
    fn tell(&self, page: &mut Page) {
        page.gauge("cloakroom_build_info", "Which build this is; always 1.")
            .add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.gauge("process_start_time_seconds", "When the process started, in seconds since the epoch.")
            .add_real(&[], self.started.as_secs_f64());
        let used = clock_gettime(ClockId::ProcessCPUTime);
        page.counter("process_cpu_seconds_total", "Processor time that the process has used.")
            .add_real(&[], used.tv_sec as f64 + used.tv_nsec as f64 / 1e9);
        if let Some(pages) = resident_pages() {
            page.gauge("process_resident_memory_bytes", "Memory that the process has in use.")
                .add(&[], pages * page_size() as u64);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            page.gauge("process_open_fds", "Files and sockets that the process has open.")
                .add(&[], open.count() as u64);
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            page.gauge("process_max_fds", "Files and sockets that the process may have open.").add(&[], most);
        }
    }
}

/// The second number of `/proc/self/statm`.
fn resident_pages() -> Option<u64> {
    fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}
