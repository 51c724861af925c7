//! The whole system from outside: real processes, files and sockets on this machine.

mod bad_inputs;
mod bench;
mod bootstrap;
mod browser;
mod checkpoint;
mod damage;
mod dashboard;
mod deploy;
mod discovery;
mod following;
mod histories;
mod metrics;
mod network;
mod nodes;
mod peers;
mod refusals;
mod relays;
mod retention;
mod routes;
mod snapshots;
mod status;
#[cfg(feature = "lies")]
mod testnet;
mod updates;
mod watched;
