//! The shop's pages: what a visitor sees, and beside it what happened behind the counter.
//!
//! Rendering only: a page is a function of the token that arrived, the answer that goes back and the time. The token's
//! signature is never shown whole, and the cookie cannot be, because it does not get here.

use serde_json::{Map, Value};

use super::answer::{Answer, Receipt};
use super::goods::{self, Product, SHELF};
use super::markup::{escape, fill, key_html, paint};
use super::token::Token;

/// The style sheet of every page.
pub(super) const STYLE: &str = include_str!("style.css");
/// A coat hanger.
pub(super) const ICON: &str = include_str!("favicon.svg");

const FRAME: &str = include_str!("page.html");
const SHOP: &str = include_str!("shop.html");
const GOODBYE: &str = include_str!("goodbye.html");

/// Claims in the order of Cloakroom's handbook; any other comes after these, and `data` last.
const CLAIMS: [&str; 9] = ["iss", "aud", "iat", "exp", "sid", "ver", "created", "expires", "sub"];

/// One page: what came in, what goes out.
pub(super) struct Page<'a> {
    pub(super) token: &'a Token,
    pub(super) now: u64,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) status: u16,
    pub(super) visits: u64,
    pub(super) receipt: Option<Receipt>,
    pub(super) answer: &'a Answer,
    pub(super) problem: Option<&'static str>,
}

impl<'a> Page<'a> {
    /// The front page for a visitor, with nothing to tell and nothing to change.
    pub(super) fn of(token: &'a Token, now: u64) -> Self {
        const SILENCE: &Answer = &Answer { update: None, control: None };
        let visits = goods::visits(token.data());
        let (method, path, status) = ("GET", "/", 200);
        Self { token, now, method, path, status, visits, receipt: None, answer: SILENCE, problem: None }
    }

    /// The shop: ticket, shelf and cart.
    pub(super) fn front(&self) -> String {
        let data = self.token.data();
        let shelf: String = SHELF.iter().map(card).collect();
        self.frame(&fill(
            SHOP,
            &[
                ("ticket", &self.ticket()),
                ("problem", &self.problem.map(problem).unwrap_or_default()),
                ("visitor", &visitor(data)),
                ("shelf", &shelf),
                ("cart", &cart(data)),
            ],
        ))
    }

    /// The page after signing out.
    pub(super) fn goodbye(&self) -> String {
        self.frame(&fill(GOODBYE, &[("ticket", &self.ticket())]))
    }

    fn frame(&self, main: &str) -> String {
        fill(
            FRAME,
            &[
                ("main", main),
                ("form", &self.receipt.as_ref().map(form_step).unwrap_or_default()),
                ("length", &self.token.compact.len().to_string()),
                ("arrival", arrival(self.token)),
                ("request", &format!("{} {}", self.method, self.path)),
                ("status", &self.status.to_string()),
                ("compact", &compact(&self.token.compact)),
                ("header", &paint(&self.token.header, 0)),
                ("claims", &claims(&self.token.claims, self.now)),
                ("answer", &headers(self.answer, self.token.handle().is_some())),
            ],
        )
    }

    fn ticket(&self) -> String {
        let visits = format!(
            "<p class=\"visits\"><strong id=\"visits\">{}</strong> {}</p>",
            self.visits,
            if self.visits == 1 { "visit" } else { "visits" }
        );
        match (self.token.number(), &self.answer.update) {
            (Some(number), _) => format!(
                "<section class=\"ticket hue{}\" id=\"ticket\"><p class=\"number\"><small>No.</small> {number}</p>{visits}\
                 </section>",
                number % 6
            ),
            (None, Some(_)) => format!(
                "<section class=\"ticket blank\" id=\"ticket\"><p><strong>Your ticket is being written.</strong> It comes \
                 with this page: reload to read its number.</p>{visits}</section>"
            ),
            (None, None) => {
                "<section class=\"ticket blank\" id=\"ticket\"><p><strong>No ticket.</strong> Nothing is kept \
                             for you, so there is nothing to claim.</p></section>"
                    .to_owned()
            }
        }
    }
}

fn problem(words: &str) -> String {
    format!("<p class=\"problem\" role=\"alert\">{}</p>", escape(words))
}

fn visitor(data: &Value) -> String {
    match goods::user(data) {
        Some(name) => format!(
            "<form class=\"visitor\" method=\"post\" action=\"/sign-out\"><p>Good day, <strong id=\"who\">{}</strong>.</p>\
             <button id=\"sign-out\">Sign out</button></form>",
            escape(name)
        ),
        None => "<form class=\"visitor\" method=\"post\" action=\"/sign-in\"><label for=\"name\">Your name</label>\
                 <input id=\"name\" name=\"name\" required autocomplete=\"off\" placeholder=\"any name, no password\">\
                 <button id=\"sign-in\" class=\"primary\">Sign in</button></form>"
            .to_owned(),
    }
}

