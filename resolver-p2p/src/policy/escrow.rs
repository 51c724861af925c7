//! Penalties held back until a root is known to be satisfiable (P20).
//!
//! A peer that fails under a root has lied, or the root is wrong and nobody could have passed. Which of the two is known
//! once any answer verifies. Until then a failing peer is set aside for that root and pays nothing. Even if everybody who is
//! connected has failed, a root is not suspect before the first failure is [`EscrowConfig::settle`] old: liars are quick, and an
//! honest peer may still be on its way.
//!
//! ```text
//!            refused: set aside, held            verified
//!   open ---------------------------------+-------------------> proven   held penalties are due, later ones at once
//!     ^                                   |
//!     |  patience later                   +-------------------> suspect  held penalties are cancelled
//!     +-------------------------------------------------------------+    all failed, or patience ran out
//! ```

use super::config::EscrowConfig;
use cordee_protocol::{Digest, Location};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A root and the number of operations it is over.
pub type Root = (Digest, Location);

/// All roots under which anybody was asked lately.
#[derive(Clone, Debug)]
pub(super) struct Escrow<P> {
    config: EscrowConfig,
    roots: BTreeMap<Root, Entry<P>>,
    /// The roots in the order in which they came, for forgetting.
    order: VecDeque<Root>,
}

#[derive(Clone, Debug)]
struct Entry<P> {
    stage: Stage,
    /// Set aside under this root, with the number of refused answers.
    aside: BTreeMap<P, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing verified yet; the first failure came at this time.
    Open {
        failing_since: Option<Duration>,
        /// It is long enough ago that who has not connected by now does not count.
        settled: bool,
    },
    /// An answer verified. Who is aside stays so until then.
    Proven { until: Duration },
    /// Nobody satisfies it. Who is aside stays so until then.
    Suspect { until: Duration },
}

const OPEN: Stage = Stage::Open {
    failing_since: None,
    settled: false,
};

