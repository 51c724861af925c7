//! Records of syncs as files: written while one runs, read to replay it (`sync --record`, `db replay`).
//!
//! The lines are those of [`cordee_protocol::sync::record`], as JSON. A record is for finding out what went wrong, so it must
//! never make anything go wrong: a disk that is full ends the record, not the sync.

use cordee_protocol::sync::plan::{Event, Plan};
use cordee_protocol::sync::record::{Line, Recorder, VERSION};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

/// The longest line that is read: an event has as many targets as the channel of updates holds, of 150 bytes each, and a
/// command for each request and buffered batch.
const LINE_BYTES: u64 = 4 << 20;

/// More requests open at once than any node allows; a record that says so could make its replay take any memory.
const MAX_REQUESTS: usize = 4096;

/// Writes a record, each line at once, so that a kill costs at most the line it cuts off. A file without a line is removed.
#[derive(Debug)]
pub struct FileRecorder {
    path: PathBuf,
    /// `None` once it failed.
    out: Option<File>,
    lines: u64,
}

impl FileRecorder {
    /// A record in a new file.
    ///
    /// # Errors
    /// If the file exists or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        Ok(Self {
            path: path.to_owned(),
            out: Some(file),
            lines: 0,
        })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        out.write_all(&text)?;
        self.lines += 1;
        Ok(())
    }
}

impl Recorder for FileRecorder {
    fn on_line(&mut self, line: Line) {
        if let Err(error) = self.write(&line) {
            tracing::warn!(path = %self.path.display(), %error, "the record of this sync ends here");
            self.out = None;
        }
    }
}

