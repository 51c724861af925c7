//! Seeded mutation tests of every decoder and verifier, and of the peer policy: nothing panics, nothing takes memory by a
//! number in the input, and two verifiers agree.
//!
//! By default each target runs for a moment; `.ci/fuzz` runs them for long. There is no coverage to guide the mutations on
//! a stable toolchain: an input is kept if it ends in a way that no input of the corpus did.
//!
//! ```text
//!   CORDEE_FUZZ_SECONDS=30    how long each target runs
//!   CORDEE_FUZZ_SEED=7        what the mutations follow from; printed, and random by default
//!   CORDEE_FUZZ_KEEP=1        write new inputs to corpus/TARGET
//! ```
//! A finding is written to `corpus/TARGET/finding-HASH`, and is run first from then on.

mod codecs;
mod disk;
mod mutate;
mod plan;
mod policy;
mod runner;
mod snapshot;
mod texts;
mod trust;
mod verifiers;
