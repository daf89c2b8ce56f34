//! Ports that nobody listens on.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex};

/// A free port of 127.0.0.1, never given twice in this process. It lies below the range from which the kernel
/// takes the local ports of outgoing connections: else a client that tries a dead server's port again and again
/// ends up connected to itself, or takes the port of a server that is being restarted.
pub(crate) fn free_port() -> u16 {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut given = GIVEN.lock().expect("ports");
    let mut drawn = std::iter::repeat_with(|| rand::random_range(15_000..32_000)).take(1_000);
    let port = drawn.find(|port| !given.contains(port) && free(port)).expect("a free port");
    given.insert(port);
    port
}
