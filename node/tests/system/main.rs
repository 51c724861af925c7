//! The whole system from outside: real processes, files and sockets on this machine.

mod bad_inputs;
mod bench;
mod bootstrap;
mod browser;
mod checkpoint;
mod damage;
mod dashboard;
mod deploy;
mod following;
mod metrics;
mod nodes;
mod peers;
mod retention;
mod routes;
mod snapshots;
mod status;
#[cfg(feature = "lies")]
mod testnet;
mod updates;
mod watched;
