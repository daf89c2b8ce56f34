//! For people who come from Django: what docs/django.md says of `request.session`, of the `SESSION_*` settings and of
//! the engines, row by row. [`page`] holds the document against Django's own names and against these tests.

mod auth;
mod data;
mod expiry;
mod history;
mod identity;
mod page;
mod settings;
mod stores;
