//! Whom to ask, of those that may be asked (P30, P32).
//!
//! # Where this differs from P32, and why
//! P32 samples two eligible peers and takes the better one, and picks blindly one time in ten. Where links differ by a factor
//! of a thousand, the better one of two is slow as a rule, and a blind pick holds its slot a hundred times as long as a good
//! one: with 1,000 peers that came to 8 % of what they could carry. So all eligible peers are looked at, and what is limited
//! is not how often a pick explores, but how many of the slots in use do so, fresh and blind picks together.
//!
//! # Soon, and much
//! A request that ends soon frees its slot soon. But a line that is full brings no more by one request more, even if that
//! request ends before any other peer would have answered: with 64 slots and hundreds of peers that is a slot lost. So of those
//! who would answer within [`SOON`] times the time of the first, the one is picked whose line brings most by it ([`Line::gain`]).

use rand::{Rng, RngExt};

/// Who answers within so many times the time of the quickest is as good as that one.
const SOON: f64 = 2.0;

/// The way to a peer, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Bytes a second.
    pub(super) rate: f64,
    /// Seconds of a round trip without data.
    pub(super) trip: f64,
}

impl Line {
    /// Seconds until the last of `bytes` has come that are asked for or in flight.
    pub(super) fn seconds(&self, bytes: u64) -> f64 {
        self.trip + bytes as f64 / self.rate
    }

    /// Bytes a second that one more request of `bytes` brings where `open` are: as much as the others, until the line is full.
    pub(super) fn gain(&self, open: usize, bytes: u64) -> f64 {
        let one = bytes as f64 / self.seconds(bytes).max(1e-9);
        let carried = |requests: usize| (requests as f64 * one).min(self.rate);
        carried(open + 1) - carried(open)
    }
}

/// A peer that could be asked now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<P> {
    /// Its name.
    pub(super) peer: P,
    /// Seconds until it would have answered.
    pub(super) seconds: f64,
    /// Bytes a second more that it would bring.
    pub(super) gain: f64,
    /// Never asked before: it gets one pick ahead of all others (P30).
    pub(super) fresh: bool,
}

/// Whom to take, and whether that is to learn of it rather than to be answered soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick<P> {
    pub(super) peer: P,
    pub(super) explores: bool,
}

/// Pick one: who brings most, of those who answer soon. If `may_explore`, a fresh one goes before all, and a share of the picks,
/// `explore`, is blind.
pub(super) fn pick<P: Copy>(
    candidates: &[Candidate<P>],
    may_explore: bool,
    explore: f64,
    rng: &mut impl Rng,
) -> Option<Pick<P>> {
    let n = candidates.len();
    if n < 2 {
        let (peer, explores) = (candidates.first()?.peer, false);
        return Some(Pick { peer, explores });
    }
    // Equals are alike, whatever they are called: many nodes must not all begin with the same.
    let (from, to) = candidates.split_at(rng.random_range(0..n));
    let any = || to.iter().chain(from);
    let fresh = any().find(|candidate| candidate.fresh);
    let blind = any().next().filter(|_| rng.random_bool(explore.clamp(0.0, 1.0)));
    if let Some(learnt) = fresh.or(blind).filter(|_| may_explore) {
        let (peer, explores) = (learnt.peer, true);
        return Some(Pick { peer, explores });
    }
    let first = any().map(|candidate| candidate.seconds).min_by(f64::total_cmp)?;
    let soon = any().filter(|candidate| candidate.seconds <= first * SOON);
    let best = soon.max_by(|a, b| a.gain.total_cmp(&b.gain).then(b.seconds.total_cmp(&a.seconds)))?;
    let (peer, explores) = (best.peer, false);
    Some(Pick { peer, explores })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn candidate(peer: u8, seconds: f64, fresh: bool) -> Candidate<u8> {
        Candidate {
            peer,
            seconds,
            gain: 1.0,
            fresh,
        }
    }

    #[test]
    fn p32_who_answers_first_is_picked_and_nobody_never() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let candidates = [
            candidate(0, 1.0, false),
            candidate(1, 2.0, false),
            candidate(2, 100.0, false),
        ];
        let mut picks = [0; 3];
        for _ in 0..3000 {
            let pick = pick(&candidates, true, 0.1, &mut rng).unwrap();
            picks[usize::from(pick.peer)] += 1;
            assert!(pick.explores || pick.peer == 0);
            let sure = super::pick(&candidates, false, 0.1, &mut rng).unwrap();
            assert_eq!((sure.peer, sure.explores), (0, false));
        }
        // A tenth of the picks is blind, a third of those fall on each.
        assert!(
            (60..150).contains(&picks[1]) && (60..150).contains(&picks[2]),
            "{picks:?}"
        );
    }

    #[test]
    fn p30_a_new_peer_goes_before_all_if_there_is_room_to_explore() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (known, fresh) = (candidate(0, 1.0, false), candidate(9, 1e9, true));
        let mut pick = |candidates: &[_], may| pick(candidates, may, 0.0, &mut rng).map(|pick| pick.peer);
        assert_eq!(pick(&[known, fresh], true), Some(9));
        assert_eq!(pick(&[known, fresh], false), Some(0));
        assert_eq!(pick(&[fresh], false), Some(9), "if there is nobody else");
        assert_eq!(pick(&[], true), None);
    }

    #[test]
    fn p32_equals_are_picked_alike() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let candidates: Vec<_> = (0..4).map(|peer| candidate(peer, 1.0, true)).collect();
        let mut picks = [0; 4];
        for _ in 0..400 {
            picks[usize::from(pick(&candidates, false, 0.0, &mut rng).unwrap().peer)] += 1;
        }
        assert!(picks.iter().all(|picks| (60..140).contains(picks)), "{picks:?}");
    }
}
