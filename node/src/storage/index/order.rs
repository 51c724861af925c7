//! Sorting changes in memory.

use super::entry::name;

/// Which of some entries to take, and in which order, so that names rise and each has its last change. One for many sorts:
/// it keeps its memory, 8 bytes an entry.
///
/// Numbers sort several times as fast as entries. So a number is made of each: as many bits of the name as fit, from where the
/// names begin to differ, and the entry's index behind them. Only where these bits are alike the names are looked at.
#[derive(Debug, Default)]
pub(super) struct Order {
    numbers: Vec<u64>,
    /// The bits that are the index.
    index: u64,
}

impl Order {
    /// Order `entries`, which are fewer than 2^32, the oldest first.
    pub(super) fn of<const N: usize>(&mut self, entries: &[[u8; N]]) -> &mut Self {
        self.index = entries.len().next_power_of_two() as u64 - 1;
        let (word, bit) = differ(entries);
        let number = |(i, entry): (usize, &[u8; N])| {
            let words = name(entry).words();
            let next = words.get(word + 1).map_or(0, |next| next >> 1 >> (63 - bit));
            (words[word] << bit | next) & !self.index | i as u64
        };
        self.numbers.clear();
        self.numbers.extend(entries.iter().enumerate().map(number));
        self.numbers.sort_unstable();
        self.take_last(entries);
        self
    }

    /// Sort those that are alike, and keep of each name the last.
    fn take_last<const N: usize>(&mut self, entries: &[[u8; N]]) {
        let name = |number: u64| name(&entries[(number & self.index) as usize]);
        let numbers = &mut self.numbers;
        let (mut kept, mut start) = (0, 0);
        while let Some(&first) = numbers.get(start) {
            let alike = |number: &&u64| (**number ^ first) <= self.index;
            let end = start + numbers[start..].iter().take_while(alike).count();
            if end > start + 1 {
                numbers[start..end].sort_unstable_by_key(|&number| (name(number), number));
            }
            for i in start..end {
                if i + 1 == end || name(numbers[i]) != name(numbers[i + 1]) {
                    numbers[kept] = numbers[i];
                    kept += 1;
                }
            }
            start = end;
        }
        numbers.truncate(kept);
    }

    /// The indices of the entries to take, in order.
    pub(super) fn indices(&self) -> impl ExactSizeIterator<Item = usize> {
        self.numbers.iter().map(|number| (number & self.index) as usize)
    }
}

/// The word, and in it the bit, with which the names begin to differ; the last one if they do not.
fn differ<const N: usize>(entries: &[[u8; N]]) -> (usize, u32) {
    let first = entries.first().map_or([0; 4], |entry| name(entry).words());
    let differ = entries.iter().fold([0; 4], |mut differ, entry| {
        let words = name(entry).words();
        (0..4).for_each(|i| differ[i] |= words[i] ^ first[i]);
        differ
    });
    let word = differ.iter().position(|&word| word != 0).unwrap_or(3);
    (word, differ[word].leading_zeros().min(63))
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Entry, LONG};
    use super::super::name::Name;
    use super::*;
    use cordee_protocol::Location;
    use std::collections::BTreeMap;

    #[test]
    fn names_rise_and_each_has_its_last_change() {
        let mut order = Order::default();
        // Keys that differ in their first, their last, or one of the bytes between; or in two that no number has both of.
        for len in [0, 1, 2, 3, 500] {
            for spread in [vec![0], vec![7, 8], vec![11], vec![0, 31], vec![23, 24], vec![31]] {
                for keys in [1, 2, 90, 256] {
                    let key = |n: u64| {
                        let mut key = [3; 32];
                        spread
                            .iter()
                            .for_each(|&at| key[at] = (n * n * 7 % keys) as u8 >> (at % 2));
                        key
                    };
                    let entry = |n| Entry::new(Name(key(n)), Location::new(n)).bytes::<LONG>();
                    let entries: Vec<_> = (0..len).map(entry).collect();
                    let sorted: Vec<_> = order.of(&entries).indices().map(|i| entries[i]).collect();
                    let mut model = BTreeMap::new();
                    model.extend((0..len).map(|n| (key(n), entry(n))));
                    let model: Vec<_> = model.into_values().collect();
                    assert_eq!(sorted, model, "{len} entries, {keys} keys, bytes {spread:?}");
                }
            }
        }
    }
}
