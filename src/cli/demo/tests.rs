//! Every route, called as a function, with tokens signed here; and what the pages do with hostile names.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::{Answer, Receipt};
use super::markup;
use super::shop::{Shop, serve};
use super::token::{Refusal, TokenKey};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;
const HANDLE: &str = "q-NCWCuXi6ZgXgwPZzwlcyos8AX_-YkJZ_E4tXwbHgw";

// ---- a proxy and a browser, as far as these tests need them

fn sign(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

fn jose() -> Value {
    json!({ "alg": "HS256", "kid": "k1", "typ": "session+jwt" })
}

fn nobody() -> Value {
    json!({ "iss": "cloakroom", "aud": "shop", "iat": NOW, "exp": NOW + 60, "data": {} })
}

fn somebody(data: Value) -> Value {
    let mut claims = nobody();
    claims["sid"] = HANDLE.into();
    claims["ver"] = 7.into();
    claims["created"] = (NOW - 300).into();
    claims["expires"] = (NOW + 43_200).into();
    claims["data"] = data;
    claims
}

struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn update(&self) -> Option<Value> {
        self.header("x-session-update").map(|text| serde_json::from_str(text).unwrap())
    }

    fn control(&self) -> Option<&str> {
        self.header("x-session-control")
    }

    fn location(&self) -> &str {
        self.header("location").unwrap()
    }

    fn shows(&self, html: &str) {
        assert!(self.body.contains(html), "no {html} in {}", self.body);
    }

    fn hides(&self, html: &str) {
        assert!(!self.body.contains(html), "{html} is in {}", self.body);
    }
}

fn shop() -> Shop {
    Shop::new(TokenKey::new(SECRET, "shop"))
}

