//! The Hat Stand: the small shop that `cloakroom demo` puts behind the proxy.
//!
//! It is an application like any other: a plain HTTP/1.1 server with a port of its own, no session code, no store, no
//! cookie and no memory between two requests. All that it knows of a visitor comes in `X-Session`, and all that it wants
//! to be remembered goes back in `X-Session-Update` and `X-Session-Control`. It imports no other room of Cloakroom, so
//! what it does can be copied: `token` shows how an application verifies, `answer` how it writes.

mod answer;
mod goods;
mod markup;
mod page;
mod shop;
#[cfg(test)]
mod tests;
mod token;

pub use shop::serve;
pub use token::TokenKey;
