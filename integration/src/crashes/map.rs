//! A database against a plain map: random writes, commits, retention, losses of power and kills.

use super::{Database, Row, Seen, database, serving};
use cordee_node::storage::faulty::FaultyDisk;
use cordee_protocol::db::{Batch, Db, Key, Kind};
use cordee_protocol::log::{Keep, MemoryJournal};
use cordee_protocol::{Digest, Location};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

type Map = BTreeMap<Key, Vec<u8>>;

/// What a commit held: the map, and the root at each size so far.
#[derive(Clone, Default)]
struct State {
    map: Map,
    size: Location,
    root: Digest,
}

/// So many kills of a database of `kind`, all drawn from `seed`.
pub fn kills(kind: Kind, seed: u64, kills: u64) -> Row {
    let mut row = Row::new("map");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut disk = FaultyDisk::default();
    // The same log in memory, which is never killed: for the roots of earlier sizes.
    let mut twin = Db::open(MemoryJournal::default(), kind).expect("memory does not fail");
    let mut durable = State {
        map: Map::new(),
        size: twin.log().size(),
        root: twin.root(),
    };
    let mut begun = false;
    for kill in 0..kills {
        disk.lose_power_at(disk.steps() + chance.random_range(0..60));
        let mut possible = vec![durable.clone()];
        let lived = live(&disk, kind, &durable, begun, &mut chance, &mut possible);
        row.steps += 1;
        // Mostly a process that was killed, or what a power loss leaves.
        let image = [0, 1, 1, chance.random_range(2..u64::MAX)][chance.random_range(0..4usize)];
        disk = disk.after_power_loss(image);
        begun |= lived;
        let mut seen = Seen::default();
        match database(&disk, kind) {
            Err(_) => (seen.lost, seen.stuck) = (true, true),
            Ok(db) => match possible
                .iter()
                .find(|state| (state.size, state.root) == (db.log().size(), db.root()))
            {
                None => seen.lost = true,
                Some(state) => {
                    for n in 0..KEYS {
                        let key = key(n);
                        seen.lost |= db.value(&key).ok().flatten().as_deref()
                            != state.map.get(&key).map(Vec::as_slice);
                    }
                    seen.lost |= db.active() != state.map.len();
                    follow(&mut twin, state, &db);
                    let roots = |size| twin.log().root_at(size).unwrap_or_default();
                    (seen.served, seen.unproven) = serving::ask(db.log(), roots);
                    durable = state.clone();
                    begun = true;
                }
            },
        }
        let bad = seen.lost || seen.stuck;
        row.add(seen, || format!("seed {seed}, kill {kill}"));
        if bad {
            // What follows would only repeat it.
            break;
        }
    }
    row
}

const KEYS: u8 = 40;

fn key(n: u8) -> Key {
    Digest::of(&[&[n]]).0
}

/// Write and commit until the power is lost, or for a while. The states that may be found then, in `possible`. Whether a
/// database was there.
fn live(
    disk: &FaultyDisk,
    kind: Kind,
    from: &State,
    begun: bool,
    chance: &mut ChaCha8Rng,
    possible: &mut Vec<State>,
) -> bool {
    let Ok(mut db) = database(disk, kind) else {
        return begun;
    };
    db.keep(match chance.random_range(0..3) {
        0 => Keep::All,
        1 => Keep::State,
        _ => Keep::Newest(NonZeroU64::new(chance.random_range(1..200)).unwrap_or(NonZeroU64::MIN)),
    });
    let mut state = from.clone();
    for _ in 0..40 {
        let mut batch = Batch::new();
        for _ in 0..chance.random_range(0..6) {
            let key = key(chance.random_range(0..KEYS));
            if chance.random_bool(0.25) {
                batch.delete(key);
                state.map.remove(&key);
            } else {
                let value = vec![chance.random(); chance.random_range(0..50)];
                batch.put(key, value.clone());
                state.map.insert(key, value);
            }
        }
        if db.apply(&batch, None).is_err() {
            break;
        }
        if chance.random_bool(0.5) {
            (state.size, state.root) = (db.log().size(), db.root());
            possible.push(state.clone());
            if db.commit().is_err() {
                break;
            }
            *possible = vec![state.clone()];
        }
    }
    true
}

/// Bring `twin` to the state that was found: it takes the operations that it does not have from `db`, whose root is known to
/// be right.
fn follow(twin: &mut Db<MemoryJournal>, state: &State, db: &Database) {
    use cordee_protocol::sync::verify::verify;
    use cordee_protocol::wire::{Request, Response};
    let size = twin.log().size();
    let Some(request) = Request::operations(state.size, size, u64::MAX) else {
        return;
    };
    let (proof, operations) = db
        .log()
        .historical_proof(state.size, size, u64::MAX)
        .expect("what follows the last kill is held");
    let response = Response {
        proof,
        operations,
        pinned_nodes: None,
    };
    let (batch, _) = verify(&request, &state.root, response).expect("the root is right");
    let target = db.target();
    twin.extend(&target, &[batch]).expect("memory does not fail");
}
