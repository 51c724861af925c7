//! Whole-system tests of cordee: real nodes over real connections, some of which lie. Nothing depends on this crate.
//!
//! [`net`] starts nodes inside this process. What needs processes of its own (kill -9, exit codes, what is printed) is
//! tested in the node's package, next to its binary. [`requirements`] tells which test proves which requirement.

#![forbid(unsafe_code)]

pub mod net;
pub mod requirements;
