//! Trust: one number per peer, moved by what it does (P10 to P19).
//!
//! A lie that an honest peer cannot tell bans at once, whatever good the peer did before. Faults that an honest peer may
//! have only make it the last to be asked. Local trouble is never an event here (P17).

use super::config::TrustConfig;
use std::collections::VecDeque;
use std::time::Duration;

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// An answer that no honest peer gives: refused under a root that others satisfied, or not of the asked shape (P10).
    Lie,
    /// Said it held a range, and then not (P12).
    Unavailable,
    /// No answer by the deadline, or a substream that broke (P14).
    Timeout,
    /// Went away with a request open, for the third time (P15).
    Disconnect,
    /// The operator said so.
    Operator,
    /// Showed, outside of this protocol, what no honest peer passes on.
    Forgery,
}

/// An offence and when it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misdeed {
    /// What.
    pub offence: Offence,
    /// When.
    pub at: Duration,
}

impl Offence {
    /// Every offence.
    pub const ALL: [Self; 6] = [
        Self::Lie,
        Self::Unavailable,
        Self::Timeout,
        Self::Disconnect,
        Self::Operator,
        Self::Forgery,
    ];

    /// The offence with this label.
    pub fn labelled(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|offence| offence.label() == label)
    }

    /// One word, for labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Lie => "lie",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Disconnect => "disconnect",
            Self::Operator => "operator",
            Self::Forgery => "forgery",
        }
    }

    /// A few words, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Lie => "gave an answer that fails verification",
            Self::Unavailable => "says it holds what it does not",
            Self::Timeout => "does not answer in time",
            Self::Disconnect => "disconnects with requests open",
            Self::Operator => "was banned by the operator",
            Self::Forgery => "passed on a forged checkpoint",
        }
    }

    fn points(self) -> f64 {
        match self {
            Self::Lie | Self::Operator | Self::Forgery => 50.0,
            Self::Disconnect => 20.0,
            Self::Unavailable => 5.0,
            Self::Timeout => 2.0,
        }
    }

    /// Whether it costs a ban at once; the others cost trust.
    pub(crate) fn is_provable(self) -> bool {
        matches!(self, Self::Lie | Self::Operator | Self::Forgery)
    }
}

/// The trust of one peer, -100 to 10.
#[derive(Clone, Debug)]
pub(super) struct Score {
    points: f64,
    at: Duration,
    trusted: bool,
    ban: Option<Ban>,
    bans: u32,
    offences: u64,
    /// The newest offences, oldest first.
    log: VecDeque<Misdeed>,
}

/// A ban under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// What for.
    pub reason: Offence,
    /// When it ends.
    pub until: Duration,
}

/// What is kept of a peer's trust beyond its connection and this node's process (P22).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// -100 to 10.
    pub trust: f64,
    /// When it was that.
    pub at: Duration,
    /// Offences of any kind.
    pub offences: u64,
    /// The newest of them, oldest first.
    pub log: Vec<Misdeed>,
    /// Bans so far: the next is four times as long for each.
    pub bans: u32,
    /// The ban under way.
    pub ban: Option<Ban>,
}

