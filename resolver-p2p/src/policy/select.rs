//! Whom to ask, of those that may be asked (P32).

use rand::{Rng, RngExt};

/// A peer that could be asked now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<P> {
    /// Its name.
    pub(super) peer: P,
    /// Seconds until it would have answered: (bytes in flight + request) / rate.
    pub(super) seconds: f64,
    /// Never asked before: it gets one pick ahead of all others (P30).
    pub(super) fresh: bool,
}

/// Pick one: a fresh one first; else of two at random the faster; one pick in `1 / explore` is blind.
pub(super) fn pick<P: Copy>(candidates: &[Candidate<P>], explore: f64, rng: &mut impl Rng) -> Option<P> {
    if let Some(fresh) = candidates.iter().find(|candidate| candidate.fresh) {
        return Some(fresh.peer);
    }
    let n = candidates.len();
    if n < 2 {
        return candidates.first().map(|only| only.peer);
    }
    let first = rng.random_range(0..n);
    // Any other than the first, each alike.
    let second = (first + rng.random_range(1..n)) % n;
    let blind = rng.random_bool(explore.clamp(0.0, 1.0));
    let (a, b) = (&candidates[first], &candidates[second]);
    Some(if blind || a.seconds <= b.seconds { a } else { b }.peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn p32_the_fast_are_picked_more_and_nobody_never() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let candidate = |peer, seconds| Candidate {
            peer,
            seconds,
            fresh: false,
        };
        let candidates = [candidate(0, 1.0), candidate(1, 2.0), candidate(2, 100.0)];
        let mut picks = [0; 3];
        for _ in 0..3000 {
            picks[pick(&candidates, 0.1, &mut rng).unwrap()] += 1;
        }
        assert!(picks[0] > picks[1] && picks[1] > picks[2], "{picks:?}");
        // A tenth of the picks is blind, a third of those fall on the slowest.
        assert!((50..200).contains(&picks[2]), "{picks:?}");

        let fresh = Candidate {
            peer: 9,
            seconds: 1e9,
            fresh: true,
        };
        assert_eq!(pick(&[candidates[0], fresh], 0.0, &mut rng), Some(9), "P30");
        assert_eq!(pick(&candidates[2..], 0.0, &mut rng), Some(2));
        assert_eq!(pick::<u8>(&[], 0.0, &mut rng), None);
    }
}
