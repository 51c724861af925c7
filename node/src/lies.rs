//! The lies that liars tell: what `cordee testnet` puts between an honest source and its asker.
//!
//! A lie takes the honest answer to a range and gives a false one, or nothing if that answer leaves no room for it.
//! Statuses stay honest, so that a liar is asked like anybody else.
//!
//! # Always
//! 1. Every lie in [`LIES`] is provable: no honest node ever gives such an answer, so telling one is a ban.
//! 2. A lie is counted when its answer is made, and only then.
//! 3. Equal seeds and equal asks in equal order make equal lies.
//!
//! Who is lied to finds out in `Answer::decode` (shape) or in `sync::verify` (hashes).

use bytes::Bytes;
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Answer, Ask, Frame, Kind, Request, Response, Status};
use cordee_protocol::{Location, Operations};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every lie there is, in the order in which a testnet deals them out.
pub const LIES: [LieInfo; 5] = [
    LieInfo {
        name: "flipped-operation",
        provable: true,
        what: "one bit of an operation is flipped",
        make: || Box::new(FlippedOperation),
    },
    LieInfo {
        name: "wrong-digest",
        provable: true,
        what: "one digest of the proof is another one",
        make: || Box::new(WrongDigest),
    },
    LieInfo {
        name: "another-size",
        provable: true,
        what: "the answer is proven for another size than was asked",
        make: || Box::new(AnotherSize),
    },
    LieInfo {
        name: "junk",
        provable: true,
        what: "random bytes instead of an answer",
        make: || Box::new(Junk),
    },
    LieInfo {
        name: "wrong-pinned",
        provable: true,
        what: "one pinned node is another one; only boundary requests have any, everything else it answers honestly",
        make: || Box::new(WrongPinned),
    },
];

/// What there is to know about a lie.
#[derive(Clone, Copy, Debug)]
pub struct LieInfo {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Whether an honest node could never have given that answer (silence and slowness are not provable).
    pub provable: bool,
    /// What is false about the answer.
    pub what: &'static str,
    make: fn() -> Box<dyn Lie>,
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
}

/// Put the lie called `name` between `source` and whoever asks. `NAME:SEED` has a seed of its own.
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
    let lie = (LieInfo::named(name)?.make)();
    let counter = Arc::new(LieCounter::default());
    let liar = Liar {
        lie,
        source,
        seed,
        answers: AtomicU64::new(0),
        counter: counter.clone(),
    };
    Ok((Arc::new(liar), counter))
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
        self.source.status()
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let honest = self.source.answer(ask);
        let Ask::Range(request) = ask else { return honest };
        let Some(lie) = self.corrupt(request, ask, &honest) else {
            return honest;
        };
        self.counter.told.fetch_add(1, Ordering::Relaxed);
        lie
    }
}

/// One bit of an operation is flipped.
struct FlippedOperation;

impl Lie for FlippedOperation {
    fn corrupt(
        &self,
        _: &Request,
        mut honest: Response,
        _: &dyn Source,
        chance: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let mut bytes = honest.operations.bytes().to_vec();
        flip_a_bit(&mut bytes, chance);
        honest.operations = Operations::new(bytes.into(), honest.operations.ends().to_vec())?;
        Some(Answer::Range(honest).to_frame())
    }
}

/// One digest of the proof is another one. A range that is the whole log has a proof without digests.
struct WrongDigest;

impl Lie for WrongDigest {
    fn corrupt(
        &self,
        _: &Request,
        mut honest: Response,
        _: &dyn Source,
        chance: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let digests = &mut honest.proof.digests;
        let which = chance.random_range(0..digests.len().max(1));
        flip_a_bit(&mut digests.get_mut(which)?.0, chance);
        Some(Answer::Range(honest).to_frame())
    }
}

/// A true answer, but to the question at one operation less.
struct AnotherSize;

impl Lie for AnotherSize {
    fn corrupt(
        &self,
        request: &Request,
        _: Response,
        source: &dyn Source,
        _: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let size = Location::new(request.size().get().checked_sub(1)?)?;
        let other = match request.kind() {
            Kind::Operations => Request::operations(size, request.start(), request.max_ops())?,
            Kind::Boundary => Request::boundary(size, request.start())?,
        };
        let ask = Ask::Range(other);
        let frame = source.answer(&ask);
        // Unavailable would be honest.
        let told = Answer::decode(&frame.join(), &ask);
        matches!(told, Ok(Answer::Range(_))).then_some(frame)
    }
}

/// Random bytes instead of an answer.
struct Junk;

impl Lie for Junk {
    fn corrupt(&self, _: &Request, _: Response, _: &dyn Source, chance: &mut ChaCha8Rng) -> Option<Frame> {
        let mut bytes = vec![0; chance.random_range(1..4096)];
        chance.fill_bytes(&mut bytes);
        // No answer has such a tag, so that these bytes are never one by chance.
        bytes[0] |= 0x80;
        Some(Frame {
            head: bytes.into(),
            body: Bytes::new(),
        })
    }
}

/// One pinned node is another one. Only boundary requests have pinned nodes, and none at location 0: a joiner that asks
/// its boundary elsewhere gets nothing but honest answers from this liar.
struct WrongPinned;

