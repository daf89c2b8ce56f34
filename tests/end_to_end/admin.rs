//! Issue 8: what operators do on the admin listener, by hand and by command, and who may not.

mod commands;
mod description;
mod operator;
mod rights;
mod sessions;
mod terminal;
