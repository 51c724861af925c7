//! The rules of cordee: what is hashed, what is proven, what is asked, and how a local log becomes a database with a
//! trusted root.
//!
//! # The one rule
//! Decisions are pure. This crate has no clock, no task, no socket and no file; who uses it brings them through small
//! traits: [`sync::Resolver`] (the network), [`sync::Database`] (the disk), [`sync::runtime::Runtime`] (time and cores).
//!
//! # Map
//! ```text
//!   digest codec        SHA-256; bytes in and out, bounded
//!   buffers             memory that is used again
//!   mmr                 the Merkle Mountain Range: positions, proofs, growing
//!   log                 encoded operations with their nodes; the Journal contract
//!   db                  what the operations mean: eight kinds of database, batches, proofs that stand alone
//!   wire                the messages between nodes; the protocol's document
//!   sync                plan, verify, engine, serve
//! ```
//! How fast each kind is: `cargo bench -p cordee-protocol` (`benches/kinds.rs`).
//!
//! A module uses those above it (two exceptions: `log` names [`sync::Target`] in what it marks, `wire` frames what
//! `sync` serves). `F`, `E`, `W` and `P` numbers are those of the project's specification of formats, engine and peers.

// Forbidden in effect: only `digest::many`, which says why, makes an exception, and the gate counts them.
#![deny(unsafe_code)]

pub mod buffers;
pub mod codec;
pub mod db;
pub mod digest;
pub mod log;
pub mod mmr;
pub mod sync;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wire;

pub use digest::Digest;
pub use log::{Journal, Operations};
pub use mmr::{Elements, Location, Position, Proof};
pub use sync::{Database, Engine, FetchResult, Resolver, Target};
pub use wire::{Request, Response};
