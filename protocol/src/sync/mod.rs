//! Bring a local log up to a trusted target, from peers that are not trusted (ENGINE).
//!
//! # Trust
//! The target (a root and a range) is given and believed. Whatever a peer sends is proven against it before one byte
//! reaches the database.
//!
//! # Picture
//! ```text
//!   Target --> Plan <--events--- Engine --Request--> Resolver   (network: asks until somebody answers)
//!                |                 ^ |                   |
//!                +----commands-----+ |  <--FetchResult---+
//!                                    |
//!                                    +-- verify --> Verified --> Database   (disk)
//!                                          |
//!                                          +--> success_tx: true or false, to whoever answered
//! ```
//! [`plan`] decides and does no I/O. [`engine`] awaits and decides nothing. [`verify`] runs wherever [`runtime::Runtime`]
//! puts it. [`progress`] is what anybody may watch, [`record`] a run as its events, to be replayed against a plan.
//!
//! # Always
//! 1. The database grows only at its end, and only by [`verify::Verified`] operations: nothing else can be appended.
//! 2. Each request is bound to one size and one root, remembered with it (W1). An answer is checked against those.
//! 3. Buffered and requested bytes stay below a bound, whatever the target's size (W14).
//! 4. "Reached" is told only after the root over all operations was compared (W2, W21).
//! 5. A peer's fault never ends a sync; a fault of ours never costs a peer.
//!
//! # Elsewhere
//! Which target to believe: whoever starts the sync; the node takes it from its command line. Which peer to ask, and what a verdict does to it: `resolver_p2p::policy`.

pub mod database;
pub mod engine;
pub mod error;
pub mod gaps;
pub mod observe;
pub mod plan;
pub mod progress;
pub mod record;
pub mod requests;
pub mod resolver;
pub mod runtime;
pub mod serve;
pub mod target;
pub mod verify;

pub use database::Database;
pub use engine::Engine;
pub use error::Error;
pub use resolver::{FetchResult, Resolver};
pub use target::Target;
pub use verify::{Fault, Verified};
