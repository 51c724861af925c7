//! The process: command line, settings, disk, sockets, HTTP. Everything that decides lives below, in
//! `cordee-protocol` and `cordee-resolver-p2p`; this crate gives it files, time, cores and connections.
//!
//! # Map
//! ```text
//!   config folder storage   what the operator decides; the folder of a node; its log on disk
//!   snapshot                a database as one file that any mirror can carry
//!   network dialing         the swarm: listens, dials and redials, asks and answers through resolver-p2p
//!   reputation              what peers did, in a file
//!   trust gossip            which checkpoints to believe, and which to pass on
//!   signing checkpoints     signatures over them; those that are believed, in a file
//!   small_file              a file that is replaced as a whole
//!   runtime source          time and cores for the engine; a database to be asked by others
//!   writes rows             batches for a database, from JSON lines and from tables
//!   recording               a sync as its events, in a file, to be replayed
//!   script claims proofs    scripts of writes, and proofs, as JSON; proofs of single values that stand alone
//!   bootstrap node          one sync from start to end; a node that serves
//!   watched why unreached facts metrics http  what a node tells its operator
//!   lies testnet            liars, and a network on one machine that has some
//!   bench dataset process   the benchmarks; seeded databases; other processes of this program
//!   cli audience            one file a command; who is told how far it is
//! ```

// Forbidden in effect: only `storage::index::siphash`, which says why, makes an exception, and the gate counts them.
#![deny(unsafe_code)]

pub mod audience;
pub mod believing;
pub mod bench;
pub mod bootstrap;
pub mod checkpoints;
pub mod claims;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod dialing;
pub mod facts;
pub mod folder;
pub mod follow;
pub mod following;
pub mod gossip;
pub mod http;
pub mod joining;
#[cfg(feature = "lies")]
pub mod lies;
pub mod mending;
pub mod metrics;
pub mod network;
pub mod node;
pub mod process;
pub mod proofs;
pub mod publishing;
pub mod recording;
pub mod reputation;
pub mod rows;
pub mod runtime;
pub mod script;
pub mod signing;
pub mod small_file;
pub mod snapshot;
pub mod source;
pub mod storage;
#[cfg(feature = "lies")]
pub mod testnet;
pub mod trust;
pub mod unreached;
pub mod watched;
pub mod why;
pub mod writes;