fn card(product: &Product) -> String {
    let Product { id, name, price } = product;
    format!(
        "<li><svg viewBox=\"0 0 48 48\" aria-hidden=\"true\"><use href=\"#{id}\"/></svg><h3>{name}</h3>\
         <form method=\"post\" action=\"/cart/add\"><span>€ {price}</span>\
         <button name=\"item\" value=\"{id}\" id=\"add-{id}\" aria-label=\"Add {name} to the cart\">Add</button></form></li>"
    )
}

fn cart(data: &Value) -> String {
    let rows: String = goods::cart(data).map(row).collect();
    if rows.is_empty() {
        return "<p class=\"empty\">Nothing yet. Take something off the shelf.</p>".to_owned();
    }
    let total: u64 = goods::cart(data).map(|(product, count)| product.price * count).sum();
    format!(
        "<ul>{rows}</ul><form method=\"post\" action=\"/cart/empty\" class=\"total\">\
         <button id=\"empty-cart\">Empty the cart</button><strong>Together € <span id=\"total\">{total}</span></strong></form>"
    )
}

fn row((Product { id, name, price }, count): (&Product, u64)) -> String {
    let sum = price * count;
    format!(
        "<li><span class=\"count\">{count} ×</span><span class=\"name\">{name}</span><span>€ {sum}</span>\
         <form method=\"post\" action=\"/cart/remove\"><button name=\"item\" value=\"{id}\" id=\"remove-{id}\" \
         aria-label=\"Remove one {name}\">−</button></form></li>"
    )
}

/// The step before this page, if a form led to it.
fn form_step(receipt: &Receipt) -> String {
    format!(
        "<li id=\"form-step\"><h3><code>POST {}</code> was answered <code>303</code> with</h3>{}</li>",
        escape(&receipt.path),
        headers(&receipt.answer, receipt.version > 0)
    )
}

/// The headers of an answer as the proxy got them, and what it makes of them.
fn headers(answer: &Answer, had_session: bool) -> String {
    let lines: Vec<String> = [("X-Session-Update", &answer.update), ("X-Session-Control", &answer.control)]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("<b>{name}:</b> <span>{}</span>", escape(value.as_deref()?))))
        .collect();
    match lines.as_slice() {
        [] => "<p class=\"none\">neither of the two headers: nothing changes.</p>".to_owned(),
        lines => format!("<pre>{}</pre><p>{}</p>", lines.join("\n"), outcome(answer, had_session)),
    }
}

fn outcome(answer: &Answer, had_session: bool) -> &'static str {
    match answer.control.as_deref() {
        Some("destroy") => "Cloakroom ends the session and deletes the cookie.",
        _ if !had_session => "Cloakroom makes a session of it and sets a cookie.",
        Some(_) => "Cloakroom stores it and exchanges the cookie: same session, new secret.",
        None => "Cloakroom stores it. The cookie stays as it is.",
    }
}

fn arrival(token: &Token) -> &'static str {
    match token.handle() {
        Some(_) => "The cookie did not come along: it stays with Cloakroom.",
        None => "There is no session, so <code>data</code> is empty.",
    }
}

/// The token as it was sent, shortened: enough to recognise, too little to use.
fn compact(token: &str) -> String {
    let parts: Vec<String> = token
        .split('.')
        .map(|part| match part.get(..8) {
            Some(start) => format!("<span>{}…</span>", escape(start)),
            None => "<span>…</span>".to_owned(),
        })
        .collect();
    parts.join(".")
}

fn claims(claims: &Map<String, Value>, now: u64) -> String {
    let mut sorted: Vec<_> = claims.iter().collect();
    sorted.sort_by_key(|(name, _)| match CLAIMS.iter().position(|known| known == name) {
        Some(position) => position,
        None => CLAIMS.len() + usize::from(*name == "data"),
    });
    let last = sorted.len().saturating_sub(1);
    let lines = sorted.iter().enumerate().map(|(index, (name, value))| {
        let comma = if index < last { "," } else { "" };
        format!("  {}: {}{comma}{}\n", key_html(name), paint(value, 1), note(name, value, now))
    });
    format!("{{\n{}}}", lines.collect::<String>())
}

/// What a number means to people.
fn note(claim: &str, value: &Value, now: u64) -> String {
    let text = match (claim, value.as_u64()) {
        ("iat" | "exp" | "created" | "expires", Some(time)) => when(time, now),
        ("ver", Some(version)) => format!("changed {version} {}", if version == 1 { "time" } else { "times" }),
        _ => return String::new(),
    };
    format!("  <em>{text}</em>")
}

fn when(time: u64, now: u64) -> String {
    let span = match time.abs_diff(now) {
        0 => return "now".to_owned(),
        seconds @ ..=120 => format!("{seconds} s"),
        seconds @ ..=7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", (seconds + 1800) / 3600),
    };
    if time > now { format!("in {span}") } else { format!("{span} ago") }
}
