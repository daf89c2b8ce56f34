//! What a person types.

pub mod demo;
