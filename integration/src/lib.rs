//! Whole-system tests of cordee: real nodes over real connections, some of which lie. Nothing depends on this crate.
//!
//! [`net`] starts nodes inside this process; [`sim`] runs syncs in virtual time, from a seed; [`flood`] is a peer that floods
//! a node; [`crashes`] ends the lives of a log at every step, [`kills`] those of real processes; [`requirements`] tells which
//! test proves which requirement. What else needs processes of its own (exit codes, what is printed) is tested in the node's
//! package, next to its binary.

#![forbid(unsafe_code)]

pub mod crashes;
pub mod flood;
pub mod kills;
pub mod net;
pub mod requirements;
pub mod sim;
