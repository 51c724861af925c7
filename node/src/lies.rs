//! The lies that liars tell: what `cordee testnet` puts between an honest source and its asker. Here and nowhere else.
//!
//! ```text
//!   source --honest answer--> Lie: another answer, or another status --> Manner: how it goes out --> asker
//!              answers   false answers: all are provable                   delivery   silence, drips, half answers
//!              scraps    true answers that help nobody, and empty promises
//! ```
//! A lie takes the honest answer to a range and gives another one, or nothing if that answer leaves no room for it.
//!
//! # Always
//! 1. A lie is provable if no honest node ever gives such an answer: then telling it is a ban. Of the others it is only
//!    known that they help nobody: they cost their teller its place in the choice, and nobody a ban.
//! 2. A lie is counted when its answer is made, or sent off, and only then.
//! 3. Equal seeds and equal asks in equal order make equal lies.
//!
//! Who is lied to finds out in `Answer::decode` (shape) or in `sync::verify` (hashes).

mod answers;
mod delivery;
mod scraps;
#[cfg(test)]
mod tests;

use answers::{AnotherSize, FlippedOperation, Junk, Replayed, StaleTarget, WrongDigest, WrongPinned};
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Answer, Ask, Frame, Request, Response, Status};
use cordee_resolver_p2p::{Delivery, Manner};
use delivery::Delivered;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scraps::{FalseClaim, OneOperation, TinyAnswers};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Every lie there is, in the order in which a testnet deals them out.
pub const LIES: [LieInfo; 14] = [
    LieInfo {
        name: "flipped-operation",
        provable: true,
        what: "one bit of an operation is flipped",
        how: How::Tells(|| Box::new(FlippedOperation)),
    },
    LieInfo {
        name: "wrong-digest",
        provable: true,
        what: "one digest of the proof is another one",
        how: How::Tells(|| Box::new(WrongDigest)),
    },
    LieInfo {
        name: "another-size",
        provable: true,
        what: "the answer is proven for another size than was asked",
        how: How::Tells(|| Box::new(AnotherSize)),
    },
    LieInfo {
        name: "junk",
        provable: true,
        what: "random bytes instead of an answer",
        how: How::Tells(|| Box::new(Junk)),
    },
    LieInfo {
        name: "wrong-pinned",
        provable: true,
        what: "one pinned node is another one; only boundary requests have any, everything else it answers honestly",
        how: How::Tells(|| Box::new(WrongPinned)),
    },
    LieInfo {
        name: "stale-target",
        provable: true,
        what: "the answer of an older state, with the newer one's size written on it",
        how: How::Tells(|| Box::new(StaleTarget)),
    },
    LieInfo {
        name: "replayed",
        provable: true,
        what: "the first answer that it gave, whatever is asked later",
        how: How::Tells(|| Box::new(Replayed::default())),
    },
    LieInfo {
        name: "oversized-length",
        provable: true,
        what: "a length above the limit is sent before the answer",
        how: How::Delivers(Delivery::Oversized),
    },
    LieInfo {
        name: "silence",
        provable: false,
        what: "no answer at all, on a substream that stays open",
        how: How::Delivers(Delivery::Silence),
    },
    LieInfo {
        name: "one-operation",
        provable: false,
        what: "one operation at a time, whatever is asked",
        how: How::Tells(|| Box::new(OneOperation)),
    },
    LieInfo {
        name: "dripping",
        provable: false,
        what: "the answer comes byte by byte, ten a second",
        how: How::Delivers(Delivery::Drip(Duration::from_millis(100))),
    },
    LieInfo {
        name: "hang-up",
        provable: false,
        what: "half an answer, then the connection is closed",
        how: How::Delivers(Delivery::HangUp),
    },
    LieInfo {
        name: "tiny-answers",
        provable: false,
        what: "a thousandth of what is asked, so that it takes a thousand answers",
        how: How::Tells(|| Box::new(TinyAnswers)),
    },
    LieInfo {
        name: "false-claim",
        provable: false,
        what: "it says that it holds everything, and then that it does not",
        how: How::Tells(|| Box::new(FalseClaim)),
    },
];

/// What there is to know about a lie.
#[derive(Clone, Copy, Debug)]
pub struct LieInfo {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Whether an honest node could never have given that answer (silence and slowness are not provable).
    pub provable: bool,
    /// What is false about the answer, or wrong with it.
    pub what: &'static str,
    how: How,
}

