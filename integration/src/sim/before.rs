//! What lies on a disk before the first sync.

use super::disk::{Machine, SimJournal};
use super::scenario::Before;
use cordee_protocol::log::{Journal, Mark};
use cordee_protocol::mmr::Nodes;
use cordee_protocol::mmr::nodes::peaks_at;
use cordee_protocol::{Digest, Elements, Position};

/// Put `before` on the disk of `machine`.
///
/// # Errors
/// The log's, as text.
pub fn prepare(machine: &Machine, before: &Before) -> Result<(), String> {
    let mut journal = machine.open().map_err(|error| error.to_string())?;
    fill(&mut journal, before).map_err(|error| error.to_string())?;
    drop(journal);
    let Some(draw) = before.damage else {
        machine.set_durable(before.range.end);
        return Ok(());
    };
    let disk = machine.disk();
    let paths: Vec<_> = disk
        .paths(&Machine::folder())
        .into_iter()
        .filter(|path| !path.ends_with("lock"))
        .collect();
    let path = &paths[draw as usize % paths.len()];
    disk.edit(path, |bytes| {
        if !bytes.is_empty() {
            let at = (draw >> 16) as usize % bytes.len();
            bytes[at] ^= 1 << ((draw >> 8) % 8);
        }
    });
    Ok(())
}

fn fill(journal: &mut SimJournal, before: &Before) -> Result<(), Box<dyn std::error::Error>> {
    let log = before.source.log();
    let range = before.range.clone();
    if range.start > journal.bounds().start {
        journal.restart(range.start)?;
        if let Some(pinned) = peaks_at(&log.journal, range.start)? {
            journal.pin(&pinned)?;
        }
    }
    let mut at = range.start;
    while at < range.end {
        let operations = log.journal.read(at..range.end, 16 << 10)?;
        let end = at.saturating_add(operations.len() as u64);
        let positions = at.position().get()..end.position().get();
        let mut nodes: Vec<Digest> = Vec::new();
        for position in positions.filter_map(Position::new) {
            nodes.extend(log.journal.node(position)?);
        }
        journal.append(&operations, &nodes)?;
        at = end;
    }
    let commit = log.commit_before(range.end);
    journal.commit(if before.complete {
        Mark::Complete {
            root: commit.root,
            floor: commit.floor,
        }
    } else {
        let last = log.commits[log.commits.len() - 1];
        Mark::Syncing(last.target(range.start))
    })?;
    Ok(())
}
