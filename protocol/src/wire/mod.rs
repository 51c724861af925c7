//! The protocol between nodes, as a document and as types.
//!
//! # Exchange
//! One libp2p request-response protocol, named [`PROTOCOL`]. Who opens a substream sends one [`Ask`] and reads one
//! [`Answer`]; each is a frame: its length as a varint (F2.3), then so many bytes.
//!
//! ```text
//!   asker                                    server
//!     | -- Ask::Status(mine) ---------------->  |     once a connection is up, and again as it goes
//!     | <------------- Answer::Status(theirs) - |
//!     | -- Ask::Range(size, start, max_ops) -->  |     many at once
//!     | <-- Answer::Range(proof, operations) -- |     or Unavailable, Busy, Refused
//! ```
//!
//! # Bytes
//! Numbers are varints, digests 32 bytes, in the order given (FORMAT F2).
//! ```text
//!   Ask     00 size start max_ops                     operations from `start`, proven at `size`
//!           01 size start                             the boundary: one operation, and the pinned nodes at `start`
//!           02 status
//!   Answer  00 proof n length*n bytes                   n lengths, then the operations back to back
//!           01 proof m digest*m n length*n bytes      m pinned nodes before them
//!           02                                        unavailable: this node does not hold that range or size
//!           03 milliseconds                           busy: ask again after that time
//!           04                                        refused: the ask made no sense
//!           05 status
//!   status  network kind oldest size provable [root] [checkpoint]
//!                                                     text, text, numbers; root: 00, or 01 and 32 bytes; checkpoint:
//!                                                     00, or 01 and its length and bytes
//! ```
//! An answer is decoded against its ask: never more operations than asked, never more bytes than [`limits`] says.
//!
//! # Trust
//! A decoded [`Request`] always asks for something inside its size. A decoded [`Response`] has the shape that its
//! request needs (PEERS P1) and nothing more is known of it: [`crate::sync::verify`] decides.
//!
//! # Not here
//! Operations are opaque bytes. Who is asked, and what a bad answer costs: `resolver_p2p::policy`.

pub mod checkpoint;
pub mod limits;
pub mod message;
pub mod request;
pub mod response;
pub mod status;

pub use checkpoint::{Checkpoint, Signed};
pub use message::{Answer, Ask, Frame};
pub use request::{Kind, Request};
pub use response::Response;
pub use status::Status;

/// The protocol's name in libp2p.
pub const PROTOCOL: &str = "/cordee/sync/1";