impl Drop for FileRecorder {
    fn drop(&mut self) {
        if self.lines == 0 {
            // The sync never began. A file that cannot be removed is empty, and says so when it is replayed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What a replay showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events replayed.
    pub events: u64,
    /// Commands that they led to, then and now.
    pub commands: u64,
    /// The clock at the last event, in nanoseconds.
    pub last_ns: u64,
    /// The last line was cut off in the middle, as by a kill.
    pub torn: bool,
}

/// Why a record does not replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read the record")]
    Read(#[from] io::Error),
    /// A line is not one of a record.
    #[error("line {line} is not a line of a record: {reason}")]
    Form {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Made by another version.
    #[error("the record is of version {0}, this program replays version {VERSION}")]
    Version(u32),
    /// The plan decides something else now.
    #[error("line {line}: after {event} the record has\n  {recorded}\nand the plan decides\n  {replayed}")]
    Differs {
        /// Counted from 1.
        line: u64,
        /// What happened.
        event: String,
        /// The commands then.
        recorded: String,
        /// The commands now.
        replayed: String,
    },
}

/// Replay the record in `input` and hold each decision against the recorded one. `each` is shown every event with the plan
/// behind it.
///
/// # Errors
/// [`Error`]; the first difference ends the replay.
pub fn replay(mut input: impl BufRead, mut each: impl FnMut(u64, &Event, &Plan)) -> Result<Replayed, Error> {
    let mut plan = None;
    let mut replayed = Replayed::default();
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut text)?;
        if text.is_empty() {
            break;
        }
        let line = match serde_json::from_slice::<Line<Value>>(&text) {
            Ok(line) => line,
            Err(_) if text.last() != Some(&b'\n') && (text.len() as u64) < LINE_BYTES && plan.is_some() => {
                replayed.torn = true;
                break;
            }
            Err(error) => {
                let reason = error.to_string();
                return Err(Error::Form { line: number, reason });
            }
        };
        match (line, &mut plan) {
            (Line::Begin(begin), None) if begin.config.most_requests() > MAX_REQUESTS => {
                let reason = format!("more than {MAX_REQUESTS} requests at once");
                return Err(Error::Form { line: number, reason });
            }
            (Line::Begin(begin), None) if begin.version == VERSION => plan = Some(begin.plan()),
            (Line::Begin(begin), None) => return Err(Error::Version(begin.version)),
            (Line::Step(step), Some(plan)) => {
                let commands = step.replay(plan);
                replayed.events += 1;
                replayed.commands += commands.len() as u64;
                replayed.last_ns = step.at_ns;
                let now = serde_json::to_value(&commands).map_err(io::Error::from)?;
                if now != step.commands {
                    return Err(Error::Differs {
                        line: number,
                        event: format!("{:?}", step.event),
                        recorded: step.commands.to_string(),
                        replayed: now.to_string(),
                    });
                }
                each(step.at_ns, &step.event, plan);
            }
            (Line::Begin(_), Some(_)) | (Line::Step(_), None) => {
                let reason = "the beginning is not its first line, or comes twice".into();
                return Err(Error::Form { line: number, reason });
            }
        }
    }
    if plan.is_none() {
        let reason = "the file is empty".into();
        return Err(Error::Form { line: 1, reason });
    }
    Ok(replayed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::sync::database::Held;
    use cordee_protocol::sync::record::{Begin, Step};
    use cordee_protocol::{Digest, Location, Target};

    /// A short run of a plan, as a file.
    fn record() -> Vec<u8> {
        let at = |n| Location::new(n).unwrap();
        let begin = Begin {
            version: VERSION,
            config: Default::default(),
            target: Target::new(Digest::of(&[b"root"]), at(4)..at(40)).unwrap(),
            held: Held {
                size: at(4),
                pinned: false,
                guarded: false,
                root: None,
            },
            waits_for_finish: false,
        };
        let mut plan = begin.plan();
        let mut lines = vec![Line::Begin(begin)];
        for (at_ns, event) in [(0, Event::Start), (7, Event::Tick), (9, Event::Finish)] {
            let mut step = Step {
                at_ns,
                event,
                commands: Vec::new(),
            };
            step.commands = step.replay(&mut plan);
            lines.push(Line::Step(step));
        }
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("record");
        let mut recorder = FileRecorder::create(&path).unwrap();
        lines.into_iter().for_each(|line| recorder.on_line(line));
        drop(recorder);
        assert!(FileRecorder::create(&path).is_err(), "no file is written over");
        let unused = place.path().join("unused");
        drop(FileRecorder::create(&unused).unwrap());
        assert!(!unused.exists(), "nothing was recorded");
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_record_replays_and_a_changed_one_names_its_line() {
        let whole = record();
        let text = String::from_utf8(whole.clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let mut seen = Vec::new();
        let done = replay(&whole[..], |at, event, _| seen.push((at, event.clone()))).unwrap();
        assert_eq!((done.events, done.last_ns, done.torn), (3, 9, false));
        assert!(done.commands >= 2 && seen.len() == 3, "{done:?}");

        let of = |lines: &[&str]| lines.join("\n") + "\n";
        for (case, file, expected) in [
            ("nothing", String::new(), "the file is empty"),
            ("no beginning", of(&lines[1..]), "first line"),
            ("two beginnings", of(&[lines[0], lines[0]]), "comes twice"),
            (
                "another version",
                text.replace("\"version\":1", "\"version\":9"),
                "version 9",
            ),
            ("no JSON", of(&[lines[0], "{"]), "line 2 is not"),
            (
                "a number out of range",
                text.replace("\"size\":4,", "\"size\":9223372036854775807,"),
                "line 1 is not",
            ),
            (
                "another decision",
                text.replacen("\"max_ops\":1", "\"max_ops\":2", 1),
                "line 2: after Start",
            ),
        ] {
            let error = replay(file.as_bytes(), |_, _, _| {}).unwrap_err();
            assert!(error.to_string().contains(expected), "{case}: {error}");
        }
        let torn = replay(&whole[..whole.len() - 3], |_, _, _| {}).unwrap();
        assert_eq!((torn.events, torn.torn), (2, true));
    }
}