impl Lie for WrongPinned {
    fn corrupt(
        &self,
        _: &Request,
        mut honest: Response,
        _: &dyn Source,
        chance: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let pinned = honest.pinned_nodes.as_mut()?;
        let which = chance.random_range(0..pinned.len().max(1));
        flip_a_bit(&mut pinned.get_mut(which)?.0, chance);
        Some(Answer::Range(honest).to_frame())
    }
}

fn flip_a_bit(bytes: &mut [u8], chance: &mut ChaCha8Rng) {
    let which = chance.random_range(0..bytes.len());
    bytes[which] ^= 1 << chance.random_range(0..8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::db::{self, Batch, Db, Family, KINDS};
    use cordee_protocol::log::MemoryJournal;
    use cordee_protocol::sync::serve::{self, Budget};
    use cordee_protocol::sync::verify::verify;
    use cordee_protocol::{Digest, Target};
    use std::sync::Mutex;

    /// A small database that answers honestly.
    struct Honest {
        db: Mutex<Db<MemoryJournal>>,
        target: Target,
    }

    impl Honest {
        fn new() -> Arc<Self> {
            Self::of_kind(KINDS[0])
        }

        fn of_kind(name: &str) -> Arc<Self> {
            let kind = db::Kind::parse(name, name.ends_with("fixed").then_some(20)).unwrap();
            let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
            for round in 0..20u8 {
                let mut batch = Batch::new();
                for number in 0..10 {
                    let (key, value) = (Digest::of(&[&[number, round % 3]]).0, vec![round; 20]);
                    match kind.family() {
                        Family::Keyless => batch.append(value),
                        Family::Immutable => batch.put([10 * round + number; 32], value),
                        _ => batch.put(key, value),
                    };
                }
                db.apply(&batch, None).unwrap();
            }
            if !kind.is_any() {
                db.prune(Location::new(77).unwrap()).unwrap();
            }
            let target = db.target();
            Arc::new(Self {
                db: Mutex::new(db),
                target,
            })
        }

        fn asks(&self) -> [Ask; 2] {
            let (start, end) = (self.target.start(), self.target.end());
            assert!(start > Location::ZERO, "a floor that leaves pinned nodes");
            [
                Ask::Range(Request::boundary(end, start).unwrap()),
                Ask::Range(Request::operations(end, start, 10).unwrap()),
            ]
        }

        /// What an asker makes of `frame`.
        fn accepts(&self, ask: &Ask, frame: &Frame) -> bool {
            let Ask::Range(request) = ask else { unreachable!() };
            let Ok(Answer::Range(response)) = Answer::decode(&frame.join(), ask) else {
                return false;
            };
            verify(request, self.target.root(), response).is_ok()
        }
    }

    impl Source for Honest {
        fn status(&self) -> Status {
            Status {
                network: "test".into(),
                kind: KINDS[0].into(),
                size: self.target.end(),
                provable_from: Location::new(1).unwrap(),
                root: Some(*self.target.root()),
                ..Status::default()
            }
        }

        fn answer(&self, ask: &Ask) -> Frame {
            let db = self.db.lock().unwrap();
            let range = |request: &Request| serve::answer(db.log().journal(), request, Budget::default());
            serve::frame(ask, || self.status(), range)
        }
    }

    #[test]
    fn every_lie_is_refused_and_every_honest_answer_accepted() {
        for (kind, lie) in KINDS.iter().flat_map(|kind| LIES.map(|lie| (kind, lie))) {
            let honest = Honest::of_kind(kind);
            let (liar, counter) = wrap(lie.name, honest.clone(), 7).unwrap();
            let mut told = 0;
            for ask in honest.asks() {
                assert!(honest.accepts(&ask, &honest.answer(&ask)));
                for _ in 0..50 {
                    let frame = liar.answer(&ask);
                    let lied = counter.told() > told;
                    told = counter.told();
                    let case = format!("{kind}: {} to {ask:?}", lie.name);
                    assert_eq!(honest.accepts(&ask, &frame), !lied, "{case}");
                    let Ask::Range(request) = &ask else { unreachable!() };
                    let has_occasion = lie.name != "wrong-pinned" || request.kind() == Kind::Boundary;
                    assert_eq!(lied, has_occasion, "{case}");
                }
            }
        }
    }

    #[test]
    fn statuses_and_what_is_not_held_are_told_honestly() {
        let honest = Honest::new();
        let beyond = Location::new(1 << 40).unwrap();
        let asks = [
            Ask::Status(honest.status()),
            Ask::Range(Request::operations(beyond, Location::ZERO, 5).unwrap()),
        ];
        for lie in LIES {
            let (liar, counter) = wrap(lie.name, honest.clone(), 7).unwrap();
            assert_eq!(liar.status(), honest.status());
            for ask in &asks {
                assert_eq!(liar.answer(ask), honest.answer(ask));
            }
            assert_eq!(counter.told(), 0, "{}", lie.name);
        }
    }

    #[test]
    fn equal_seeds_tell_equal_lies() {
        let honest = Honest::new();
        let tell = |seed| {
            let (liar, _) = wrap("flipped-operation", honest.clone(), seed).unwrap();
            honest.asks().map(|ask| liar.answer(&ask))
        };
        assert_eq!(tell(7), tell(7));
        assert_ne!(tell(7), tell(8));
        let error = wrap("silence", honest.clone(), 7).err().unwrap();
        assert!(error.to_string().contains("another-size"), "{error}");
    }
}