impl<P: Copy + Ord> Escrow<P> {
    pub(super) fn new(config: EscrowConfig) -> Self {
        Self {
            config,
            roots: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether `peer` is not to be asked under `root`.
    pub(super) fn is_aside(&self, root: &Root, peer: P) -> bool {
        self.roots
            .get(root)
            .is_some_and(|entry| entry.aside.contains_key(&peer))
    }

    /// Who failed under `root`.
    pub(super) fn aside(&self, root: &Root) -> impl Iterator<Item = P> {
        self.roots
            .get(root)
            .into_iter()
            .flat_map(|entry| entry.aside.keys().copied())
    }

    /// `peer` failed under `root`; returns whether it pays now.
    pub(super) fn on_refused(&mut self, now: Duration, root: Root, peer: P) -> bool {
        let patience = self.config.patience;
        let entry = self.entry(root);
        *entry.aside.entry(peer).or_default() += 1;
        match &mut entry.stage {
            Stage::Open { failing_since, .. } => {
                failing_since.get_or_insert(now);
                false
            }
            Stage::Proven { until } => {
                *until = now.saturating_add(patience);
                true
            }
            Stage::Suspect { .. } => false,
        }
    }

    /// An answer verified under `root`; returns who pays for having failed before.
    pub(super) fn on_verified(&mut self, now: Duration, root: Root) -> Vec<P> {
        let until = now.saturating_add(self.config.patience);
        let entry = self.entry(root);
        match entry.stage {
            Stage::Open { .. } => {
                entry.stage = Stage::Proven { until };
                entry.aside.keys().copied().collect()
            }
            Stage::Suspect { .. } => {
                // Their penalties were cancelled; from now on a failure is a lie.
                entry.stage = Stage::Proven { until };
                Vec::new()
            }
            Stage::Proven { .. } => Vec::new(),
        }
    }

    /// Everybody reachable failed under `root`: cancel what is held. Returns who failed, once per suspicion.
    pub(super) fn on_all_failed(&mut self, now: Duration, root: Root) -> Option<Vec<P>> {
        let until = now.saturating_add(self.config.patience);
        let entry = self.roots.get_mut(&root)?;
        let failing = matches!(
            entry.stage,
            Stage::Open {
                failing_since: Some(_),
                ..
            }
        );
        failing.then(|| {
            entry.stage = Stage::Suspect { until };
            entry.aside.keys().copied().collect()
        })
    }

    /// `peer` has satisfied `root` after all, on parole (P21): it may be asked under it.
    pub(super) fn on_redeemed(&mut self, root: &Root, peer: P) {
        if let Some(entry) = self.roots.get_mut(root) {
            entry.aside.remove(&peer);
        }
    }

    /// When [`Self::on_timeout`] next has work.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let settles = |entry| self.settles(entry).or_else(|| self.due(entry));
        self.roots.values().filter_map(settles).min()
    }

    /// Whether the first failure under `root` is long enough ago that everybody's failure says something.
    pub(super) fn is_settled(&self, root: &Root) -> bool {
        let stage = self.roots.get(root).map(|entry| entry.stage);
        matches!(stage, Some(Stage::Open { settled: true, .. }))
    }

    /// The roots that have settled by `now`, each once: look whether everybody failed under them.
    pub(super) fn settle(&mut self, now: Duration) -> Vec<Root> {
        let due: Vec<_> = (self.roots.iter())
            .filter(|(_, entry)| self.settles(entry).is_some_and(|due| due <= now))
            .map(|(root, _)| *root)
            .collect();
        for root in &due {
            if let Some(entry) = self.roots.get_mut(root)
                && let Stage::Open { settled, .. } = &mut entry.stage
            {
                *settled = true;
            }
        }
        due
    }

    fn settles(&self, entry: &Entry<P>) -> Option<Duration> {
        match entry.stage {
            Stage::Open {
                failing_since,
                settled: false,
            } => Some(failing_since?.saturating_add(self.config.settle)),
            _ => None,
        }
    }

    /// Let patience run out where it does; returns the roots that became suspect, with who failed.
    pub(super) fn on_timeout(&mut self, now: Duration) -> Vec<(Root, Vec<P>)> {
        let due: Vec<_> = (self.roots.iter())
            .filter(|(_, entry)| self.due(entry).is_some_and(|due| due <= now))
            .map(|(root, _)| *root)
            .collect();
        let mut suspect = Vec::new();
        for root in due {
            if let Some(failed) = self.on_all_failed(now, root) {
                suspect.push((root, failed));
            } else if let Some(entry) = self.roots.get_mut(&root) {
                entry.aside.clear();
                if let Stage::Suspect { .. } = entry.stage {
                    entry.stage = OPEN;
                }
            }
        }
        suspect
    }

    fn due(&self, entry: &Entry<P>) -> Option<Duration> {
        match entry.stage {
            Stage::Open { failing_since, .. } => {
                failing_since.map(|since| since.saturating_add(self.config.patience))
            }
            Stage::Suspect { until } => Some(until),
            Stage::Proven { until } => (!entry.aside.is_empty()).then_some(until),
        }
    }

    fn entry(&mut self, root: Root) -> &mut Entry<P> {
        if !self.roots.contains_key(&root) {
            if self.order.len() >= self.config.roots.get()
                && let Some(oldest) = self.order.pop_front()
            {
                self.roots.remove(&oldest);
            }
            self.order.push_back(root);
        }
        self.roots.entry(root).or_insert_with(|| Entry {
            stage: OPEN,
            aside: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Root = (Digest([1; 32]), Location::ZERO);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn p20_held_penalties_fall_due_with_the_first_success() {
        let mut escrow = Escrow::new(EscrowConfig::default());
        assert!(!escrow.on_refused(secs(0), ROOT, "liar"));
        assert!(escrow.is_aside(&ROOT, "liar") && !escrow.is_aside(&ROOT, "honest"));
        assert_eq!(escrow.on_verified(secs(1), ROOT), ["liar"]);
        assert!(escrow.on_verified(secs(2), ROOT).is_empty(), "once");
        assert!(
            escrow.on_refused(secs(3), ROOT, "late liar"),
            "no escrow any more"
        );
        assert_eq!(
            escrow.on_all_failed(secs(4), ROOT),
            None,
            "a proven root is never suspect"
        );
    }

    #[test]
    fn p20_a_suspect_root_cancels_and_starts_again() {
        let mut escrow = Escrow::new(EscrowConfig::default());
        escrow.on_refused(secs(0), ROOT, 1);
        assert_eq!(escrow.poll_timeout(), Some(secs(5)));
        assert!(escrow.settle(secs(4)).is_empty() && !escrow.is_settled(&ROOT));
        assert_eq!(escrow.settle(secs(5)), [ROOT]);
        assert!(
            escrow.settle(secs(6)).is_empty() && escrow.is_settled(&ROOT),
            "once"
        );
        assert_eq!(escrow.poll_timeout(), Some(secs(60)));
        assert!(escrow.on_timeout(secs(59)).is_empty());
        assert_eq!(escrow.on_timeout(secs(60)), [(ROOT, vec![1])]);
        assert!(escrow.is_aside(&ROOT, 1), "not asked over and over");
        assert!(escrow.on_timeout(secs(120)).is_empty());
        assert!(!escrow.is_aside(&ROOT, 1));
        assert_eq!(escrow.poll_timeout(), None);
        assert!(
            escrow.on_verified(secs(121), ROOT).is_empty(),
            "cancelled is cancelled"
        );
    }

    #[test]
    fn no_patience_is_too_long() {
        let mut escrow = Escrow::new(EscrowConfig {
            patience: Duration::MAX,
            ..EscrowConfig::default()
        });
        escrow.on_refused(secs(1), ROOT, 1);
        escrow.settle(secs(6));
        assert_eq!(escrow.poll_timeout(), Some(Duration::MAX));
        assert!(escrow.on_all_failed(secs(2), ROOT).is_some());
        escrow.on_verified(secs(3), ROOT);
        assert!(escrow.on_refused(secs(4), ROOT, 2));
        assert_eq!(escrow.poll_timeout(), Some(Duration::MAX));
    }

    #[test]
    fn roots_are_forgotten_oldest_first() {
        let config = EscrowConfig {
            roots: std::num::NonZeroUsize::new(2).unwrap(),
            ..EscrowConfig::default()
        };
        let mut escrow = Escrow::new(config);
        for n in 0..5 {
            escrow.on_refused(secs(0), (Digest([n; 32]), Location::ZERO), 1);
        }
        let kept: Vec<_> = escrow.roots.keys().map(|root| root.0.0[0]).collect();
        assert_eq!(kept, [3, 4]);
    }
}
