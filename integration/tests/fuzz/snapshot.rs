//! Snapshots: whatever the file, what is given out is the log's, and the rest is an error.

use crate::codecs::database;
use crate::runner::fuzz;
use cordee_node::snapshot::{Error, Part, Reader, write};
use cordee_protocol::Journal;
use cordee_protocol::db::KINDS;
use std::num::NonZeroU64;

#[test]
fn snapshots_give_out_what_is_proven() {
    let db = database(KINDS[0]);
    let seeds = [1, 5, 1000].map(|max_ops| {
        let mut out = Vec::new();
        write(&db, "alps", NonZeroU64::new(max_ops).unwrap(), &mut out, |_| ()).unwrap();
        out
    });
    fuzz("snapshot", seeds.into(), |input| {
        let mut reader = match Reader::open(input) {
            Ok(reader) => reader,
            Err(error) => return kind_of(&error),
        };
        // Under another root something else may be true; the caller refuses it by its head.
        let trusted =
            *reader.head().target.root() == db.root() && reader.head().target.end() == db.log().size();
        let mut parts = 0;
        loop {
            let part = match reader.part() {
                Ok(part) => part,
                Err(error) => return format!("{trusted} {parts} {}", kind_of(&error)),
            };
            assert!(reader.position() <= input.len() as u64);
            parts += 1;
            match part {
                Part::End => return format!("{trusted} {parts} whole"),
                Part::Last(_) => {}
                Part::First(batch, _) | Part::Chunk(batch) if trusted => {
                    let stored = db.log().journal().read(batch.range(), usize::MAX).unwrap();
                    assert_eq!(*batch.operations(), stored, "something false was proven");
                }
                Part::First(..) | Part::Chunk(_) => {}
            }
        }
    });
}

/// The error without its numbers.
fn kind_of(error: &Error) -> String {
    let text = match error {
        Error::Truncated { section, .. } => format!("cut off in {section}"),
        Error::Refused { fault, .. } => format!("refused: {fault}"),
        error => error.to_string(),
    };
    text.chars()
        .filter(|c| c.is_ascii_lowercase() || *c == ' ')
        .collect()
}
