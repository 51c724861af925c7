//! What tests of this crate and of its users share: contract suites, scripted resolvers, seeded data.

pub mod index;
pub mod journal;
pub mod runtime;
pub mod source;
pub mod stepped;
