//! Contract 7: who is asked is said by host and path, and nobody walks around a route by writing its path in another way.

use crate::support::{Backend, Reply, Store, world};

#[test]
fn a_request_goes_where_its_host_and_its_path_say_and_arrives_as_it_was_written() {
    world(Store::Memory, |w| {
        let names = ["all", "deep", "static", "shop", "any"];
        let servers = names.map(Backend::named);
        let upstreams: String = names
            .iter()
            .zip(&servers)
            .map(|(name, server)| format!("[upstreams.{name}]\nservers = [\"{}\"]\n", server.url()))
            .collect();
        let proxy = w.proxy_with(&format!(
            "routes = [\n\
             {{ path = \"/\", upstream = \"all\" }},\n\
             {{ path = \"/a/b\", upstream = \"deep\" }},\n\
             {{ path = \"/a/static/\", upstream = \"static\", session = false }},\n\
             {{ host = \"shop.example\", path = \"/\", upstream = \"shop\" }},\n\
             {{ host = \"*.example\", path = \"/\", upstream = \"any\" }},\n\
             ]\n{upstreams}"
        ));
        let ask = |host: &str, target: &str| -> Reply {
            let mut connection = proxy.connect();
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            connection.send(head.as_bytes()).expect("sending");
            connection.reply("GET").expect("an answer")
        };
        for (host, target, name) in [
            ("localhost", "/", "all"),
            ("localhost", "/a", "all"),
            ("localhost", "/a/b", "deep"),
            ("localhost", "/a/b?c=/../..", "deep"),
            ("localhost", "/a/b/c", "deep"),
            ("localhost", "/a/bc", "all"),
            ("localhost", "/A/b", "all"),
            ("localhost", "/a/static/x", "static"),
            // The same place, written in other ways.
            ("localhost", "/%61/%62", "deep"),
            ("localhost", "//a///b", "deep"),
            ("localhost", "/./a/x/../b/", "deep"),
            ("localhost", "/a/%2e%2E/a/b", "deep"),
            ("localhost", "/../../a/b", "deep"),
            ("localhost", "/a/b/..", "all"),
            ("localhost", "/a/static/../b", "deep"),
            ("shop.example", "/a/b", "shop"),
            ("SHOP.Example:8080", "/", "shop"),
            ("other.example", "/", "any"),
            ("example", "/", "all"),
            ("shop.example.test", "/", "all"),
        ] {
            let reply = ask(host, target).passed(200);
            assert_eq!(reply.text(), name, "{host} {target}");
            let server = &servers[names.iter().position(|other| *other == name).expect("a name")];
            let heard = server.heard().last().expect("a request").clone();
            assert!(heard.contains(target), "{heard} instead of {target}");
        }
        let before = servers.iter().map(|server| server.heard().len()).sum::<usize>();
        for target in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/x/..;/a/b", "/x/.;y/a", "/a/%00", "/a/b%00"] {
            ask("localhost", target).refused(400, "bad-request");
        }
        assert_eq!(servers.iter().map(|server| server.heard().len()).sum::<usize>(), before);
    });
}
