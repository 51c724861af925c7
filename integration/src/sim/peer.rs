//! Peers that serve: what they hold, and how they behave.
//!
//! A peer knows no network: it is asked, and says what comes back and after how long. [`super::hub`] carries that.

use super::lies;
use super::net::NodeId;
use super::source::{SourceId, SourceLog};
use super::time::{Time, locked};
use cordee_protocol::Location;
use cordee_protocol::codec::Decode;
use cordee_protocol::sync::serve::{self, Budget, Source};
use cordee_protocol::wire::{Answer, Ask, Frame, Request, Status};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The network that all simulated nodes are of.
pub const NETWORK: &str = "simulated";

/// What a peer holds.
#[derive(Clone, Debug)]
pub struct Holds {
    /// A prefix of this log.
    pub source: SourceId,
    /// Its size from each of these times on, in order; nothing before the first.
    pub sizes: Vec<(Duration, Location)>,
    /// Nothing below.
    pub oldest: Location,
}

/// How a peer behaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Conduct {
    /// It answers truly, after a while.
    Honest,
    /// It answers truly, with at most so many operations.
    Short(u64),
    /// This share of the asks it answers with "busy".
    Busy(f64),
    /// This share of the asks it does not answer at all.
    Silent(f64),
    /// This share of the asks it answers by closing the connection.
    Disconnects(f64),
    /// It says that it holds more than it does, by so many operations, and then does not have it.
    Boasts(u64),
    /// It lies like this, in this share of its answers.
    Lies(&'static str, f64),
}

impl Conduct {
    /// Whether an answer of it can be false.
    pub fn lies(&self) -> bool {
        matches!(self, Self::Lies(..))
    }

    /// One word for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Short(_) => "short answers",
            Self::Busy(_) => "busy",
            Self::Silent(_) => "silent",
            Self::Disconnects(_) => "disconnecting",
            Self::Boasts(_) => "boasting",
            Self::Lies(lie, _) => lie,
        }
    }
}

/// What comes back for an ask.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This answer, after a while.
    Answer(Frame, Duration),
    /// Nothing, ever.
    Nothing,
    /// The connection is closed.
    Close,
}

/// A serving peer.
pub struct Peer {
    /// Its name.
    pub id: NodeId,
    /// How it behaves.
    pub conduct: Conduct,
    /// How long it thinks about each ask.
    thinks: Duration,
    honest: Arc<dyn Source>,
    liar: Option<Arc<dyn Source>>,
    rng: Mutex<ChaCha8Rng>,
    told: Mutex<u64>,
}

impl Peer {
    /// A peer that behaves like `conduct`, on top of `honest`.
    ///
    /// - `other`: a log of another history, for those who lie with it.
    pub fn new(
        id: NodeId,
        conduct: Conduct,
        thinks: Duration,
        honest: Arc<dyn Source>,
        other: &Arc<SourceLog>,
        seed: u64,
    ) -> Self {
        let liar = match &conduct {
            Conduct::Lies(lie, _) => Some(lies::wrap(lie, Arc::clone(&honest), other, seed)),
            _ => None,
        };
        Self {
            id,
            conduct,
            thinks,
            honest,
            liar,
            rng: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            told: Mutex::new(0),
        }
    }

    /// False answers that it gave.
    pub fn told(&self) -> u64 {
        *locked(&self.told)
    }

    /// What it says of itself.
    pub fn status(&self) -> Status {
        self.honest.status()
    }

    /// What comes back for these bytes.
    pub fn ask(&self, bytes: &[u8]) -> Reply {
        let Ok(ask) = Ask::from_slice(bytes) else {
            return Reply::Answer(Answer::Refused.to_frame(), self.thinks);
        };
        let is_range = matches!(ask, Ask::Range(_));
        let happens = |share: f64| is_range && locked(&self.rng).random_bool(share.clamp(0.0, 1.0));
        let frame = match &self.conduct {
            Conduct::Busy(share) if happens(*share) => Answer::Busy(Duration::from_millis(400)).to_frame(),
            Conduct::Silent(share) if happens(*share) => return Reply::Nothing,
            Conduct::Disconnects(share) if happens(*share) => return Reply::Close,
            Conduct::Short(most) => match &ask {
                Ask::Range(request) => self.honest.answer(&Ask::Range(shorter(request, *most))),
                Ask::Status(_) => self.honest.answer(&ask),
            },
            Conduct::Lies(_, share) if happens(*share) => {
                let honest = self.honest.answer(&ask);
                match self.liar.as_ref().map(|liar| liar.answer(&ask)) {
                    Some(lie) if lie.join() != honest.join() => {
                        *locked(&self.told) += 1;
                        lie
                    }
                    _ => honest,
                }
            }
            _ => self.honest.answer(&ask),
        };
        Reply::Answer(frame, self.thinks)
    }
}

fn shorter(request: &Request, most: u64) -> Request {
    let shorter = Request::operations(
        request.size(),
        request.start(),
        request.max_ops().min(most.max(1)),
    );
    match request.kind() {
        cordee_protocol::wire::Kind::Operations => shorter.unwrap_or(*request),
        cordee_protocol::wire::Kind::Boundary => *request,
    }
}

/// A peer's database: a prefix of a log, that grows with the time.
pub struct Served {
    time: Time,
    log: Arc<SourceLog>,
    holds: Holds,
    boast: u64,
}

impl Served {
    /// What `holds` says; `boast` is added to the size that it tells.
    pub fn new(time: Time, holds: Holds, boast: u64) -> Self {
        Self {
            time,
            log: holds.source.log(),
            holds,
            boast,
        }
    }

    fn size(&self) -> Location {
        let now = self.time.now();
        let past = self.holds.sizes.iter().take_while(|(from, _)| *from <= now);
        past.last()
            .map(|(_, size)| *size)
            .unwrap_or_default()
            .min(self.log.size())
    }
}

impl Source for Served {
    fn status(&self) -> Status {
        status(
            self.log.kind.to_string(),
            self.holds.oldest,
            self.size().saturating_add(self.boast),
        )
    }

    fn answer(&self, ask: &Ask) -> Frame {
        serve::frame(
            ask,
            || self.status(),
            |request| {
                if request.size() > self.size() || request.start() < self.holds.oldest {
                    return Err(serve::Error::NotHeld {
                        held: self.holds.oldest..self.size(),
                        start: request.start(),
                        size: request.size(),
                    });
                }
                serve::answer(&self.log.journal, request, Budget::default())
            },
        )
    }
}

/// What a node of the simulated network says of itself. The only place that makes a status.
pub fn status(kind: String, oldest: Location, size: Location) -> Status {
    Status {
        network: NETWORK.into(),
        kind,
        oldest,
        size,
        provable_from: oldest.saturating_add(1).min(size),
        ..Status::default()
    }
}
