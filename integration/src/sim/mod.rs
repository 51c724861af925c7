//! Whole syncs in virtual time, from one seed: many nodes with the real engine, log and policy over simulated links,
//! disks and peers, some of which lie.
//!
//! # Picture
//! ```text
//!   Scenario (data) --> run --> World: Time, Net                                  one thread, no wall clock
//!                                 |
//!            Joiner: Engine --> SimDisk: Local<DiskJournal<FaultyDisk>, Keys>     real, on a disk that forgets and fails
//!               |       \-----> SimResolver: Policy<u32>, wire  --Net--> Peer     real, over links that stall and break
//!               |                                                         |
//!            check: Judge, Attempt, database                        serve, lies   real answers, and false ones
//!               |
//!               +--> Report: counts, outcomes, failures with the seed that brings them back
//! ```
//! Real are `protocol::sync` (engine, plan, verify, serve), `protocol::wire`, `resolver_p2p::policy` and `node::storage`.
//! Simulated are time, scheduling, links, the disk below the fault seam, and what peers do. Not run here: libp2p, the
//! quota of whoever serves, the writer thread and its queue; these have tests over real connections.
//!
//! # Properties
//! 1. Every node ends at the last target it was told, equal to the source in root, floor, operations, nodes and keys, also
//!    after a loss of power then. An attempt that ends otherwise does so by a fault that was made, or a wrong target, and
//!    says so (E71 to E73, E90).
//! 2. No operation is fetched again that verified and was not lost; the boundary's is exempt (W22, W23).
//! 3. No honest peer is told false under a right root, or banned. Whoever's lie was heard under a root that is proven is
//!    banned at once; under one that is proven later, then; under one that is suspect, not (P10, P17, P20).
//! 4. Buffers, requests and slots keep their bounds (W14, W16, P3).
//! 5. Who could be helped gets on within [`joiner::PATIENCE`] of virtual time (W13, W19, P21, P35).
//! 6. What was durable is found again (E8, W25).
//!
//! # Reuse
//! [`time`], [`net`], [`peer`], [`hub`] and [`resolver`] know no scenario. Memory is one record a node and one a connection that
//! somebody asked for.

pub mod before;
pub mod check;
pub mod checkpoints;
pub mod copy;
pub mod disk;
pub mod hub;
pub mod joiner;
pub mod lies;
pub mod named;
pub mod net;
pub mod peer;
pub mod peers;
pub mod random;
pub mod report;
pub mod resolver;
pub mod run;
pub mod scenario;
pub mod source;
pub mod time;
pub mod traffic;
pub mod world;

pub use report::Report;
pub use run::run;
pub use scenario::Scenario;
