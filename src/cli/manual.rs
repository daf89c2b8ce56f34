//! `cloakroom completions` and `cloakroom man`: what the command line is, for shells and for `man`. Both are made of the
//! same definition that arguments are read by, so they cannot differ from it.

use std::io;

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Arguments, Failure, say};

const EXIT_STATUS: &str = r".SH EXIT STATUS
.TP
\fB0\fR
Done.
.TP
\fB1\fR
It could not be done, or something that was tried does not work.
.TP
\fB2\fR
The command line is wrong.
.TP
\fB69\fR
The admin listener, or the store behind it, cannot be reached.
.TP
\fB77\fR
The admin listener wants another token, or its socket may not be opened.
.TP
\fB78\fR
The configuration is wrong.
.TP
\fB130\fR, \fB143\fR
A second SIGINT or SIGTERM ended it while requests were finishing.
.SH ENVIRONMENT
.TP
\fBCLOAKROOM_LOG\fR
As \fB\-\-log\fR.
.TP
\fBCLOAKROOM_ADMIN_TOKEN\fR
The token for \fBcloakroom sessions\fR, unless \fB\-\-token\-file\fR names one.
";

pub(super) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "cloakroom", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
}

pub(super) fn manual() -> Result<(), Failure> {
    let page = page().map_err(|error| Failure::Run(format!("the page cannot be written: {error}")))?;
    say(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}

/// One page with all commands, each with its options.
fn page() -> io::Result<Vec<u8>> {
    let mut command = Arguments::command();
    command.build();
    let (mut page, man) = (Vec::new(), Man::new(command.clone()));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.extend(b".SH COMMANDS\n");
    for leaf in leaves(&command) {
        describe(&leaf, &mut page)?;
    }
    page.extend(EXIT_STATUS.as_bytes());
    Ok(page)
}

/// The commands that do something, in their order; what is said of all of them is not repeated.
fn leaves(command: &Command) -> Vec<Command> {
    let below: Vec<&Command> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
    if below.is_empty() {
        let is_everywhere = |argument: &Arg| argument.is_global_set() || argument.get_id() == "help";
        let hide = |argument: Arg| if is_everywhere(&argument) { argument.hide(true) } else { argument };
        return vec![command.clone().mut_args(hide)];
    }
    below.into_iter().flat_map(leaves).collect()
}

fn describe(leaf: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = leaf.get_bin_name().unwrap_or_default().replace('-', r"\-");
    page.extend(format!(".SS {name}\n").as_bytes());
    let man = Man::new(leaf.clone());
    let mut parts = Vec::new();
    man.render_description_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    // They are parts of a section here.
    for line in String::from_utf8_lossy(&parts).lines() {
        match line.strip_prefix(".SH ") {
            Some("OPTIONS") | Some("DESCRIPTION") => page.extend(b".PP\n"),
            Some(_) | None => page.extend(format!("{line}\n").as_bytes()),
        }
    }
    Ok(())
}
