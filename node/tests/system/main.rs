//! The whole system from outside: real processes, files and sockets on this machine.

mod bench;
mod bootstrap;
mod browser;
mod checkpoint;
mod damage;
mod dashboard;
mod following;
mod metrics;
mod nodes;
mod peers;
mod retention;
mod snapshots;
mod status;
#[cfg(feature = "lies")]
mod testnet;
mod updates;
mod watched;
