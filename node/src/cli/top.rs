//! `cordee top`: a running node on a terminal, as it goes on.

mod screen;

use super::status::{NodeArgs, understood};
use super::{Failure, output};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use screen::{Shown, draw};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Rates that are kept for the plot: as many as a wide terminal has columns.
const KEPT: usize = 400;

/// The running node on this terminal: state, why, progress, rate over time, peers
///
/// q, Esc or ctrl-c ends it. With --json a line of JSON for each look instead, {"status":..,"peers":[..]}, until it is interrupted.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee top -C alps\n  cordee top --http 127.0.0.1:7371 --every 5s\n  \
                        cordee top -C alps --json --looks 1"
)]
pub(super) struct Top {
    #[command(flatten)]
    node: NodeArgs,

    /// Time between two looks, from 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    every: Duration,

    /// End after so many looks
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    looks: Option<u64>,
}

fn every(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 1s or 500ms"))?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3600);
    allowed
        .contains(&time)
        .then_some(time)
        .ok_or_else(|| "from 100ms to 1h".into())
}

impl Top {
    pub(super) fn execute(self) -> Result<(), Failure> {
        if self.node.json {
            return self.lines();
        }
        if !std::io::stdout().is_terminal() {
            return Err(Failure::usage(
                "stdout is no terminal: use `cordee top --json` for lines, or `cordee status` for one look",
            ));
        }
        // The first answer decides whether there is anything to show.
        let first = self.look()?;
        let no_terminal = |error| Failure::failed(format!("cannot use the terminal: {error}"));
        let mut terminal = ratatui::try_init().map_err(no_terminal)?;
        let ended = self.watch(&mut terminal, first).map_err(no_terminal);
        ratatui::restore();
        ended
    }

    fn look(&self) -> Result<Shown, Failure> {
        Ok(Shown {
            status: understood(&self.node.ask("/v1/status")?)?,
            peers: understood(&self.node.ask("/v1/peers")?)?,
        })
    }

    fn lines(&self) -> Result<(), Failure> {
        let mut looks = 0;
        loop {
            let look = serde_json::json!({
                "status": self.node.ask("/v1/status")?,
                "peers": self.node.ask("/v1/peers")?,
            });
            output::result(true, &look, "")?;
            looks += 1;
            if self.looks.is_some_and(|most| looks >= most) {
                return Ok(());
            }
            std::thread::sleep(self.every);
        }
    }

    fn watch(&self, terminal: &mut ratatui::DefaultTerminal, first: Shown) -> std::io::Result<()> {
        let (mut shown, mut trouble) = (first, None);
        let mut rates = VecDeque::from([shown.status.ops_per_s as u64]);
        let mut looks = 1;
        loop {
            terminal.draw(|frame| draw(frame, &shown, rates.make_contiguous(), trouble.as_deref()))?;
            if self.looks.is_some_and(|most| looks >= most) || stopped(self.every)? {
                return Ok(());
            }
            match self.look() {
                Ok(look) => (shown, trouble) = (look, None),
                Err(failure) => trouble = Some(failure.to_string()),
            }
            rates.push_back(if trouble.is_none() {
                shown.status.ops_per_s as u64
            } else {
                0
            });
            if rates.len() > KEPT {
                rates.pop_front();
            }
            looks += 1;
        }
    }
}

/// Wait for so long; whether the operator wants to end.
fn stopped(after: Duration) -> std::io::Result<bool> {
    let until = Instant::now() + after;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if !event::poll(left)? {
            return Ok(false);
        }
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let interrupted = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupted || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
}
