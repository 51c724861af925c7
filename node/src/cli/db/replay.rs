//! `cordee db replay`: what a sync decided, decided again.

use super::super::apply::open;
use super::super::{Exit, Failure, output};
use crate::recording::{self, Error};
use clap::Args;
use cordee_protocol::sync::plan::Event;
use serde::Serialize;
use std::time::Duration;

/// Replay the record that `cordee sync --record` wrote, and hold each decision against the recorded one
///
/// A record has every event of a sync and what was decided on it. The decisions depend on nothing else, so this program
/// decides the same, or names the first line where it does not.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cordee sync -C copy --target ROOT@START..END --peer ADDRESS --record sync.jsonl\n  \
                  cordee db replay sync.jsonl --print\n\n\
                  Exit codes: 0 the same decisions, 2 not a record, 3 other decisions."
)]
pub(super) struct Replay {
    /// The record; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// Print a line for each event: when, what, and how far the sync was then
    #[arg(long)]
    print: bool,

    /// Print one JSON object
    #[arg(long, conflicts_with = "print")]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    events: u64,
    commands: u64,
    seconds: f64,
    start: u64,
    size: u64,
    end: u64,
    refused_batches: u64,
    torn: bool,
}

impl Replay {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let (input, name) = open(&self.file)?;
        let (mut last, mut printed) = (None, Ok(()));
        let replayed = recording::replay(input, |at_ns, event, plan| {
            let progress = plan.progress();
            if self.print && printed.is_ok() {
                let seconds = Duration::from_nanos(at_ns).as_secs_f64();
                let line = format!(
                    "{seconds:>10.6}  {:<46} size {} of {}, {} open, {} bytes buffered, {}",
                    event_text(event),
                    progress.size,
                    progress.end,
                    progress.in_flight,
                    progress.buffered_bytes,
                    progress.waiting
                );
                printed = output::result(false, &(), &line);
            }
            last = Some(progress);
        });
        printed?;
        let replayed = replayed.map_err(|error| {
            let exit = match error {
                Error::Differs { .. } => Exit::Refused,
                _ => Exit::Usage,
            };
            Failure::of(exit, &error).at(&name)
        })?;
        let progress = last.unwrap_or_default();
        let report = Report {
            ok: true,
            events: replayed.events,
            commands: replayed.commands,
            seconds: Duration::from_nanos(replayed.last_ns).as_secs_f64(),
            start: progress.start.get(),
            size: progress.size.get(),
            end: progress.end.get(),
            refused_batches: progress.refused,
            torn: replayed.torn,
        };
        let torn = if report.torn {
            "; its last line is cut off"
        } else {
            ""
        };
        let text = format!(
            "the same decisions: {} events over {:.3} s led to {} commands, as recorded{torn}",
            report.events, report.seconds, report.commands
        );
        output::result(self.json, &report, &text)
    }
}

/// An event in a few words.
fn event_text(event: &Event) -> String {
    match event {
        Event::Start => "begins".into(),
        Event::Verified {
            operations, bytes, ..
        } => format!("verified: {operations} operations, {bytes} bytes"),
        // The text is whoever's wrote the file.
        Event::Refused { reason, .. } => format!("refused: {}", reason.escape_debug()),
        Event::Failed { .. } => "a request failed".into(),
        Event::Tick => "time has passed".into(),
        Event::Updates(targets) => format!("{} later targets", targets.len()),
        Event::Settled(targets) => format!("at the target; {} were queued", targets.len()),
        Event::Retargeted(held) => format!("fitted to the new target, size {}", held.size),
        Event::LastChecked => "the last operation is a commit".into(),
        Event::Root { .. } => "the root is known".into(),
        Event::Restarted(_) => "what was held is given up".into(),
        Event::Finish => "told to finish".into(),
        Event::FinishClosed => "nobody will say finish".into(),
    }
}
