//! Lies that the nodes of a testnet do not tell, for simulated peers, and every lie by its name.
//!
//! Like those of [`cordee_node::lies`], each is provable: an answer that no honest peer gives. A peer lies wherever that
//! leaves it room; what it says of itself stays honest, so that it is asked like anybody else.

use super::source::SourceLog;
use bytes::Bytes;
use cordee_node::lies as testnet;
use cordee_protocol::sync::serve::{self, Budget, Source};
use cordee_protocol::wire::{Answer, Ask, Frame, Request, Response, Status};
use cordee_protocol::{Elements, Operations};
use std::sync::{Arc, Mutex};

/// Every lie.
pub const LIES: [&str; 13] = [
    "flipped-operation",
    "wrong-digest",
    "another-size",
    "junk",
    "wrong-pinned",
    "missing-pinned",
    "too-many",
    "no-operations",
    "cut-off",
    "trailing-bytes",
    "swapped-operations",
    "replayed",
    "another-history",
];

/// Put the lie called `name` between `honest` and whoever asks.
///
/// - `history`: a log of another history, for the lie that serves it.
///
/// # Panics
/// If there is no such lie.
pub fn wrap(name: &str, honest: Arc<dyn Source>, history: &Arc<SourceLog>, seed: u64) -> Arc<dyn Source> {
    if let Ok((liar, _)) = testnet::wrap(name, Arc::clone(&honest), seed) {
        return liar;
    }
    let lie = match name {
        "missing-pinned" => Lie::MissingPinned,
        "too-many" => Lie::TooMany,
        "no-operations" => Lie::NoOperations,
        "cut-off" => Lie::CutOff,
        "trailing-bytes" => Lie::TrailingBytes,
        "swapped-operations" => Lie::SwappedOperations,
        "replayed" => Lie::Replayed(Mutex::new(None)),
        "another-history" => Lie::AnotherHistory(Arc::clone(history)),
        _ => panic!("there is no lie called {name}"),
    };
    Arc::new(Liar { lie, honest })
}

enum Lie {
    /// The boundary without its pinned nodes, as if only operations had been asked for.
    MissingPinned,
    /// More operations than asked for, with their true proof.
    TooMany,
    /// No operation, with the proof of some.
    NoOperations,
    /// The answer stops in the middle.
    CutOff,
    /// A byte behind the answer.
    TrailingBytes,
    /// Two operations have changed places.
    SwappedOperations,
    /// The first answer it gave, again and again.
    Replayed(Mutex<Option<Frame>>),
    /// True answers, from another log.
    AnotherHistory(Arc<SourceLog>),
}

struct Liar {
    lie: Lie,
    honest: Arc<dyn Source>,
}

impl Source for Liar {
    fn status(&self) -> Status {
        self.honest.status()
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let honest = self.honest.answer(ask);
        let Ask::Range(request) = ask else { return honest };
        let Ok(Answer::Range(response)) = Answer::decode(&honest.join(), ask) else {
            return honest;
        };
        self.corrupt(request, response, &honest).unwrap_or(honest)
    }
}

impl Liar {
    fn corrupt(&self, request: &Request, mut response: Response, honest: &Frame) -> Option<Frame> {
        match &self.lie {
            Lie::MissingPinned => {
                response.pinned_nodes.take()?;
            }
            Lie::TooMany => {
                let more = Request::operations(request.size(), request.start(), request.max_ops() + 1)?;
                let Answer::Range(longer) = self.asked(&more)? else {
                    return None;
                };
                (response.operations.len() < longer.operations.len()).then_some(())?;
                response.operations = longer.operations;
                response.proof = longer.proof;
            }
            Lie::NoOperations => response.operations = Operations::default(),
            Lie::CutOff => {
                let whole = honest.join();
                return Some(frame(whole.slice(..whole.len() * 2 / 3)));
            }
            Lie::TrailingBytes => return Some(frame([&honest.join()[..], &[0]].concat().into())),
            Lie::SwappedOperations => {
                let mut operations: Vec<_> = response.operations.iter().map(<[u8]>::to_vec).collect();
                (operations.first() != operations.last()).then_some(())?;
                let last = operations.len().checked_sub(1)?;
                operations.swap(0, last);
                response.operations = Operations::collect(operations)?;
            }
            Lie::Replayed(first) => {
                let mut first = super::time::locked(first);
                return Some(first.get_or_insert_with(|| honest.clone()).clone());
            }
            Lie::AnotherHistory(log) => {
                // Where the other log is too short there is nothing to lie with.
                response = serve::answer(&log.journal, request, Budget::default()).ok()?;
            }
        }
        Some(Answer::Range(response).to_frame())
    }

    fn asked(&self, request: &Request) -> Option<Answer> {
        let ask = Ask::Range(*request);
        Answer::decode(&self.honest.answer(&ask).join(), &ask).ok()
    }
}

fn frame(head: Bytes) -> Frame {
    let body = Bytes::new();
    Frame { head, body }
}
