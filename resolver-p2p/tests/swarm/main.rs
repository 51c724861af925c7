//! Real swarms, most over the memory transport: what finally holds, never how fast.

mod fetching;
#[cfg(feature = "lies")]
mod manners;
mod net;
mod serving;
mod standing;
mod transports;
