//! Keyed databases whose keys can be updated and deleted (FORMAT F3.1, F3.2, F4.3 to F4.6).
//!
//! A key is active while its newest operation is an update. Below the inactivity floor nothing is active, so a copy
//! needs the log from the floor on only. Every commit moves a few old active updates to the end and raises the floor.

pub(super) mod floor;
pub mod ordered;
pub(super) mod unordered;
