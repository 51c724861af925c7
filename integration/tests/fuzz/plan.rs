//! The plan of a sync, driven by bytes: answers in any order, of any length, refusals, failures, time, targets that move.
//!
//! A model carries out what the plan says, as an engine and a database would, and holds it to what the plan promises.

use crate::runner::fuzz;
use cordee_node::recording::replay;
use cordee_protocol::sync::database::Held;
use cordee_protocol::sync::plan::{Command, Config, Event, Plan};
use cordee_protocol::sync::record::{Begin, Line, Step, VERSION};
use cordee_protocol::sync::requests::{Id, Tracked};
use cordee_protocol::wire::Kind;
use cordee_protocol::{Digest, Location, Target};
use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::time::Duration;

fn at(n: u64) -> Location {
    Location::new(n).unwrap_or(Location::MAX)
}

/// The root of the one log there is, at a size.
fn root(size: Location) -> Digest {
    Digest::of(&[&size.get().to_be_bytes()])
}

fn target(start: u64, end: u64) -> Target {
    Target::new(root(at(end)), at(start)..at(end)).expect("an end above its start")
}

fn begin(input: &[u8]) -> Begin {
    let small = |i: usize, most: u64| u64::from(input.get(i).copied().unwrap_or(3)) % most + 1;
    let start = small(0, 40);
    let end = start + small(1, 200);
    let left = small(2, 8);
    let size = if left > 4 {
        start + (end - start) * left / 8
    } else {
        start
    };
    Begin {
        version: VERSION,
        config: Config {
            max_outstanding_requests: NonZeroUsize::new(small(3, 6) as usize).expect("above 0"),
            fetch_batch_size: NonZeroU64::new(small(4, 32)).expect("above 0"),
            max_buffered_bytes: 64 << small(5, 8),
            max_retained_roots: small(6, 4) as usize - 1,
            max_refused: 40,
            max_failed: 40,
            request_timeout: (small(7, 2) == 1).then_some(Duration::from_secs(3)),
            ..Config::default()
        },
        target: target(start, end),
        held: Held {
            size: at(size),
            pinned: left > 4,
            guarded: left == 8,
            root: (left > 4).then(|| {
                if left == 5 {
                    Digest::default()
                } else {
                    root(at(size))
                }
            }),
        },
        waits_for_finish: small(8, 2) == 1,
    }
}

/// What an engine and its database would be.
struct Model {
    plan: Plan,
    config: Config,
    now: Duration,
    open: BTreeMap<Id, Tracked>,
    /// What verified and was neither appended nor forgotten.
    answers: BTreeMap<Id, Range<Location>>,
    held: Held,
    /// Whether some of what is held is of another log.
    foreign: bool,
    target: Target,
    over: Option<String>,
    lines: Vec<Line>,
}

impl Model {
    fn new(begin: &Begin) -> Self {
        let foreign = begin
            .held
            .root
            .is_some_and(|found| found != root(begin.held.size));
        Self {
            plan: begin.plan(),
            config: begin.config.clone(),
            now: Duration::ZERO,
            open: BTreeMap::new(),
            answers: BTreeMap::new(),
            held: begin.held,
            foreign,
            target: begin.target.clone(),
            over: None,
            lines: vec![Line::Begin(begin.clone())],
        }
    }

    fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let commands = self.plan.on_event(self.now, event.clone());
            self.lines.push(Line::Step(Step {
                at_ns: self.now.as_nanos() as u64,
                event,
                commands: commands.clone(),
            }));
            for command in commands {
                assert!(self.over.is_none(), "{command:?} behind the end");
                self.carry_out(command, &mut events);
            }
        }
        assert!(
            self.open.len() <= self.config.most_requests(),
            "{} requests",
            self.open.len()
        );
        assert_eq!(self.plan.progress().in_flight, self.open.len());
        assert!(self.over.is_some() || self.plan.progress().size == self.held.size);
    }

    fn carry_out(&mut self, command: Command, events: &mut VecDeque<Event>) {
        match command {
            Command::Fetch(id, tracked) => {
                let covers = &tracked.covers;
                let apart = |other: &Range<Location>| {
                    other.is_empty() || covers.end <= other.start || other.end <= covers.start
                };
                // Always 1: nobody is asked for what is asked for, buffered or held.
                if !covers.is_empty() {
                    assert!(
                        self.open.values().all(|other| apart(&other.covers)),
                        "{tracked:?} twice"
                    );
                    assert!(self.answers.values().all(apart), "{tracked:?} is buffered");
                    assert!(self.held.size <= covers.start, "{tracked:?} is held");
                }
                assert_eq!(tracked.root, *self.target.root());
                self.open.insert(id, tracked);
            }
            Command::Cancel(id) => assert!(self.open.remove(&id).is_some(), "{id:?} is not open"),
            Command::Forget(id) => drop(self.answers.remove(&id)),
            Command::Append(id, from) => {
                let batch = self.answers.remove(&id).expect("a batch that came");
                assert!(from == self.held.size && batch.start <= from && from < batch.end);
                assert!(!self.held.guarded, "the last operation was not looked at");
                (self.held.size, self.held.root) = (batch.end, None);
            }
            Command::Pin(id) => {
                assert!(self.answers.contains_key(&id) && !self.held.pinned);
                self.held.pinned = true;
            }
            Command::CheckLast(_) => {
                self.held.guarded = false;
                events.push_back(Event::LastChecked);
            }
            Command::Retarget(target) => {
                let (start, size) = (target.start(), self.held.size);
                if start > size {
                    self.held.pinned = false;
                    (self.held.size, self.held.root, self.foreign) = (start, None, false);
                }
                self.target = target;
                events.push_back(Event::Retargeted(self.held));
            }
            Command::CheckRoot(sizes) => {
                assert!(self.held.pinned && self.held.size == self.target.end());
                assert!(sizes.iter().all(|size| self.target.range().contains(size)));
                let found = |size| {
                    if self.foreign {
                        Digest::default()
                    } else {
                        root(size)
                    }
                };
                let earlier = sizes.into_iter().map(found).collect();
                events.push_back(Event::Root {
                    root: found(self.held.size),
                    torn: false,
                    earlier,
                });
            }
            Command::Restart => {
                self.held = Held {
                    size: self.target.start(),
                    pinned: self.target.start() == Location::ZERO,
                    guarded: self.held.guarded,
                    root: None,
                };
                self.foreign = false;
                events.push_back(Event::Restarted(self.held));
            }
            Command::Discard => {}
            Command::Notify(target) => {
                assert!(!self.foreign && target == self.target && self.held.size == target.end());
            }
            Command::Settle => events.push_back(Event::Settled(Vec::new())),
            Command::Complete => {
                assert!(!self.foreign && self.held.pinned && self.held.size == self.target.end());
                self.over = Some("complete".into());
            }
            Command::GiveUp => self.over = Some("given up".into()),
            // All targets are of one log.
            Command::Fail(ended) => {
                let text = ended.to_string();
                assert!(
                    !text.contains("forked") && !text.contains("leads to root"),
                    "{text}"
                );
                self.over = Some(text.chars().filter(char::is_ascii_lowercase).take(20).collect());
            }
        }
    }

    /// One byte decides what happens, another how.
    fn step(&mut self, what: u8, how: u8) {
        let which = self
            .open
            .keys()
            .nth(usize::from(how) % self.open.len().max(1))
            .copied();
        match (what % 16, which) {
            (0..=8, Some(id)) => {
                let Some(tracked) = self.open.remove(&id) else {
                    return;
                };
                let operations = u64::from(what / 16).min(tracked.request.max_ops() - 1) + 1;
                let operations = if what.is_multiple_of(2) {
                    tracked.request.max_ops()
                } else {
                    operations
                };
                let start = tracked.request.start();
                self.answers.insert(id, start..start.saturating_add(operations));
                self.tell(Event::Verified {
                    id,
                    operations,
                    bytes: operations * (1 + u64::from(how)),
                    root_at_start: (tracked.request.kind() == Kind::Boundary).then(|| root(start)),
                });
            }
            (9, Some(id)) => {
                self.open.remove(&id);
                self.tell(Event::Refused {
                    id,
                    reason: "x".into(),
                    heard: how < 250,
                });
            }
            (10, Some(id)) => {
                self.open.remove(&id);
                self.tell(Event::Failed { id });
            }
            (11 | 12, _) => {
                self.now += Duration::from_millis(u64::from(how) * 30);
                self.tell(Event::Tick);
            }
            (13 | 14, _) => {
                let (start, end) = (self.target.start().get(), self.target.end().get());
                let end = end + u64::from(how % 64);
                let start = if what > 128 {
                    start + u64::from(how / 8)
                } else {
                    start
                };
                if start < end {
                    self.tell(Event::Updates(vec![target(start, end)]));
                }
            }
            (15, _) if how > 200 => self.tell(Event::Finish),
            _ => {}
        }
    }
}

#[test]
fn plans() {
    let seed = |salt: u8| {
        (0..120u8)
            .map(|i| i.wrapping_mul(37).wrapping_add(salt.wrapping_mul(i / 2 + 1)))
            .collect()
    };
    fuzz("plan", (0..40).map(seed).collect(), |input| {
        let mut model = Model::new(&begin(input));
        model.tell(Event::Start);
        for pair in input.get(9..).unwrap_or_default().chunks_exact(2).take(2000) {
            if model.over.is_some() {
                break;
            }
            model.step(pair[0], pair[1]);
        }
        // With honest answers and time it always ends.
        for round in 0u32.. {
            if model.over.is_some() {
                break;
            }
            assert!(round < 3000, "it does not end: {:?}", model.plan.progress());
            match model.open.len() {
                0 => model.step(11, 255),
                _ => model.step(0, 0),
            }
            if round % 50 == 49 {
                model.tell(Event::Finish);
            }
        }
        let progress = model.plan.progress();
        format!(
            "{} {} {} {}",
            model.over.unwrap_or_default(),
            progress.retargets.min(4),
            progress.refused.min(2),
            progress.reused.min(1)
        )
    });
}

#[test]
fn records() {
    let line = |line: &Line| serde_json::to_string(line).expect("a record is JSON");
    let seed = |salt: u8| {
        let input: Vec<u8> = (0..40)
            .map(|i: u8| i.wrapping_mul(29).wrapping_add(salt))
            .collect();
        let mut model = Model::new(&begin(&input));
        model.tell(Event::Start);
        for pair in input[9..].chunks_exact(2) {
            model.step(pair[0], pair[1]);
        }
        let lines: Vec<_> = model.lines.iter().map(line).collect();
        let record = lines.join("\n") + "\n";
        let replayed = replay(record.as_bytes(), |_, _, _| {}).expect("what was recorded replays");
        assert_eq!(replayed.events + 1, lines.len() as u64);
        record.into_bytes()
    };
    fuzz("record", (0..6).map(seed).collect(), |input| {
        match replay(input, |_, _, _| {}) {
            Ok(replayed) => format!("replayed {}", replayed.torn),
            Err(error) => {
                let text = error.to_string();
                text.chars()
                    .filter(|c| c.is_ascii_lowercase() || *c == ' ')
                    .take(30)
                    .collect()
            }
        }
    });
}