fn send(request: Request<Bytes>) -> Seen {
    let reply: Response<Full<Bytes>> = shop().handle(&request, NOW);
    let (head, body) = reply.into_parts();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = runtime.block_on(body.collect()).unwrap().to_bytes();
    Seen { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn request(method: &str, uri: &str, claims: &Value, form: &str) -> Seen {
    let request = Request::builder().method(method).uri(uri).header("X-Session", sign(&jose(), claims));
    send(request.body(Bytes::from(form.to_owned())).unwrap())
}

fn look(claims: &Value) -> Seen {
    request("GET", "/", claims, "")
}

fn post(path: &str, claims: &Value, form: &str) -> Seen {
    request("POST", path, claims, form)
}

fn sign_in(name: &str) -> Seen {
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    post("/sign-in", &nobody(), &format!("name={encoded}"))
}

// ---- the front page

#[test]
fn the_first_visit_is_counted_and_gets_a_ticket() {
    let page = look(&nobody());
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.update(), Some(json!({ "visits": 1 })));
    assert_eq!(page.control(), None);
    page.shows("Your ticket is being written");
    page.shows("Cloakroom makes a session of it and sets a cookie.");
    page.shows("There is no session");
}

#[test]
fn the_next_visit_counts_on_and_shows_the_number_of_the_ticket() {
    let page = look(&somebody(json!({ "visits": 41 })));
    assert_eq!(page.update(), Some(json!({ "visits": 42 })));
    page.shows("<strong id=\"visits\">42</strong> visits");
    page.shows("<small>No.</small> 9003</p>");
    page.shows("Cloakroom stores it. The cookie stays as it is.");
}

#[test]
fn a_head_request_counts_nothing() {
    assert_eq!(request("HEAD", "/", &nobody(), "").update(), None);
}

#[test]
fn the_page_shows_the_token_that_arrived_but_not_its_signature() {
    let claims = somebody(json!({ "visits": 3, "cart": { "hat": 2 } }));
    let token = sign(&jose(), &claims);
    let page = look(&claims);
    for html in [
        "<b>&quot;alg&quot;</b>: <span>&quot;HS256&quot;</span>",
        "<b>&quot;exp&quot;</b>: <i>1800000060</i>,  <em>in 60 s</em>",
        "<b>&quot;created&quot;</b>: <i>1799999700</i>,  <em>5 min ago</em>",
        "<b>&quot;ver&quot;</b>: <i>7</i>,  <em>changed 7 times</em>",
        "<b>&quot;hat&quot;</b>: <i>2</i>",
        HANDLE,
        &token[..8],
        &format!("{} bytes", token.len()),
    ] {
        page.shows(html);
    }
    let (_, signature) = token.rsplit_once('.').unwrap();
    page.hides(&signature[..12]);
}

#[test]
fn claims_come_in_the_order_of_the_handbook_and_data_last() {
    let mut claims = somebody(json!({}));
    claims["zebra"] = true.into();
    let page = look(&claims);
    let places = ["iss", "aud", "iat", "exp", "sid", "ver", "created", "expires", "zebra", "data"]
        .map(|claim| page.body.find(&format!("<b>&quot;{claim}&quot;</b>")).unwrap());
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn the_page_shows_what_it_answered() {
    look(&somebody(json!({ "visits": 3 })))
        .shows("<pre><b>X-Session-Update:</b> <span>{&quot;visits&quot;:4}</span></pre>");
}

#[test]
fn pages_load_nothing_from_elsewhere_and_are_not_kept() {
    let page = look(&nobody());
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    page.hides("<script");
    page.hides("style=");
    page.hides("http://");
    page.hides("https://");
}

#[test]
fn no_slot_of_a_template_is_left_open() {
    let pages =
        [look(&nobody()), look(&somebody(json!({ "cart": { "hat": 1 } }))), request("GET", "/goodbye", &nobody(), "")];
    for page in pages {
        page.hides("{{");
        page.hides("}}");
    }
}

// ---- signing in

#[test]
fn signing_in_stores_the_name_and_rotates_the_ticket() {
    let reply = sign_in("Alice");
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.update(), Some(json!({ "user": { "name": "Alice" } })));
    assert_eq!(reply.control(), Some(r#"rotate, subject="Alice""#));
    assert!(reply.location().starts_with("/?receipt="));
}

#[test]
fn a_name_in_ascii_is_a_string_and_any_other_a_display_string() {
    assert_eq!(sign_in(r#"a "b" \c"#).control(), Some(r#"rotate, subject="a \"b\" \\c""#));
    assert_eq!(sign_in("Zoë 🎩 \"%\"").control(), Some(r#"rotate, subject=%"Zo%c3%ab %f0%9f%8e%a9 %22%25%22""#));
}

#[test]
fn an_update_is_ascii_and_says_the_same() {
    let reply = sign_in("Zoë 🎩 \"<script>\"");
    assert_eq!(reply.header("x-session-update"), Some(r#"{"user":{"name":"Zo\u00eb \ud83c\udfa9 \"<script>\""}}"#));
    assert_eq!(reply.update(), Some(json!({ "user": { "name": "Zoë 🎩 \"<script>\"" } })));
}

#[test]
fn a_name_may_have_256_bytes_and_not_one_more() {
    assert_eq!(sign_in(&"n".repeat(256)).status, StatusCode::SEE_OTHER);
    for name in ["n".repeat(257), "ü".repeat(129), "n".repeat(300)] {
        let page = sign_in(&name);
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!((page.update(), page.control()), (None, None));
        page.shows("role=\"alert\">That name is too long");
    }
}

#[test]
fn a_name_that_is_blank_or_has_control_characters_is_refused() {
    for name in ["", "  ", "a\nb", "a\u{7f}b", "a\0", "a\u{85}b"] {
        assert_eq!(sign_in(name).status, StatusCode::UNPROCESSABLE_ENTITY, "{name:?}");
    }
    assert_eq!(post("/sign-in", &nobody(), "").status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[test]
fn a_form_is_decoded_as_browsers_encode_it() {
    let reply = post("/sign-in", &nobody(), "other=1&name=+Ann+%2B+Bob%26Co+");
    assert_eq!(reply.update(), Some(json!({ "user": { "name": "Ann + Bob&Co" } })));
}

#[test]
fn hostile_names_are_only_text() {
    for name in ["<script>alert(1)</script>", "\"onload='x", "{{cart}}", "&lt;", "</pre></aside>"] {
        let mut claims = somebody(json!({ "user": { "name": name } }));
        claims["sub"] = name.into();
        let page = look(&claims);
        page.shows(&format!("<strong id=\"who\">{}</strong>", markup::escape(name)));
        page.hides("<script");
        page.hides("\"onload");
        assert_eq!(page.body.matches("</aside>").count(), 1);
    }
}

// ---- the cart

#[test]
fn adding_counts_up_and_removing_counts_down() {
    let claims = somebody(json!({ "cart": { "hat": 2, "scarf": 1 } }));
    assert_eq!(post("/cart/add", &claims, "item=hat").update(), Some(json!({ "cart": { "hat": 3 } })));
    assert_eq!(post("/cart/add", &claims, "item=brush").update(), Some(json!({ "cart": { "brush": 1 } })));
    assert_eq!(post("/cart/remove", &claims, "item=hat").update(), Some(json!({ "cart": { "hat": 1 } })));
}

#[test]
fn removing_the_last_one_removes_the_key() {
    let claims = somebody(json!({ "cart": { "hat": 1 } }));
    assert_eq!(post("/cart/remove", &claims, "item=hat").update(), Some(json!({ "cart": { "hat": null } })));
    assert_eq!(post("/cart/remove", &claims, "item=brush").update(), Some(json!({ "cart": { "brush": null } })));
}

#[test]
fn emptying_removes_the_cart() {
    let reply = post("/cart/empty", &somebody(json!({ "cart": { "hat": 1 } })), "");
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.update(), Some(json!({ "cart": null })));
}

#[test]
fn nobody_carries_more_than_99_of_a_thing() {
    let claims = somebody(json!({ "cart": { "hat": 99 } }));
    assert_eq!(post("/cart/add", &claims, "item=hat").update(), Some(json!({ "cart": { "hat": 99 } })));
}

#[test]
fn the_cart_is_shown_with_its_sum() {
    let page = look(&somebody(json!({ "cart": { "hat": 2, "hanger": 1 } })));
    page.shows("2 ×</span><span class=\"name\">Felt hat</span><span>€ 116</span>");
    page.shows("<span id=\"total\">125</span>");
}

#[test]
fn what_is_no_cart_is_an_empty_one() {
    for data in
        [json!({}), json!({ "cart": [1] }), json!({ "cart": { "hat": "two", "gold": 3 } }), json!({ "cart": 7 })]
    {
        look(&somebody(data)).shows("Nothing yet.");
    }
}

#[test]
fn what_the_shop_does_not_sell_cannot_be_added() {
    let reply = post("/cart/add", &nobody(), "item=gold");
    assert_eq!((reply.status, reply.update()), (StatusCode::UNPROCESSABLE_ENTITY, None));
}

// ---- signing out

#[test]
fn signing_out_destroys_the_session_and_says_goodbye() {
    let reply = post("/sign-out", &somebody(json!({ "visits": 3 })), "");
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!((reply.update(), reply.control()), (None, Some("destroy")));
    let page = request("GET", reply.location(), &nobody(), "");
    assert_eq!((page.status, page.update(), page.control()), (StatusCode::OK, None, None));
    page.shows("<b>X-Session-Control:</b> <span>destroy</span>");
    page.shows("Cloakroom ends the session and deletes the cookie.");
}

// ---- receipts

#[test]
fn the_page_after_a_form_shows_what_the_form_was_answered() {
    let mut claims = somebody(json!({}));
    let reply = post("/sign-in", &claims, "name=Alice");
    claims["ver"] = 8.into();
    let page = request("GET", reply.location(), &claims, "");
    page.shows("<code>POST /sign-in</code> was answered <code>303</code>");
    page.shows("rotate, subject=&quot;Alice&quot;");
    page.shows("exchanges the cookie: same session, new secret.");
}

#[test]
fn a_reloaded_page_forgets_the_form() {
    let mut claims = somebody(json!({}));
    let reply = post("/cart/add", &claims, "item=hat");
    claims["ver"] = 9.into();
    request("GET", reply.location(), &claims, "").hides("form-step");
}

#[test]
fn a_receipt_comes_back_as_it_was_and_any_other_text_is_none() {
    let receipt = Receipt { path: "/cart/add".to_owned(), version: 3, answer: Answer::sign_in("Zoë") };
    assert_eq!(Receipt::find(Some(&format!("a=b&receipt={}", receipt.encode()))), Some(receipt));
    for query in [None, Some(""), Some("receipt="), Some("receipt=%%%"), Some("receipt=e30"), Some("receipts=e30")] {
        assert_eq!(Receipt::find(query), None, "{query:?}");
    }
}

#[test]
fn a_forged_receipt_is_only_text() {
    let answer = Answer { update: Some("<script>".to_owned()), control: Some("</aside>".to_owned()) };
    let forged = Receipt { path: "<img src=x>".to_owned(), version: 7, answer };
    let page = request("GET", &format!("/?receipt={}", forged.encode()), &somebody(json!({})), "");
    page.shows("form-step");
    page.hides("<script");
    page.hides("<img");
}

// ---- whom the shop serves

#[test]
fn a_token_is_verified_in_every_part() {
    let key = TokenKey::new(SECRET, "shop");
    let good = sign(&jose(), &nobody());
    assert!(key.verify(&good, NOW).is_ok());
    assert_eq!(key.verify(&good, NOW + 60), Err(Refusal::Expired));
    assert_eq!(TokenKey::new(SECRET, "other").verify(&good, NOW), Err(Refusal::Audience));
    assert_eq!(TokenKey::new(&[7; 32], "shop").verify(&good, NOW), Err(Refusal::Signature));
    assert_eq!(key.verify(&sign(&json!({ "alg": "none" }), &nobody()), NOW), Err(Refusal::Algorithm));
    assert_eq!(key.verify(&sign(&json!({}), &nobody()), NOW), Err(Refusal::Algorithm));
    assert_eq!(key.verify(&sign(&jose(), &json!({ "aud": "shop" })), NOW), Err(Refusal::Expired));
    for broken in ["", "..", "a.b.c", "a.b", &good[..good.len() - 1], &format!("{good}="), &format!(".{good}")] {
        assert!(key.verify(broken, NOW).is_err(), "{broken}");
    }
}

#[test]
fn a_request_without_exactly_one_good_token_gets_nothing() {
    let token = sign(&jose(), &nobody());
    for tokens in [vec![], vec!["nonsense"], vec![token.as_str(), token.as_str()]] {
        let request =
            tokens.iter().fold(Request::builder().uri("/"), |request, token| request.header("X-Session", *token));
        let reply = send(request.body(Bytes::new()).unwrap());
        assert_eq!((reply.status, reply.update()), (StatusCode::UNAUTHORIZED, None));
    }
}

#[test]
fn a_form_from_another_site_changes_nothing() {
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 303), ("none", 303)] {
        let request = Request::post("/cart/empty").header("X-Session", sign(&jose(), &nobody()));
        let reply = send(request.header("Sec-Fetch-Site", site).body(Bytes::new()).unwrap());
        assert_eq!((reply.status.as_u16(), reply.update().is_some()), (status, status == 303), "{site}");
    }
}

#[test]
fn other_paths_and_methods_are_told_so() {
    assert_eq!(request("GET", "/nowhere", &nobody(), "").status, StatusCode::NOT_FOUND);
    assert_eq!(request("GET", "/sign-out", &nobody(), "").header("allow"), Some("POST"));
    assert_eq!(request("DELETE", "/", &nobody(), "").header("allow"), Some("GET, HEAD"));
}

#[test]
fn the_style_and_the_icon_change_no_session() {
    for (path, content_type) in [("/style.css", "text/css; charset=utf-8"), ("/favicon.svg", "image/svg+xml")] {
        let reply = request("GET", path, &nobody(), "");
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, Some(content_type)));
        assert_eq!(reply.update(), None);
    }
}

// ---- over a socket

#[tokio::test]
async fn the_server_answers_until_it_is_told_to_stop() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, TokenKey::new(SECRET, "shop"), async { drop(stopped.await) }));

    let mut browser = tokio::net::TcpStream::connect(address).await.unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_form_that_is_too_long_is_refused() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, TokenKey::new(SECRET, "shop"), std::future::pending()));

    let mut browser = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /sign-in HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 8193\r\n\r\n";
    browser.write_all(head.as_bytes()).await.unwrap();
    browser.write_all(&[b'a'; 8193]).await.unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}
