//! The benchmarks of record: on real files and loopback connections, server and client in processes of their own.
//!
//! [`raw`] moves the same bytes with nothing else done to them; figures of a sync are read against that, since absolute
//! ones say more about the machine than about the program.

pub mod raw;
pub mod usage;
