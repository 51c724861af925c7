//! `cordee apply`: batches of writes into a publisher's database.

use super::output;
use super::{Exit, Failure, FolderArgs, interrupt};
use crate::folder::{self, Folder};
use crate::publishing::State;
use crate::writes::{Writes, next_line};
use clap::Args;
use cordee_protocol::db;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Read, stdin};

/// Apply batches of writes, one JSON object a line, each its own commit
///
/// A line is {"put":[["hexkey","hexvalue"],...],"delete":["hexkey",...],"append":["hexvalue",...],"metadata":"hex"}; every
/// part may be missing. Kinds any-* take puts and deletes, immutable-* puts of keys that are not set yet, keyless-*
/// appends, whose order is kept; values and metadata of *-fixed kinds have exactly the kind's size. A line's commit is on
/// the disk before its result is printed.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  echo '{\"put\":[[\"'$(printf bash | sha256sum | cut -c1-64)'\",\"352e32\"]]}' | \
                        cordee apply -C alps -"
)]
pub(super) struct Apply {
    #[command(flatten)]
    folder: FolderArgs,

    /// JSON lines; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// Print one JSON object a commit
    #[arg(long)]
    json: bool,
}

impl Apply {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let folder = Folder::open(&self.folder.dir, Ok).map_err(Failure::from)?;
        let (mut input, name) = open(&self.file)?;
        let mut database = folder.publisher()?;
        interrupt::leave_with("interrupted; every commit that was printed is on the disk");

        let (mut line, mut number, mut commits) = (String::new(), 0, 0u64);
        loop {
            let read = next_line(&mut input, &mut line, &mut number);
            let place = |failure: Failure| {
                failure
                    .at(format_args!("{name}, line {number}"))
                    .and(format_args!("{commits} earlier commits stay"))
            };
            match read {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(place(Failure::usage(error.to_string())));
                }
                Err(error) => return Err(place(Failure::failed(format!("cannot be read: {error}")))),
            }
            let writes = Writes::parse(&line, folder.kind()).map_err(|error| place(error.into()))?;
            let refused = |error| {
                place(match error {
                    db::Error::Unfit(_) => Failure::of(Exit::Usage, &error),
                    error => folder::Error::from(error).into(),
                })
            };
            let applied = database.apply(&writes.batch, writes.metadata.as_deref());
            applied.map_err(refused)?;
            if commits == 0 {
                folder.set_written().map_err(|error| place(error.into()))?;
            }
            database.commit().map_err(refused)?;
            commits += 1;
            let state = State::of(&database);
            let text = format!(
                "size {}, floor {}, target {}",
                state.size,
                state.floor(),
                state.target
            );
            output::result(self.json, &state, &text)?;
        }
        if commits == 0 {
            output::note(&format!("{name} holds no line: nothing was applied"));
        }
        Ok(())
    }
}

/// Read a whole input file; `-` is standard input. With its name for messages.
pub(super) fn read(file: &str) -> Result<(Vec<u8>, String), Failure> {
    let (mut input, name) = open(file)?;
    let mut bytes = Vec::new();
    match input.read_to_end(&mut bytes) {
        Ok(_) => Ok((bytes, name)),
        Err(error) => Err(Failure::usage(format!("cannot read {name}: {error}"))),
    }
}

/// Open an input file; `-` is standard input. With its name for messages.
pub(super) fn open(file: &str) -> Result<(Box<dyn BufRead + Send>, String), Failure> {
    if file == "-" {
        if stdin().is_terminal() {
            output::note("reading from the terminal; end with ctrl-d");
        }
        return Ok((Box::new(BufReader::new(stdin())), "standard input".into()));
    }
    match File::open(file) {
        Ok(opened) => Ok((Box::new(BufReader::with_capacity(1 << 20, opened)), file.into())),
        Err(error) => Err(Failure::usage(format!("cannot read {file}: {error}"))),
    }
}
