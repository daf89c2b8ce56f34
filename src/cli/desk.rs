//! `cloakroom sessions list|show|revoke|revoke-subject|count`: what an operator does through the admin listener of a proxy
//! that runs. Whatever the store is, the proxy is asked and the store is not touched from here.

mod ask;
mod show;

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Failure, complain, run::runtime, say};
use ask::Listener;
use show::{Session, row, safe};

/// Sessions that are asked for at once.
const PAGE: usize = 500;

/// Which proxy is asked, and how its answers are printed.
#[derive(Debug, Args)]
pub(super) struct Desk {
    /// The configuration of the proxy: says where its admin listener is, and names the token
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin listener, if not that of the configuration: 127.0.0.1:9901 or unix:/PATH
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// A file with the token, if not that of CLOAKROOM_ADMIN_TOKEN or of the configuration
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeskCommand {
    /// List the sessions that live, all or those of one user. With --json one object a line
    List {
        #[command(flatten)]
        desk: Desk,
        /// Only the sessions of this user
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// No more than so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// Show one session
    Show {
        #[command(flatten)]
        desk: Desk,
        /// What is in it, too; that leaves a line in the proxy's log
        #[arg(long)]
        data: bool,
        /// Its handle: 43 characters, in the log and in the token (sid)
        #[arg(value_name = "HANDLE", allow_hyphen_values = true)]
        handle: String,
    },
    /// End one session
    Revoke {
        #[command(flatten)]
        desk: Desk,
        /// Its handle
        #[arg(value_name = "HANDLE", allow_hyphen_values = true)]
        handle: String,
    },
    /// End every session of one user, also one that is being made at that moment
    RevokeSubject {
        #[command(flatten)]
        desk: Desk,
        /// Whose sessions
        #[arg(value_name = "SUBJECT", allow_hyphen_values = true)]
        subject: String,
    },
    /// Count the sessions that live, all or those of one user
    Count {
        #[command(flatten)]
        desk: Desk,
        /// Only the sessions of this user
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
    },
}

pub(super) fn operate(command: &DeskCommand) -> Result<(), Failure> {
    runtime()?.block_on(async {
        match command {
            DeskCommand::List { desk, subject, limit } => desk.list(subject.as_deref(), *limit).await,
            DeskCommand::Show { desk, data, handle } => desk.show(handle, *data).await,
            DeskCommand::Revoke { desk, handle } => desk.revoke(handle).await,
            DeskCommand::RevokeSubject { desk, subject } => desk.revoke_subject(subject).await,
            DeskCommand::Count { desk, subject } => desk.count(subject.as_deref()).await,
        }
    })
}

#[derive(Deserialize)]
struct Page {
    sessions: Vec<Box<RawValue>>,
    unreadable: u64,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

#[derive(Deserialize)]
struct Revoked {
    revoked: u64,
}

impl Desk {
    fn listener(&self) -> Result<Listener, Failure> {
        Listener::find(self.config.as_deref(), self.admin.as_deref(), self.token_file.as_deref())
    }

    async fn list(&self, subject: Option<&str>, limit: Option<usize>) -> Result<(), Failure> {
        let (listener, limit) = (self.listener()?, limit.unwrap_or(usize::MAX));
        let (mut listed, mut unreadable, mut cursor) = (0, 0, None);
        while listed < limit {
            let page = PAGE.min(limit - listed).to_string();
            let query = [("limit", Some(page.as_str())), ("subject", subject), ("cursor", cursor.as_deref())];
            let page: Page = listener.get(&target("/v1/sessions", &query)).await?;
            for session in page.sessions.iter().take(limit - listed) {
                let heading = (listed == 0 && !self.json).then(show::heading);
                let line = if self.json { safe(session.get()) } else { row(&Session::read(session.get())?) };
                if heading.into_iter().chain([line]).try_for_each(|line| writeln!(stdout(), "{line}")).is_err() {
                    return Ok(()); // Nobody reads on.
                }
                listed += 1;
            }
            unreadable += page.unreadable;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        if listed == 0 && !self.json {
            complain("there are no such sessions");
        }
        match unreadable {
            0 => Ok(()),
            count => Err(Failure::Run(format!("{count} more cannot be read; the proxy's log says why"))),
        }
    }

    async fn show(&self, handle: &str, data: bool) -> Result<(), Failure> {
        let query = [("data", data.then_some("true"))];
        let session: Box<RawValue> = self.listener()?.get(&target(&place(handle), &query)).await?;
        match self.json {
            true => say(safe(session.get())),
            false => say(show::whole(&Session::read(session.get())?)),
        }
        Ok(())
    }

    async fn revoke(&self, handle: &str) -> Result<(), Failure> {
        self.listener()?.delete(&place(handle)).await?;
        say(if self.json { r#"{"revoked":1}"# } else { "the session has ended" });
        Ok(())
    }

    async fn revoke_subject(&self, subject: &str) -> Result<(), Failure> {
        let body = self.listener()?.delete(&target("/v1/sessions", &[("subject", Some(subject))])).await?;
        let Revoked { revoked } = ask::read(&body)?;
        match (self.json, revoked) {
            (true, _) => say(body),
            (false, 1) => say("1 session has ended"),
            (false, _) => say(format_args!("{revoked} sessions have ended")),
        }
        Ok(())
    }

    async fn count(&self, subject: Option<&str>) -> Result<(), Failure> {
        let counted: Box<RawValue> =
            self.listener()?.get(&target("/v1/sessions/count", &[("subject", subject)])).await?;
        let Count { count } = ask::read(counted.get())?;
        if self.json {
            say(counted)
        } else {
            say(count)
        }
        Ok(())
    }
}

fn place(handle: &str) -> String {
    format!("/v1/sessions/{}", utf8_percent_encode(handle, NON_ALPHANUMERIC))
}

/// A path with what there is of a query.
fn target(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let pairs = query.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let pairs: Vec<_> =
        pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}
