//! A run as it was: what its plan was told and when, and what it decided. Replaying the events against a [`Plan`] gives the
//! same decisions, so a record is a whole bug report.
//!
//! # Picture
//! ```text
//!   {"begin":{"version":1,"config":{..},"target":"ROOT@START..END","held":{..},"waits_for_finish":false}}
//!   {"step":{"at_ns":0,"event":"start","commands":[{"fetch":[0,{..}]},..]}}
//!   {"step":{"at_ns":1270450,"event":{"verified":{"id":0,..}},"commands":[..]}}
//! ```
//! One line each, a few hundred bytes. It names no peer and holds no operation.
//!
//! # Elsewhere
//! Writing and reading such files: `node::recording`.

use super::database::Held;
use super::plan::{Command, Config, Event, Plan};
use super::target::Target;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of the lines; others are not replayed.
pub const VERSION: u32 = 1;

/// One line of a record. `C`: the commands, which are compared as texts and never read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<C = Vec<Command>> {
    /// The first line.
    Begin(Begin),
    /// All others.
    Step(Step<C>),
}

/// What a plan was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// [`VERSION`].
    pub version: u32,
    /// How the sync asks.
    pub config: Config,
    /// The first target.
    pub target: Target,
    /// What was held for it.
    pub held: Held,
    /// Whether a caller says when to finish.
    pub waits_for_finish: bool,
}

/// One event, and what followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step<C = Vec<Command>> {
    /// The engine's clock, in nanoseconds.
    pub at_ns: u64,
    /// What happened.
    pub event: Event,
    /// What the plan decided.
    pub commands: C,
}

impl Begin {
    /// The plan at its beginning.
    pub fn plan(&self) -> Plan {
        let Self {
            config, target, held, ..
        } = self.clone();
        Plan::new(config, target, held, self.waits_for_finish)
    }
}

impl<C> Step<C> {
    /// What `plan` decides on this event.
    pub fn replay(&self, plan: &mut Plan) -> Vec<Command> {
        plan.on_event(Duration::from_nanos(self.at_ns), self.event.clone())
    }
}

/// Takes the lines of a run as they come. It is called on the engine's task, so it must not wait for long.
pub trait Recorder: Send {
    /// The next line.
    fn on_line(&mut self, line: Line);
}

impl<F: FnMut(Line) + Send> Recorder for F {
    fn on_line(&mut self, line: Line) {
        self(line);
    }
}
