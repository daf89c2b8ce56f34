//! At a terminal a proxy without a token makes one, shows it there once, and keeps it over a reload.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Connection, Store, binary, until, world};

/// A new terminal: the keyboard's side and the program's.
fn terminal() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("a terminal that is ours");
    unlockpt(&master).expect("an open terminal");
    let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("a name in UTF-8");
    let flags = i32::try_from(OFlags::NOCTTY.bits()).expect("flags");
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    (master.into(), options.read(true).write(true).open(name).expect("the other side"))
}

#[test]
fn at_a_terminal_a_token_is_made_and_shown_once() {
    world(Store::Memory, |w| {
        let proxy = w.proxy();
        let (admin, ledger) = (proxy.admin(), proxy.ledger().clone());
        proxy.terminate();
        let (mut keyboard, screen) = terminal();
        let mut child = Command::new(binary())
            .args(["run", "--config", "cloakroom.toml"])
            .current_dir(proxy.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(screen)
            .spawn()
            .expect("starting the proxy");
        let shown = Arc::new(Mutex::new(String::new()));
        let screen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = keyboard.read(&mut piece) {
                screen.lock().expect("the screen").push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        let shown = || shown.lock().expect("the screen").clone();
        let token = until("the token", || {
            let text = shown();
            let line = text.split("the token of this run: ").nth(1)?;
            line.split_once('\r').map(|(token, _)| token.to_owned())
        });
        let status = |token: &str| {
            until("the admin listener", || std::net::TcpStream::connect(admin).ok());
            let mut connection = Connection::at(admin, &ledger);
            let head = format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
            connection.send(head.as_bytes()).expect("asking");
            connection.reply("GET").expect("an answer").status
        };
        assert_eq!((status(&token), status("another")), (200, 401));
        kill_process(Pid::from_child(&child), Signal::HUP).expect("a signal");
        until("the reload", || shown().contains("the new configuration is at work").then_some(()));
        assert_eq!((status(&token), shown().matches(&token).count()), (200, 1), "{}", shown());
        kill_process(Pid::from_child(&child), Signal::TERM).expect("a signal");
        assert_eq!(until("the end", || child.try_wait().expect("its state")).code(), Some(0));
    });
}
