//! Which locations are spoken for, and the first that is not (ENGINE E35 to E37, W3.1, W20.1).

use crate::mmr::Location;
use std::collections::BTreeMap;
use std::ops::Range;

/// A set of locations, kept as runs that neither overlap nor touch. Each change and each search costs `O(log runs)`,
/// amortised over what an insertion merges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Start to end.
    runs: BTreeMap<Location, Location>,
}

impl Coverage {
    /// Cover `range`; an empty or inverted one changes nothing.
    pub fn insert(&mut self, range: Range<Location>) {
        if range.start >= range.end {
            return;
        }
        let Range { mut start, mut end } = range;
        if let Some((&before, &reach)) = self.runs.range(..=start).next_back()
            && reach >= start
        {
            start = before;
            end = end.max(reach);
        }
        while let Some((&next, &reach)) = self.runs.range(start..=end).next() {
            self.runs.remove(&next);
            end = end.max(reach);
        }
        self.runs.insert(start, end);
    }

    /// Uncover `range`.
    pub fn remove(&mut self, range: Range<Location>) {
        if range.start >= range.end {
            return;
        }
        if let Some((&before, &reach)) = self.runs.range(..range.start).next_back()
            && reach > range.start
        {
            self.runs.insert(before, range.start);
            if reach > range.end {
                self.runs.insert(range.end, reach);
            }
        }
        while let Some((&start, &reach)) = self.runs.range(range.clone()).next() {
            self.runs.remove(&start);
            if reach > range.end {
                self.runs.insert(range.end, reach);
            }
        }
    }

    /// The first run of uncovered locations inside `within`, as long as it is (E36).
    pub fn first_gap(&self, within: Range<Location>) -> Option<Range<Location>> {
        let covered = self
            .runs
            .range(..=within.start)
            .next_back()
            .map(|(_, &reach)| reach);
        let start = covered.map_or(within.start, |reach| reach.max(within.start));
        let next = self.runs.range(start..).next().map(|(&next, _)| next);
        let end = next.map_or(within.end, |next| next.min(within.end));
        (start < end).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Location {
        Location::new(n).unwrap()
    }

    #[test]
    fn the_first_hole_is_found() {
        // T13.3.1 to T13.3.18, row by row; E35, E36, W3.1: stored (start, count), requested starts, batch size.
        type Row = (
            &'static str,
            (u64, u64),
            &'static [(u64, u64)],
            &'static [u64],
            u64,
            Option<(u64, u64)>,
        );
        const SINGLE: [(u64, u64); 11] = [
            (0, 1),
            (1, 1),
            (2, 1),
            (3, 1),
            (4, 1),
            (5, 1),
            (6, 1),
            (7, 1),
            (8, 1),
            (9, 1),
            (10, 1),
        ];
        let rows: [Row; 18] = [
            ("empty state", (0, 11), &[], &[], 5, Some((0, 11))),
            ("inverted range", (10, 6), &[], &[], 5, None),
            ("one-element range", (5, 6), &[], &[], 5, Some((5, 6))),
            ("overlapping requests", (0, 11), &[], &[0, 3, 8], 5, None),
            (
                "request reaching beyond the end",
                (0, 11),
                &[],
                &[8],
                5,
                Some((0, 8)),
            ),
            ("requests only", (0, 11), &[], &[0, 7], 4, Some((4, 7))),
            (
                "single stored operations",
                (0, 11),
                &[(0, 1), (2, 1), (4, 1)],
                &[],
                5,
                Some((1, 2)),
            ),
            ("gap after a batch", (0, 11), &[(0, 3)], &[], 5, Some((3, 11))),
            (
                "adjacent single operations",
                (0, 11),
                &[(0, 1), (1, 1)],
                &[],
                5,
                Some((2, 11)),
            ),
            ("all covered", (0, 11), &SINGLE, &[], 5, None),
            ("batch size one", (0, 11), &[], &[2, 5, 8], 1, Some((0, 2))),
            (
                "stored starts before the range",
                (5, 11),
                &[(0, 8)],
                &[],
                5,
                Some((8, 11)),
            ),
            (
                "stored ends beyond the range",
                (0, 7),
                &[(4, 5)],
                &[],
                5,
                Some((0, 4)),
            ),
            (
                "batch larger than the range",
                (0, 6),
                &[],
                &[2],
                100,
                Some((0, 2)),
            ),
            (
                "covered exactly to the end",
                (0, 11),
                &[(0, 5), (8, 3)],
                &[],
                5,
                Some((5, 8)),
            ),
            (
                "mixed, gap at the start",
                (0, 16),
                &[(2, 3), (10, 2)],
                &[6, 13],
                3,
                Some((0, 2)),
            ),
            (
                "mixed, gap in the middle",
                (0, 16),
                &[(0, 2), (8, 2)],
                &[3, 12],
                4,
                Some((2, 3)),
            ),
            (
                "mixed, interleaved",
                (0, 11),
                &[(1, 2), (6, 2)],
                &[3, 8],
                2,
                Some((0, 1)),
            ),
        ];
        for (case, (start, end), stored, requested, batch, gap) in rows {
            let mut coverage = Coverage::default();
            for &(start, count) in stored {
                coverage.insert(at(start)..at(start + count));
            }
            for &start in requested {
                coverage.insert(at(start)..at(start + batch));
            }
            let found = coverage.first_gap(at(start)..at(end));
            assert_eq!(found, gap.map(|(start, end)| at(start)..at(end)), "{case}");
        }
    }

    #[test]
    fn runs_agree_with_a_list_of_flags() {
        // W20.1: every insertion and removal of runs below 40, against a flag for each location. That each costs a logarithm is
        // the ordered map's; here it is shown to be right, and never to hold more runs than there are.
        let mut step = 1u64;
        let mut next = |below: u64| {
            step = step
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (step >> 33) % below
        };
        let mut coverage = Coverage::default();
        let mut flags = [false; 40];
        for round in 0..5000 {
            let (a, b) = (next(40), next(41));
            let cover = next(2) == 0;
            if cover {
                coverage.insert(at(a)..at(b));
            } else {
                coverage.remove(at(a)..at(b));
            }
            for location in a..b {
                flags[location as usize] = cover;
            }
            let (from, to) = (next(40), 40);
            let start = (from..to).find(|&location| !flags[location as usize]);
            let expected = start.map(|start| {
                let end = (start..to)
                    .find(|&location| flags[location as usize])
                    .unwrap_or(to);
                at(start)..at(end)
            });
            assert_eq!(coverage.first_gap(at(from)..at(to)), expected, "round {round}");
            let begins = |&at: &usize| flags[at] && (at == 0 || !flags[at - 1]);
            assert_eq!(
                coverage.runs.len(),
                (0..40).filter(begins).count(),
                "round {round}"
            );
        }
    }
}
