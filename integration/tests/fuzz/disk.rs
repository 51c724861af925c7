//! The files of a log, with one of them corrupted: opening and reading ends in a database or in an error.

use crate::runner::fuzz;
use cordee_node::storage::{DiskJournal, Options};
use cordee_protocol::Digest;
use cordee_protocol::db::{Batch, Claim, Db, Family, Kind};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of the checksum at the end of a record.
const CHECKSUM: usize = 8;

fn kind() -> Kind {
    Kind::variable(Family::AnyUnordered)
}

/// A small log, and its files by relative path.
fn files(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let journal = DiskJournal::open(place.to_path_buf(), Options::default()).unwrap();
    let mut db = Db::open(journal, kind()).unwrap();
    for round in 0..6u8 {
        let mut batch = Batch::new();
        for key in 0..4u8 {
            batch.put([key; 32], vec![round; 9]);
        }
        db.apply(&batch, None).unwrap();
    }
    let floor = db.floor().unwrap();
    db.prune(floor).unwrap();
    db.commit().unwrap();
    drop(db);
    let mut files = Vec::new();
    for folder in ["", "operations", "offsets", "nodes", "sums"] {
        let mut entries: Vec<_> = fs::read_dir(place.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries.iter().filter(|entry| entry.path().is_file()) {
            let path = PathBuf::from(folder).join(entry.file_name());
            files.push((path, fs::read(entry.path()).unwrap()));
        }
    }
    files.retain(|(path, _)| path.as_os_str() != "lock");
    files
}

#[test]
fn damaged_files_end_in_errors() {
    let scratch = tempfile::tempdir().unwrap();
    let files = files(&scratch.path().join("whole"));
    assert!(files.len() >= 4, "{files:?}");
    // Which file, and what is in it.
    let seeds = files
        .iter()
        .enumerate()
        .map(|(i, (_, bytes))| [&[i as u8], &bytes[..]].concat())
        .collect();
    let damaged = scratch.path().join("damaged");
    fuzz("files", seeds, |input| {
        let Some((&which, content)) = input.split_first() else {
            return String::new();
        };
        let which = usize::from(which) % files.len();
        // Nothing may be left from before.
        let _ = fs::remove_dir_all(&damaged);
        for (i, (path, bytes)) in files.iter().enumerate() {
            let path = damaged.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, if i == which { content } else { bytes }).unwrap();
            if i == which && path.ends_with("record") {
                fs::write(&path, with_checksum(content)).unwrap();
            }
        }
        let what = files[which].0.parent().unwrap().display().to_string();
        let journal = match DiskJournal::open(damaged.clone(), Options::default()) {
            Ok(journal) => journal,
            Err(error) => return format!("{what} {}", message(&error)),
        };
        match Db::open(journal, kind()) {
            Err(error) => format!("{what} {}", message(&error)),
            Ok(db) => {
                let (start, size) = (db.log().bounds().start, db.log().size());
                // What is damaged below the index is met here, and a proof of it leads nowhere.
                let values: Vec<_> = (0..4u8).map(|key| db.value(&[key; 32]).is_ok()).collect();
                let claim = Claim::of(&db, size, start, u64::MAX, true);
                format!(
                    "{what} {values:?} {:?}",
                    claim.map(|claim| claim.check().is_ok()).ok()
                )
            }
        }
    });
}

/// The content of a record with a checksum that fits, so that the rest is read.
fn with_checksum(record: &[u8]) -> Vec<u8> {
    let content = &record[..record.len().saturating_sub(CHECKSUM)];
    [content, &Digest::of(&[content]).0[..CHECKSUM]].concat()
}

/// A message without what differs from input to input.
fn message(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let plain = text.chars().filter(|c| c.is_ascii_lowercase() || *c == ' ');
    let plain: String = plain.collect();
    plain.chars().rev().take(50).collect()
}
