//! What the shop sells, and how a cart is read out of session data.
//!
//! The data comes back as it was stored, but this reads it as if anybody could have written it: what is not a number of
//! a thing on the shelf is not in the cart.

use serde_json::Value;

/// A thing on the shelf. Its `id` is the key in the cart and the name of its drawing in `page.html`.
#[derive(Debug, PartialEq)]
pub(super) struct Product {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// In whole euros.
    pub(super) price: u64,
}

/// The shelf, in the order of the page.
pub(super) const SHELF: [Product; 6] = [
    Product { id: "hat", name: "Felt hat", price: 58 },
    Product { id: "scarf", name: "Wool scarf", price: 36 },
    Product { id: "umbrella", name: "Umbrella", price: 29 },
    Product { id: "mittens", name: "Mittens", price: 22 },
    Product { id: "brush", name: "Coat brush", price: 14 },
    Product { id: "hanger", name: "Cedar hanger", price: 9 },
];

/// Nobody carries more of one thing.
pub(super) const MOST: u64 = 99;

/// Finds a product by its id.
pub(super) fn product(id: &str) -> Option<&'static Product> {
    SHELF.iter().find(|product| product.id == id)
}

/// How many of a product lie in the cart.
pub(super) fn count(data: &Value, product: &Product) -> u64 {
    data["cart"][product.id].as_u64().unwrap_or(0).min(MOST)
}

/// What lies in the cart, in the order of the shelf.
pub(super) fn cart(data: &Value) -> impl Iterator<Item = (&'static Product, u64)> {
    SHELF.iter().map(|product| (product, count(data, product))).filter(|(_, count)| *count > 0)
}

/// How often this visitor was here, as far as the session knows.
pub(super) fn visits(data: &Value) -> u64 {
    data["visits"].as_u64().unwrap_or(0)
}

/// Who is signed in.
pub(super) fn user(data: &Value) -> Option<&str> {
    data["user"]["name"].as_str()
}
