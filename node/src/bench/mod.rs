//! The benchmarks of record: on real files and loopback connections, server and client in processes of their own.
//!
//! [`sync`] orders a whole benchmark; [`parts`] are what its processes do; [`raw`] moves the same bytes with nothing else
//! done to them: figures of a sync are read against that, since absolute ones say more about the machine than about the
//! program. [`serve`] and [`verify`] measure its two sides alone, [`apply`] what a publisher does, [`read`] what a
//! node does that has its state ([`reading`] is its process). [`usage`] reads what a process
//! has cost.

pub mod apply;
pub mod asking;
mod distance;
pub mod parts;
pub mod raw;
pub mod read;
pub mod reading;
pub mod serve;
mod setting;
pub mod sync;
pub mod usage;
pub mod verify;

pub use setting::{Error, Transport};
