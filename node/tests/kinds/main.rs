//! The commands that know of kinds, from outside: scripts, proofs, writes and reads.

mod process;
mod script;
mod values;
mod verify;
mod writes;