/// Where a lie sets in.
#[derive(Clone, Copy, Debug)]
enum How {
    /// At the answer.
    Tells(fn() -> Box<dyn Lie>),
    /// At the way in which it goes out.
    Delivers(Delivery),
}

impl LieInfo {
    /// The lie called `name`.
    ///
    /// # Errors
    /// [`UnknownLie`], which lists the names.
    pub fn named(name: &str) -> Result<Self, UnknownLie> {
        let found = LIES.into_iter().find(|lie| lie.name == name);
        found.ok_or_else(|| UnknownLie { name: name.into() })
    }
}

/// A name that no lie has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no lie called {name:?}; choose one of {}", LIES.map(|lie| lie.name).join(", "))]
pub struct UnknownLie {
    /// The name.
    pub name: String,
}

/// One way to corrupt an answer.
pub trait Lie: Send + Sync + 'static {
    /// A false answer in place of the `honest` one to `request`; `None` if there is nothing to lie about in it.
    ///
    /// - `source`: whom the honest answer is from, for lies that need another answer.
    /// - `chance`: what the lie chooses by.
    fn corrupt(
        &self,
        request: &Request,
        honest: Response,
        source: &dyn Source,
        chance: &mut ChaCha8Rng,
    ) -> Option<Frame>;

    /// What it says to serve.
    fn status(&self, honest: Status) -> Status {
        honest
    }
}

/// Put the lie called `name` between `source` and whoever asks. `NAME:SEED` has a seed of its own. For a lie that is in
/// the delivery, `source` stays as it is: see [`manner`].
///
/// # Errors
/// [`UnknownLie`].
pub fn wrap(
    name: &str,
    source: Arc<dyn Source>,
    seed: u64,
) -> Result<(Arc<dyn Source>, Arc<LieCounter>), UnknownLie> {
    let (name, seed) = match name.split_once(':') {
        None => (name, seed),
        Some((name, own)) => (name, own.parse().map_err(|_| UnknownLie { name: own.into() })?),
    };
    let counter = Arc::new(LieCounter::default());
    let lie = match LieInfo::named(name)?.how {
        How::Tells(make) => make(),
        How::Delivers(_) => return Ok((source, counter)),
    };
    let liar = Liar {
        lie,
        source,
        seed,
        answers: AtomicU64::new(0),
        counter: counter.clone(),
    };
    Ok((Arc::new(liar), counter))
}

/// How the answers of the liar called `name` go out, counted by `counter`; `None` if that is as it should be.
pub fn manner(name: &str, counter: &Arc<LieCounter>) -> Option<Arc<dyn Manner>> {
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    match LieInfo::named(name).ok()?.how {
        How::Tells(_) => None,
        How::Delivers(delivery) => Some(Arc::new(Delivered::new(delivery, Arc::clone(counter)))),
    }
}

/// How many lies a liar has told.
#[derive(Debug, Default)]
pub struct LieCounter {
    told: AtomicU64,
}

impl LieCounter {
    /// False answers so far.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    fn on_told(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

/// A source that lies wherever it can.
struct Liar {
    lie: Box<dyn Lie>,
    source: Arc<dyn Source>,
    seed: u64,
    /// Ranges answered: each has chance numbers of its own.
    answers: AtomicU64,
    counter: Arc<LieCounter>,
}

impl Liar {
    fn corrupt(&self, request: &Request, ask: &Ask, honest: &Frame) -> Option<Frame> {
        let Ok(Answer::Range(honest)) = Answer::decode(&honest.join(), ask) else {
            return None;
        };
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed);
        chance.set_stream(self.answers.fetch_add(1, Ordering::Relaxed));
        self.lie.corrupt(request, honest, &*self.source, &mut chance)
    }
}

impl Source for Liar {
    fn status(&self) -> Status {
        self.lie.status(self.source.status())
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let honest = self.source.answer(ask);
        let Ask::Range(request) = ask else {
            return Answer::Status(self.status()).to_frame();
        };
        let Some(lie) = self.corrupt(request, ask, &honest) else {
            return honest;
        };
        self.counter.on_told();
        lie
    }
}

fn flip_a_bit(bytes: &mut [u8], chance: &mut ChaCha8Rng) {
    let which = chance.random_range(0..bytes.len());
    bytes[which] ^= 1 << chance.random_range(0..8);
}