impl Score {
    /// A peer that nothing is known of.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            points: 0.0,
            at: now,
            trusted: false,
            ban: None,
            bans: 0,
            offences: 0,
            log: VecDeque::new(),
        }
    }

    /// Trust at `now`.
    pub(super) fn points(&self, now: Duration, config: &TrustConfig) -> f64 {
        if self.ban.is_some() {
            return self.points;
        }
        let halvings = now.saturating_sub(self.at).as_secs_f64() / config.half_life.as_secs_f64().max(1e-9);
        self.points * (-halvings).exp2()
    }

    /// Whether the peer is asked only when nobody else is eligible.
    pub(super) fn is_limited(&self, now: Duration, config: &TrustConfig) -> bool {
        self.points(now, config) <= config.limited_at
    }

    /// The ban under way.
    pub(super) fn ban(&self) -> Option<Ban> {
        self.ban
    }

    /// Offences so far.
    pub(super) fn offences(&self) -> u64 {
        self.offences
    }

    /// The newest offences, oldest first.
    pub(super) fn log(&self) -> impl Iterator<Item = Misdeed> {
        self.log.iter().copied()
    }

    /// What is kept of it when the node stops (P22).
    pub(super) fn standing(&self, now: Duration, config: &TrustConfig) -> Standing {
        Standing {
            trust: self.points(now, config),
            at: now,
            offences: self.offences,
            log: self.log().collect(),
            bans: self.bans,
            ban: self.ban,
        }
    }

    /// Put back what was kept. A clock that was set meanwhile makes no ban longer than one can be (P22).
    pub(super) fn restore(&mut self, now: Duration, kept: &Standing, config: &TrustConfig) {
        let trust = if kept.trust.is_finite() { kept.trust } else { 0.0 };
        self.points = trust.clamp(-100.0, 10.0);
        self.at = kept.at.min(now);
        self.offences = kept.offences;
        let newest = kept.log.len().saturating_sub(config.offences_kept);
        self.log = kept.log[newest..].iter().copied().collect();
        self.bans = kept.bans;
        let stands = |ban: &Ban| !self.trusted || ban.reason == Offence::Operator;
        self.ban = kept.ban.filter(stands).map(|ban| Ban {
            until: ban.until.min(now.saturating_add(config.ban_at_most)),
            ..ban
        });
    }

    /// The ban ends before its time: on parole the peer has told the truth (P21). Returns whether there was one.
    pub(super) fn release(&mut self, now: Duration, config: &TrustConfig) -> bool {
        let banned = self.ban.take().is_some();
        if banned {
            (self.points, self.at) = (config.limited_at, now);
        }
        banned
    }

    /// A configured peer is never banned and pays little.
    pub(super) fn trust(&mut self) {
        self.trusted = true;
        self.ban = None;
    }

    /// Whether the peer is a configured one.
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// A share of a full batch verified (P18).
    pub(super) fn on_verified(&mut self, now: Duration, share: f64, config: &TrustConfig) {
        self.settle(now, config);
        if self.ban.is_none() {
            self.points = (self.points + 0.25 * share.clamp(0.0, 1.0)).min(10.0);
        }
    }

    /// Take the points for `offence`; returns the ban that follows.
    pub(super) fn on_offence(
        &mut self,
        now: Duration,
        offence: Offence,
        config: &TrustConfig,
    ) -> Option<Ban> {
        self.offences = self.offences.saturating_add(1);
        self.log.push_back(Misdeed { offence, at: now });
        if self.log.len() > config.offences_kept {
            self.log.pop_front();
        }
        if self.ban.is_some() {
            return None;
        }
        self.settle(now, config);
        // The operator's word stands above the configuration.
        if self.trusted && offence != Offence::Operator {
            let points = offence.points().min(config.trusted_at_most);
            // Never so low that a ban would follow, even if the ban line is moved.
            self.points = (self.points - points).max(config.unprovable_floor.max(config.ban_at + 1.0));
            return None;
        }
        if !offence.is_provable() {
            let floor = config.unprovable_floor.min(self.points);
            self.points = (self.points - offence.points()).max(floor);
        } else {
            // Good work buys no lie.
            self.points = (self.points - offence.points()).min(config.ban_at).max(-100.0);
        }
        (self.points <= config.ban_at).then(|| self.ban_for(now, offence, config))
    }

    /// End the ban if it is over; returns whether it ended now.
    pub(super) fn on_timeout(&mut self, now: Duration, config: &TrustConfig) -> bool {
        self.ban.is_some_and(|ban| ban.until <= now) && self.release(now, config)
    }

    /// Forget everything; returns whether a ban ended by it.
    pub(super) fn pardon(&mut self, now: Duration) -> bool {
        let banned = self.ban.is_some();
        *self = Self {
            trusted: self.trusted,
            ..Self::new(now)
        };
        banned
    }

    fn ban_for(&mut self, now: Duration, reason: Offence, config: &TrustConfig) -> Ban {
        let longer = 4u32.saturating_pow(self.bans);
        self.bans = self.bans.saturating_add(1);
        let time = config.ban_for.saturating_mul(longer).min(config.ban_at_most);
        let ban = Ban {
            reason,
            until: now + time,
        };
        self.ban = Some(ban);
        ban
    }

    fn settle(&mut self, now: Duration, config: &TrustConfig) {
        self.points = self.points(now, config);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Offence::{Disconnect, Lie, Timeout, Unavailable};

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn lies_ban_and_faults_only_limit() {
        // Case, verified batches before, offences, seconds between, banned, limited.
        for (case, good, offences, gap, banned, limited) in [
            ("P10: one lie is enough", 0, vec![Lie], 0, true, true),
            ("P10: good work buys no lie", 100, vec![Lie], 0, true, true),
            ("P14: ten timeouts", 0, vec![Timeout; 10], 0, false, true),
            ("P14: nine timeouts", 0, vec![Timeout; 9], 0, false, false),
            ("P14: slow for a day", 0, vec![Timeout; 1000], 80, false, true),
            ("P15: the third disconnect", 0, vec![Disconnect], 0, false, true),
            (
                "P12: a hundred gaps never ban",
                0,
                vec![Unavailable; 100],
                0,
                false,
                true,
            ),
            (
                "P19: two gaps an hour apart",
                0,
                vec![Unavailable; 2],
                3600,
                false,
                false,
            ),
        ] {
            let config = TrustConfig::default();
            let mut score = Score::new(secs(0));
            for _ in 0..good {
                score.on_verified(secs(0), 1.0, &config);
            }
            let mut now = secs(0);
            let mut bans = 0;
            for offence in offences {
                now += secs(gap);
                bans += usize::from(score.on_offence(now, offence, &config).is_some());
            }
            assert_eq!(bans == 1, banned, "{case}");
            assert_eq!(score.is_limited(now, &config), limited, "{case}");
        }
    }

    #[test]
    fn p19_bans_grow_end_and_do_not_decay() {
        let config = TrustConfig::default();
        let mut score = Score::new(secs(0));
        let mut now = secs(0);
        for hours in [1, 4, 16, 24, 24] {
            let ban = score.on_offence(now, Lie, &config).unwrap();
            assert_eq!(ban.until - now, secs(3600 * hours));
            assert_eq!(score.on_offence(now, Lie, &config), None, "one ban at a time");
            assert!(!score.on_timeout(ban.until - secs(1), &config));
            assert!(score.points(ban.until - secs(1), &config) <= -50.0);
            now = ban.until;
            assert!(score.on_timeout(now, &config));
            assert_eq!(score.points(now, &config), -20.0);
        }
        assert_eq!(score.points(now + secs(600), &config), -10.0);
        assert_eq!(score.points(now + secs(1200), &config), -5.0);
    }

    #[test]
    fn p18_trust_has_a_ceiling_and_p19_configured_peers_are_never_banned() {
        let config = TrustConfig::default();
        let mut score = Score::new(secs(0));
        for _ in 0..1000 {
            score.on_verified(secs(0), 1.0, &config);
        }
        assert_eq!(score.points(secs(0), &config), 10.0);
        score.trust();
        for _ in 0..1000 {
            assert_eq!(score.on_offence(secs(0), Lie, &config), None);
        }
        assert_eq!(score.points(secs(0), &config), -45.0);
        assert!(score.on_offence(secs(0), Offence::Operator, &config).is_some());
    }
}
