//! What the shop answers beside its pages: the two headers that change the session.
//!
//! `X-Session-Update` is a JSON merge patch (RFC 7396) and `X-Session-Control` a structured field (RFC 9651). Header
//! values are ASCII here: JSON has its own escapes for the rest, and a structured field has display strings.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sfv::{ItemSerializer, RefBareItem, StringRef};

use super::goods::{self, Product};
use super::markup;

/// A change to the session; the default changes nothing.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The value of `X-Session-Update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) update: Option<String>,
    /// The value of `X-Session-Control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) control: Option<String>,
}

/// What a form was answered, carried through the redirect to the page that shows it.
///
/// It travels in the query, so that the session holds nothing but the shop's own data. Whoever forges one fools himself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// Such as `/cart/add`.
    pub(super) path: String,
    /// The session's version when the form arrived.
    pub(super) version: u64,
    /// What went back.
    #[serde(flatten)]
    pub(super) answer: Answer,
}

impl Answer {
    /// Another visit.
    pub(super) fn visit(visits: u64) -> Self {
        Self::update(&json!({ "visits": visits }))
    }

    /// The cart holds `count` of a product from now on.
    pub(super) fn put(product: &Product, count: u64) -> Self {
        let count = if count == 0 { Value::Null } else { count.min(goods::MOST).into() };
        Self::update(&json!({ "cart": { (product.id): count } }))
    }

    /// The cart is gone: `null` removes a key.
    pub(super) fn empty_cart() -> Self {
        Self::update(&json!({ "cart": null }))
    }

    /// Somebody signed in: a new ticket for the same session, and a name under which it can be found.
    pub(super) fn sign_in(name: &str) -> Self {
        let mut answer = Self::update(&json!({ "user": { "name": name } }));
        answer.control = Some(format!("rotate, subject={}", subject(name)));
        answer
    }

    /// The session ends, whatever was in it.
    pub(super) fn sign_out() -> Self {
        Self { update: None, control: Some("destroy".to_owned()) }
    }

    fn update(patch: &Value) -> Self {
        Self { update: Some(markup::ascii_json(patch)), control: None }
    }

    /// Puts the headers that there are. Both values are made of visible ASCII.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in [("x-session-update", &self.update), ("x-session-control", &self.control)] {
            if let Some(Ok(value)) = value.as_deref().map(HeaderValue::from_str) {
                headers.insert(name, value);
            }
        }
    }
}

impl Receipt {
    /// The receipt as a query parameter's value.
    pub(super) fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    /// Finds the receipt in a query; what is none is ignored.
    pub(super) fn find(query: Option<&str>) -> Option<Self> {
        let value = query?.split('&').find_map(|pair| pair.strip_prefix("receipt="))?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(value).ok()?).ok()
    }

    /// Whether the form is what happened last, or ended the session: each further page has changed it once more.
    pub(super) fn is_fresh(&self, version: u64) -> bool {
        version == 0 || version == self.version || version == self.version + 1
    }
}

/// A name as an RFC 9651 string, or as a display string where it is not ASCII.
fn subject(name: &str) -> String {
    let item = match StringRef::from_str(name) {
        Ok(ascii) => RefBareItem::String(ascii),
        Err(_) => RefBareItem::DisplayString(name),
    };
    ItemSerializer::new().bare_item(item).finish()
}
