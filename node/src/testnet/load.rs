//! What a publisher is given to write, so many writes a second: seeded lines of `cordee apply`. Pure: the time is an argument.

use cordee_protocol::Digest;
use cordee_protocol::db::{Family, Kind};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Bytes of values in a batch, at most, and of keys: in hex they are half of what the node takes over HTTP.
const MAX_BYTES: u64 = 2 << 20;

/// What could not be written for longer is not made up for: a publisher that was away is not buried.
const MAX_DEBT: Duration = Duration::from_secs(1);

/// The writes of one testnet.
#[derive(Debug)]
pub struct Load {
    family: Family,
    value_size: usize,
    rate: u64,
    /// Keys of the database: about half of the puts are updates where a kind has them.
    keys: u64,
    chance: ChaCha8Rng,
    /// Up to when everything is written.
    paid: Duration,
    written: u64,
}

impl Load {
    /// `rate` writes a second from `now` on into a database of `kind` that was filled with `keys` operations.
    pub fn new(kind: Kind, value_size: usize, rate: u64, keys: u64, seed: u64, now: Duration) -> Self {
        Self {
            family: kind.family(),
            value_size: kind.value_size().unwrap_or(value_size),
            rate: rate.max(1),
            keys: keys.max(1),
            chance: ChaCha8Rng::seed_from_u64(seed),
            paid: now,
            written: 0,
        }
    }

    /// Writes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The batch that is due at `now`, if one is.
    pub fn due(&mut self, now: Duration) -> Option<String> {
        self.paid = self.paid.max(now.saturating_sub(MAX_DEBT));
        let owed = now.saturating_sub(self.paid).as_micros() * u128::from(self.rate) / 1_000_000;
        let fitting = MAX_BYTES / (32 + self.value_size as u64) + 1;
        let writes = u64::try_from(owed).unwrap_or(u64::MAX).min(fitting);
        if writes == 0 {
            return None;
        }
        self.paid += Duration::from_micros(writes * 1_000_000 / self.rate);
        let body = match self.family {
            Family::Keyless => {
                let values: Vec<_> = (0..writes).map(|_| self.value()).collect();
                serde_json::json!({ "append": values })
            }
            family => {
                let pairs: Vec<_> = (0..writes)
                    .map(|n| (self.key(family, self.written + n), self.value()))
                    .collect();
                serde_json::json!({ "put": pairs })
            }
        };
        self.written += writes;
        Some(body.to_string())
    }

    /// Keys of immutable databases are all new; others are of a range, twice as large as what was there.
    fn key(&mut self, family: Family, count: u64) -> String {
        let number = match family {
            Family::Immutable => count,
            _ => self.chance.random_range(0..self.keys.saturating_mul(2)),
        };
        Digest::of(&[b"load", &number.to_be_bytes()]).to_string()
    }

    fn value(&mut self) -> String {
        let mut value = vec![0; self.value_size];
        self.chance.fill_bytes(&mut value);
        hex::encode(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writes::Writes;
    use cordee_protocol::db::KINDS;

    #[test]
    fn every_kind_takes_what_is_due_and_no_debt_is_older_than_a_second() {
        for kind in KINDS {
            let kind = Kind::parse(kind, kind.ends_with("fixed").then_some(10)).unwrap();
            let start = Duration::from_secs(7);
            let mut load = Load::new(kind, 10, 1000, 50, 3, start);
            assert_eq!(load.due(start), None);
            for (after, writes) in [(100, 100), (150, 50), (1150, 1000), (60_000, 1000)] {
                let before = load.written();
                let body = load.due(start + Duration::from_millis(after)).unwrap();
                Writes::parse(&body, kind).unwrap();
                assert_eq!(load.written() - before, writes, "{kind} after {after} ms");
            }
        }
    }

    #[test]
    fn a_batch_is_bounded() {
        let kind = Kind::parse(KINDS[0], None).unwrap();
        let mut load = Load::new(kind, 1 << 20, 1_000_000, 5, 3, Duration::ZERO);
        assert!(load.due(Duration::from_secs(5)).unwrap().len() < 8 << 20);
    }
}
