//! `cloakroom check`: every fault of a configuration at once; then, if asked for, whether what it names is there and
//! does what it must. One line for each finding, with its cure.

use std::path::Path;

use super::{Failure, complain, environment, run::runtime, say};
use crate::{
    config::{self, Loaded, Overrides},
    store::{
        Depot, Kind, Settings,
        probe::{Finding, Gravity},
    },
    upstream,
};

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    FileOnly,
    AndConnect,
}

pub(super) fn check(file: Option<&Path>, reach: Reach) -> Result<(), Failure> {
    let loaded = config::load(file, &Overrides::default(), &environment)?;
    for warning in &loaded.warnings {
        complain(format_args!("warning: {warning}"));
    }
    say("the configuration is good");
    match reach {
        Reach::FileOnly => Ok(()),
        Reach::AndConnect => runtime()?.block_on(connect(&loaded)),
    }
}

async fn connect(loaded: &Loaded) -> Result<(), Failure> {
    let mut faults = 0;
    let mut tell = |key: &str, finding: &Finding| {
        faults += usize::from(finding.gravity == Gravity::Fault);
        let word = match finding.gravity {
            Gravity::Good => "ok",
            Gravity::Note => "note",
            Gravity::Warning => "warning",
            Gravity::Fault => "error",
        };
        say(format_args!("{word}: {key}: {finding}"));
    };
    for finding in store(&loaded.proxy.store).await {
        tell("store.url", &finding);
    }
    for (key, finding) in upstreams(loaded).await {
        tell(&key, &finding);
    }
    match faults {
        0 => Ok(()),
        1 => Err(Failure::Run("1 thing does not work".to_owned())),
        count => Err(Failure::Run(format!("{count} things do not work"))),
    }
}

async fn store(settings: &Settings) -> Vec<Finding> {
    if let Kind::File { path } = &settings.kind
        && !path.exists()
    {
        let what = "file: it is not there yet, and is made at the start".to_owned();
        return vec![Finding { gravity: Gravity::Note, what, cure: String::new() }];
    }
    let depot = match Depot::new(settings) {
        Ok(depot) => depot,
        Err(problem) => return vec![Finding { gravity: Gravity::Fault, what: problem, cure: String::new() }],
    };
    let findings = depot.try_out().await;
    depot.close().await;
    findings
}

/// All servers of all upstreams, side by side: each may take its whole `connect_timeout`.
async fn upstreams(loaded: &Loaded) -> Vec<(String, Finding)> {
    let tries = loaded.proxy.upstreams.iter().map(|upstream| {
        let settings = upstream.connections.clone();
        let key = format!("upstreams.{}.servers", settings.name);
        tokio::spawn(async move { (key, upstream::try_out(&settings).await) })
    });
    let mut findings = Vec::new();
    for tried in tries.collect::<Vec<_>>() {
        let Ok((key, servers)) = tried.await else { continue };
        findings.extend(servers.into_iter().map(|(server, tried)| (key.clone(), reached(&server, tried))));
    }
    findings
}

fn reached(server: &upstream::Server, tried: Result<(), String>) -> Finding {
    match tried {
        Ok(()) => {
            Finding { gravity: Gravity::Good, what: format!("{server} accepts connections"), cure: String::new() }
        }
        Err(reason) => Finding {
            gravity: Gravity::Fault,
            what: format!("{server} cannot be reached: {reason}"),
            cure: "start it, or correct servers".to_owned(),
        },
    }
}
