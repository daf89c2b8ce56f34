//! The configuration: any file is either refused, with faults that say where and what, or gives settings that work.

use std::{io::Write as _, sync::LazyLock};

use cloakroom::{
    config::{self, Overrides},
    proxy::Common,
};

static FILE: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| tempfile::NamedTempFile::new().expect("a file"));

/// The input is a configuration file.
pub(crate) fn check(input: &[u8]) {
    let mut file = FILE.reopen().expect("the file");
    file.set_len(0).expect("an empty file");
    file.write_all(input).expect("writing it");
    let env = |name: &str| (name == "SECRET").then(|| "0123456789abcdef0123456789abcdef".to_owned());
    match config::load(Some(FILE.path()), &Overrides::default(), &env) {
        Err(faults) => {
            let text = faults.to_string();
            assert!(!text.trim().is_empty());
            assert!(!text.contains("0123456789abcdef0123456789abcdef"), "a secret is in the message");
        }
        Ok(loaded) => {
            assert!(loaded.server.limits.header_bytes >= 8 * 1024 && loaded.server.limits.headers > 0);
            assert!(
                !loaded.server.listen.is_empty()
                    && !loaded.proxy.upstreams.is_empty()
                    && !loaded.proxy.roots.is_empty()
            );
            assert!(loaded.proxy.routes.iter().all(|route| route.upstream < loaded.proxy.upstreams.len()));
            if let Err(problem) = Common::new(&loaded.proxy) {
                panic!("a configuration without faults cannot be used: {problem}");
            }
        }
    }
}
