//! What each lie does, of every kind of database.

use super::*;
use cordee_protocol::Location;
use cordee_protocol::db::{self, Batch, Db, Family, KINDS};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::sync::serve::{self, Budget};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::Kind;
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
fn false_answers_are_refused_and_scraps_are_accepted() {
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
                // Scraps are true, an empty promise is none, and what is in the delivery is not seen here.
                let accepted = !lied || matches!(lie.name, "one-operation" | "tiny-answers");
                assert_eq!(honest.accepts(&ask, &frame), accepted, "{case}");
                assert!(!lie.provable || accepted != lied, "{case}");
                let Ask::Range(request) = &ask else { unreachable!() };
                let has_occasion = match lie.name {
                    "wrong-pinned" => request.kind() == Kind::Boundary,
                    "one-operation" | "tiny-answers" | "replayed" => request.kind() == Kind::Operations,
                    _ => matches!(lie.how, How::Tells(_)),
                };
                assert_eq!(lied, has_occasion, "{case}");
            }
        }
    }
}

#[test]
fn what_is_in_the_delivery_is_counted_and_spares_statuses() {
    let honest = Honest::new();
    for lie in LIES {
        let (_, counter) = wrap(lie.name, honest.clone(), 7).unwrap();
        let manner = manner(&format!("{}:9", lie.name), &counter);
        let How::Delivers(delivery) = lie.how else {
            assert!(manner.is_none(), "{}", lie.name);
            continue;
        };
        let manner = manner.unwrap();
        let status = Answer::Status(honest.status()).to_frame();
        assert_eq!(manner.deliver(&status), Delivery::Whole);
        assert_eq!(manner.deliver(&Answer::Unavailable.to_frame()), Delivery::Whole);
        assert_eq!(counter.told(), 0);
        assert_eq!(manner.deliver(&honest.answer(&honest.asks()[1])), delivery);
        assert_eq!(counter.told(), 1, "{}", lie.name);
        assert_eq!(lie.provable, delivery == Delivery::Oversized, "{}", lie.name);
    }
}

#[test]
fn statuses_and_what_is_not_held_are_told_honestly_but_by_who_claims_too_much() {
    let honest = Honest::new();
    let beyond = Location::new(1 << 40).unwrap();
    let asks = [
        Ask::Status(honest.status()),
        Ask::Range(Request::operations(beyond, Location::ZERO, 5).unwrap()),
    ];
    for lie in LIES {
        let (liar, counter) = wrap(lie.name, honest.clone(), 7).unwrap();
        // This one holds all there is.
        assert_eq!(liar.status(), honest.status());
        for ask in &asks {
            assert_eq!(liar.answer(ask), honest.answer(ask));
        }
        assert_eq!(counter.told(), 0, "{}", lie.name);
    }
    let pruned = Status {
        oldest: Location::new(7).unwrap(),
        ..honest.status()
    };
    assert_eq!(FalseClaim.status(pruned), honest.status());
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
    let error = wrap("rudeness", honest.clone(), 7).err().unwrap();
    assert!(error.to_string().contains("another-size"), "{error}");
}
