//! The whole system from outside: real processes, files and sockets on this machine.

mod bench;
mod bootstrap;
mod checkpoint;
mod damage;
mod discovery;
mod following;
mod histories;
mod network;
mod nodes;
mod peers;
mod refusals;
mod relays;
mod retention;
mod snapshots;
#[cfg(feature = "lies")]
mod testnet;
mod updates;
mod watched;
