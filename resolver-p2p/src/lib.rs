//! Ask many peers for proven ranges, serve them, and judge them: a libp2p behaviour and the handle to use it by.
//!
//! # Picture
//! ```text
//!   sync engine                     swarm task                              peers
//!   -----------                     ----------                              -----
//!   Resolver::get_operations --->   Behaviour --Ask--> request-response --> substream per request
//!     |  ^                            |    ^                                   |
//!     |  +-- raw bytes ---------------|----+----- length checked <-------------+
//!     |      decoded in this future   |
//!     |                               v
//!     +-- verdict (success_tx) --> policy: trust, rate, window, escrow          no libp2p, no clock
//!
//!   Source (a database) <-- blocking pool <-- quota <-- Behaviour <-- Ask <-- substream
//! ```
//!
//! # Use
//! Put a [`Behaviour`] into a swarm, behind whatever limits connections, and take [`Behaviour::resolver`]. Whoever is
//! connected is asked for its status; peers of the same network and kind are asked for operations. Finding and dialling
//! peers is not done here. An idle connection timeout of the swarm above 10 s keeps connections open between syncs.
//!
//! # Always
//! 1. A fetch ends with an answer of the asked shape, or [`Shutdown`]. A peer's failure never surfaces (PEERS P2).
//! 2. Nothing is decoded, verified or read from a disk on the swarm's or a connection's task, except asks and statuses.
//! 3. Dropping a fetch frees its slot at once (P3).
//! 4. Every queue is bounded; [`policy::config`] has the numbers.
//!
//! # Not here
//! What is believed: the engine's target. Which addresses to dial, the file of misdeeds (a [`Reputation`]): the
//! node.

#![forbid(unsafe_code)]

mod behaviour;
mod codec;
mod config;
mod event;
#[cfg(feature = "lies")]
mod manner;
mod metrics;
pub mod policy;
mod report;
mod reputation;
mod resolver;
mod serve;
mod shared;

pub use behaviour::{Behaviour, ip_of};
pub use codec::Codec;
pub use config::Config;
pub use event::Event;
#[cfg(feature = "lies")]
pub use manner::{Delivery, Manner};
pub use metrics::Metrics;
pub use policy::Offers;
pub use report::{OffenceReport, PeerReport, RequestReport, TotalsReport};
pub use reputation::Reputation;
pub use resolver::{Resolver, Shutdown};
