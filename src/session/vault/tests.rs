use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

/// `name=value`, or `name` for a deletion; with a path.
fn offer(text: &str, path: &str) -> Offer {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.as_bytes().into())),
        None => (text, None),
    };
    let (upstream, name, path) = ("app".into(), name.as_bytes().into(), path.as_bytes().into());
    Offer { upstream, name, path, value, expires: None, renewal: Renewal::Rotates }
}

fn jar(offers: &[Offer]) -> Jar {
    let mut jar = Jar::default();
    offers.iter().for_each(|offer| jar.take(offer));
    jar
}

fn all() -> Names {
    Names { cookies: vec![Glob::parse("*").unwrap()], volatile: vec![], session_only: vec![] }
}

fn sent_to(jar: &Jar, upstream: &str, path: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let cookies = jar.cookies(upstream, path.as_bytes(), &all(), NOW);
    cookies.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect::<Vec<_>>().join("; ")
}

fn sent(jar: &Jar, path: &str) -> String {
    sent_to(jar, "app", path)
}

#[test]
fn a_cookie_is_sent_at_and_below_its_path() {
    for (cookie, request, wanted) in [
        ("/", "/", true),
        ("/", "/a/b", true),
        ("/a", "/a", true),
        ("/a", "/a/", true),
        ("/a", "/a/b", true),
        ("/a/", "/a/b", true),
        ("/a/", "/a", false),
        ("/a", "/ab", false),
        ("/a", "/", false),
        ("/a", "/A", false),
        ("/a", "/b/a", false),
    ] {
        assert_eq!(!sent(&jar(&[offer("x=1", cookie)]), request).is_empty(), wanted, "{cookie} {request}");
    }
}

#[test]
fn without_a_path_it_is_the_folder_of_the_request() {
    for (request, wanted) in [
        ("/", "/"),
        ("/a", "/"),
        ("/a/", "/a"),
        ("/a/b", "/a"),
        ("/a/b/c.php", "/a/b"),
        ("*", "/"),
        ("", "/"),
        ("x/y", "/"),
    ] {
        assert_eq!(default_path(request), wanted, "{request}");
    }
}

#[test]
fn longer_paths_come_first_and_then_what_was_set_first() {
    let mut jar =
        jar(&[offer("a=1", "/"), offer("b=2", "/x"), offer("c=3", "/"), offer("a=4", "/x/y"), offer("d=5", "/x")]);
    assert_eq!(sent(&jar, "/x/y/z"), "a=4; b=2; d=5; a=1; c=3");
    jar.take(&offer("a=6", "/"));
    assert_eq!(sent(&jar, "/"), "a=6; c=3", "a new value keeps the place");
    jar.take(&offer("a", "/"));
    jar.take(&offer("a=7", "/"));
    assert_eq!(sent(&jar, "/"), "c=3; a=7", "after a deletion it is new");
}

#[test]
fn a_deletion_is_of_one_name_and_path() {
    let mut jar = jar(&[offer("a=1", "/"), offer("a=2", "/x"), offer("b=3", "/")]);
    jar.take(&offer("a", "/y"));
    assert_eq!(sent(&jar, "/x"), "a=2; a=1; b=3");
    jar.take(&offer("a", "/"));
    assert_eq!(sent(&jar, "/x"), "a=2; b=3");
}

#[test]
fn what_is_over_is_not_sent_and_weighs_nothing() {
    let at = |text, expires| Offer { expires: Some(Timestamp(expires)), ..offer(text, "/") };
    let mut jar = jar(&[at("a=1", NOW.0), at("b=2", NOW.0 + 1), offer("c=3", "/")]);
    assert_eq!(sent(&jar, "/"), "b=2; c=3");
    assert_eq!(jar.weight(NOW), r#"["app","b","/","2",1000001],["app","c","/","3",null],"#.len());
    jar.sweep(NOW);
    assert_eq!(jar.all().len(), 2);
}

#[test]
fn cookies_of_two_applications_do_not_mix() {
    let other = |text| Offer { upstream: "other".into(), ..offer(text, "/") };
    let mut jar = jar(&[offer("id=1", "/"), other("id=2")]);
    assert_eq!((sent(&jar, "/").as_str(), sent_to(&jar, "other", "/").as_str()), ("id=1", "id=2"));
    jar.take(&other("id"));
    assert_eq!((sent(&jar, "/").as_str(), sent_to(&jar, "other", "/").as_str()), ("id=1", ""));
}

#[test]
fn only_names_that_the_route_vaults_are_sent() {
    let jar = jar(&[offer("id=1", "/"), offer("theme=2", "/")]);
    let names = Names { cookies: vec![Glob::parse("id").unwrap()], volatile: vec![], session_only: vec![] };
    assert_eq!(jar.cookies("app", b"/", &names, NOW), [(&b"id"[..], &b"1"[..])]);
}

#[test]
fn another_value_renews_and_so_does_a_first_one() {
    let before = jar(&[offer("id=1", "/"), Offer { expires: Some(NOW), ..offer("old=1", "/") }]);
    let volatile = |text| Offer { renewal: Renewal::Ignored, ..offer(text, "/") };
    for (said, wanted) in [
        (offer("id=2", "/"), true),
        (offer("id=1", "/"), false),
        (offer("id", "/"), false),
        (offer("id=1", "/x"), true),
        (offer("new=1", "/"), true),
        (offer("old=1", "/"), true),
        (offer("new", "/"), false),
        (volatile("id=2"), false),
        (volatile("new=1"), false),
        (Offer { expires: Some(NOW.after(std::time::Duration::from_secs(9))), ..offer("id=1", "/") }, false),
    ] {
        let mut after = before.clone();
        after.take(&said);
        assert_eq!(after.renews(&before, &said, NOW), wanted, "{said:?}");
    }
}

#[test]
fn every_byte_comes_back_from_what_was_written_down() {
    let value: Box<[u8]> = (0..=255).collect();
    let odd = Offer { value: Some(value), expires: Some(Timestamp(7)), ..offer("n\u{e9}=x", "/\u{1f980}") };
    let jar = jar(&[odd, offer("b=2", "/")]);
    let text = serde_json::to_string(&jar).unwrap();
    assert_eq!(serde_json::from_str::<Jar>(&text).unwrap(), jar);
    assert!(jar.weight(Timestamp(0)) >= text.len() - 2, "what it weighs is what is written");
    assert!(serde_json::from_str::<Jar>(&text.replace("\"b\"", "\"\u{100}\"")).is_err());
}

#[test]
fn no_value_is_printed() {
    let said = offer("id=canary", "/");
    assert!(!format!("{said:?} {:?}", jar(std::slice::from_ref(&said))).contains("canary"));
}
