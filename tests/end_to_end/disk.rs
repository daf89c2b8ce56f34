//! Contract 8, `file:`: a disk that is full, a file that is somebody else's, a second process.

use std::path::Path;
use std::process::Command;

use crate::support::{Answer, Ask, Browser, Proxy, Said, Store, World, cloakroom, world};

/// A small disk of its own, while it lives.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None`: this user may not mount.
    fn mount(at: &'a Path) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder for the disk");
        let mut command = Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    fn fill(&self) {
        let full = std::fs::write(self.0.join("filling"), vec![0; 8 << 20]);
        assert_eq!(full.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filling")).expect("the filling");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

/// What fills some pages.
fn large(n: usize) -> String {
    format!(r#"{{"n":{n},"filling":"{}"}}"#, "x".repeat(2_500))
}

/// Sessions are made until the disk is full, served while it is, and made again when it is not.
fn endure(proxy: &Proxy, browser: impl Fn() -> Browser, fill: impl Fn(), free: impl Fn()) {
    let ada = browser();
    ada.update(r#"{"user":"ada"}"#);
    for round in 0..3 {
        fill();
        let mut kept = Vec::new();
        let refusals = (0..2_000).filter(|&n| {
            let visitor = browser();
            let reply = visitor.get("/", Answer::updating(&large(n)));
            match reply.status {
                200 => kept.push((n, visitor.clone())),
                _ => drop(reply.refused(503, "store-unavailable").without_cookie()),
            }
            visitor.ticket().is_none()
        });
        assert_eq!(refusals.take(4).count(), 4, "the disk takes whatever comes");
        // What is there is served; what has no room is refused and leaves the cookie alone.
        assert_eq!(ada.data(), r#"{"user":"ada"}"#);
        for (n, visitor) in &kept {
            assert_eq!(visitor.data(), large(*n).as_str(), "round {round}");
        }
        free();
        ada.update(&format!(r#"{{"round":{round}}}"#)).without_cookie();
        ada.update(r#"{"round":null}"#).without_cookie();
        browser().ask(Ask::get("/"), Answer::updating(&large(0))).passed(200);
        kept.iter().for_each(|(_, visitor)| drop(visitor.control("destroy")));
    }
    proxy.terminate();
    proxy.restart();
    assert_eq!(ada.data(), r#"{"user":"ada"}"#);
    let log = proxy.log();
    assert!(log.contains("cannot be written") && log.contains("can be written again"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_full_disk_costs_nobody_the_session_and_is_over_when_there_is_room() {
    world(Store::File, |w| {
        let folder = w.file("disk");
        let disk = SmallDisk::mount(&folder);
        let Some(disk) = &disk else {
            eprintln!("this user may not mount: the limit of a file's size stands in for a full disk");
            let proxy = w.proxy();
            let size = || std::fs::metadata(w.file("proxy-0/sessions.db")).expect("the file").len();
            let limit = || proxy.limit_files(Some(size() + (64 << 10)));
            return endure(&proxy, || w.browser(&proxy), limit, || proxy.limit_files(None));
        };
        let proxy = w.proxy_with(&format!("store.url = \"file:{}\"", folder.join("sessions.db").display()));
        endure(&proxy, || w.browser(&proxy), || disk.fill(), || disk.free());
        proxy.terminate();
    });
}

#[test]
fn a_file_that_may_not_grow_costs_nobody_the_session() {
    world(Store::File, |w| {
        let proxy = w.proxy();
        let size = || std::fs::metadata(w.file("proxy-0/sessions.db")).expect("the file").len();
        let limit = || proxy.limit_files(Some(size()));
        endure(&proxy, || w.browser(&proxy), limit, || proxy.limit_files(None));
    });
}

/// What a process says that is started with the proxy's configuration on another port and this store.
fn another_process(w: &World, store: &Path) -> Said {
    let text = std::fs::read_to_string(w.file("proxy-0/cloakroom.toml")).expect("a configuration");
    let mut config: toml::Table = text.parse().expect("a configuration");
    config.remove("admin");
    config.remove("application");
    config["listen"] = toml::toml! { address = "127.0.0.1:0" }.into();
    let path = w.file("another.toml");
    std::fs::write(&path, config.to_string()).expect("a configuration");
    let store_folder = w.file("");
    let (path, store) = (path.display().to_string(), format!("file:{}", store.display()));
    cloakroom(store_folder.as_path(), &["run", "--config", &path, "--store", &store])
}

#[test]
fn a_second_process_is_told_that_the_file_is_taken() {
    world(Store::File, |w| {
        let proxy = w.proxy();
        let browser = w.browser(&proxy);
        browser.update(r#"{"user":"ada"}"#);
        let said = another_process(w, &w.file("proxy-0/sessions.db"));
        assert_eq!(said.code, Some(1), "{}", said.err);
        assert!(said.err.contains("another process has the file open"), "{}", said.err);
        assert_eq!(browser.data(), r#"{"user":"ada"}"#);
    });
}

#[test]
fn a_file_of_somebody_else_is_left_alone() {
    world(Store::File, |w| {
        w.proxy();
        let path = w.file("theirs.txt");
        std::fs::write(&path, "a letter").expect("a file");
        let said = another_process(w, &path);
        assert_eq!(said.code, Some(1), "{}", said.err);
        assert!(said.err.contains("not one of Cloakroom's"), "{}", said.err);
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "a letter");
    });
}
