//! The commands that know of kinds, from outside: scripts, proofs, writes and reads.

mod bad_scripts;
mod process;
mod script;
mod values;
mod verify;
mod writes;
