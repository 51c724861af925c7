//! Replays of all shapes and sizes into a fresh index, beside a map that cannot be wrong.

use super::*;
use cordee_protocol::Digest;
use std::collections::BTreeMap;

/// The key of change `n`.
type Shape = (&'static str, fn(u64) -> Key);

const SHAPES: [Shape; 8] = [
    ("hashes, some again", |n| {
        Digest::of(&[&(n * n % 1009).to_be_bytes()]).0
    }),
    ("rising", |n| number(n, 24)),
    ("falling", |n| number(u64::MAX - n, 20)),
    ("text that begins alike", |n| {
        let mut key = *b"account/00000000/balance/000000/";
        key[8..16].copy_from_slice(format!("{:08}", n * 7_919 % 100_003).as_bytes());
        key
    }),
    ("one key", |_| [5; 32]),
    ("hashes, then one key", |n| {
        if n < 70 { number(n, 0) } else { [5; 32] }
    }),
    ("few keys, then all near one of them", |n| match n {
        0..100 => number(n % 9, 0),
        _ => number(n % 700, 16),
    }),
    (
        "lowest and highest",
        |n| if n % 2 == 0 { [0; 32] } else { [255; 32] },
    ),
];

fn number(n: u64, at: usize) -> Key {
    let mut key = [3; 32];
    key[at..at + 8].copy_from_slice(&n.to_be_bytes());
    key
}

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

/// Replay `len` changes, every seventh of which takes a key away, and let the index settle: it, and what it must hold.
fn replay(
    disk: &FaultyDisk,
    (options, family): (Options, Family),
    key: fn(u64) -> Key,
    len: u64,
    least: u64,
) -> Result<(DiskIndex<FaultyDisk>, BTreeMap<Key, Location>), Error> {
    let mut index = open(disk, Kind::variable(family), options)?.fresh(len);
    let mut model = BTreeMap::new();
    for n in 0..len {
        let at = (n % 7 != 6).then_some(location(n));
        index.defer(&key(n), at);
        model.insert(key(n), at);
    }
    index.settle(location(least))?;
    let active = model.into_iter().filter_map(|(key, at)| Some((key, at?)));
    let active = active.filter(|(_, at)| *at >= location(least)).collect();
    Ok((index, active))
}

fn check(index: &DiskIndex<FaultyDisk>, model: &BTreeMap<Key, Location>, case: &str) {
    assert_eq!(index.len(), model.len(), "{case}");
    for (key, at) in model {
        assert_eq!(index.get(key).unwrap(), Some(*at), "{case}");
    }
    assert_eq!(index.get(&[9; 32]).unwrap(), None, "{case}");
    if index.place.kind.family() != Family::AnyOrdered {
        return;
    }
    let (mut held, mut from) = (Vec::new(), Bound::Unbounded);
    while let Some(key) = index.first(from.as_ref()).unwrap() {
        held.push((key, index.get(&key).unwrap().unwrap()));
        from = Bound::Excluded(key);
    }
    assert!(
        held.iter().copied().eq(model.iter().map(|(key, at)| (*key, *at))),
        "{case}"
    );
}

#[test]
fn of_every_shape_and_size_the_newest_is_kept() {
    for (shape, key) in SHAPES {
        for (run_entries, lengths) in [
            (1, &[1, 2, 5, 200][..]),
            (16, &[15, 16, 17, 90, 3000]),
            (300, &[299, 301, 2500]),
            (5000, &[4000, 4500, 9000]),
        ] {
            let each = |len| {
                let both = [Family::AnyOrdered, Family::AnyUnordered];
                both.into_iter()
                    .flat_map(move |family| [(len, family, false), (len, family, true)])
            };
            for (&len, family, background) in lengths.iter().flat_map(each) {
                let options = Options {
                    run_entries,
                    background,
                    ..TINY
                };
                for least in [0, len / 3] {
                    let case =
                        format!("{shape}, {family:?}, {len} of {run_entries}, from {least}, {background}");
                    let disk = FaultyDisk::default();
                    let (index, model) = replay(&disk, (options, family), key, len, least).unwrap();
                    check(&index, &model, &case);
                    let paths = disk.paths(&folder());
                    let runs = |path: &PathBuf| path.extension().is_some_and(|name| name == "runs");
                    assert!(!paths.iter().any(runs), "{case}: {paths:?}");
                }
            }
        }
    }
}

/// Whichever of two threads meets the failure, it is told, and nobody waits for the other for ever.
#[test]
fn a_disk_that_fails_ends_the_replay() {
    for (shape, key) in [SHAPES[0], SHAPES[1]] {
        let families = [Family::AnyOrdered, Family::AnyUnordered];
        for (family, background) in families
            .iter()
            .flat_map(|family| [(*family, false), (*family, true)])
        {
            let options = Options { background, ..TINY };
            let (mut failed, mut n) = (0, 0);
            loop {
                let disk = FaultyDisk::default();
                disk.fail_at(n);
                match replay(&disk, (options, family), key, 1000, 0) {
                    Err(_) => failed += 1,
                    Ok((index, model)) => {
                        check(&index, &model, &format!("{shape}, {family:?}, step {n}"));
                        break;
                    }
                }
                n += 13;
            }
            assert!(failed > 5, "{shape}: {failed}");
        }
    }
}
