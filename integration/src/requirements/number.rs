//! Numbers of requirements, as they are written: `E31`, `W2.1`, `T13.2.7`.

use std::fmt;
use std::str::FromStr;

/// A letter and what follows it, `W2.1` as `W` and 2, 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    letter: char,
    parts: Vec<u32>,
}

impl Number {
    /// Whether a test that names this names `other`: the same, or a part of it, as W14.1 is of W14.
    pub fn names(&self, other: &Self) -> bool {
        self.letter == other.letter && other.parts.starts_with(&self.parts)
    }

    /// Whether it is a row of a table of tests.
    pub fn is_of_a_test(&self) -> bool {
        self.letter == 'T'
    }

    /// The numbers from this to `last`; `None` if they differ in more than their last part, or fall.
    fn to(&self, last: &Self) -> Option<Vec<Self>> {
        let ((from, before), (to, same)) = (self.parts.split_last()?, last.parts.split_last()?);
        let fits = self.letter == last.letter && before == same && from <= to;
        fits.then(|| {
            let parts = (*from..=*to).map(|part| [before, &[part]].concat());
            let letter = self.letter;
            parts.map(|parts| Self { letter, parts }).collect()
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter)?;
        for (i, part) in self.parts.iter().enumerate() {
            write!(f, "{}{part}", if i > 0 { "." } else { "" })?;
        }
        Ok(())
    }
}

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

impl FromStr for Number {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let mut chars = text.chars();
        let letter = chars
            .next()
            .filter(|letter| "EWTPF".contains(*letter))
            .ok_or(NotANumber)?;
        let read = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok())?
        };
        let parts: Option<Vec<u32>> = chars.as_str().split('.').map(read).collect();
        let parts = parts.ok_or(NotANumber)?;
        Ok(Self { letter, parts })
    }
}

/// The numbers that `text` names, ranges expanded, in its order.
pub fn named_in(text: &str) -> Vec<Number> {
    let mut named = Vec::new();
    // The number before, and whether `to` has followed it.
    let mut before: Option<(Number, bool)> = None;
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
    for word in words
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty())
    {
        let Ok(number) = word.parse::<Number>() else {
            before = before
                .filter(|(_, to)| !to && word == "to")
                .map(|(number, _)| (number, true));
            continue;
        };
        match &before {
            Some((first, true)) => match first.to(&number) {
                Some(range) => named.extend(range.into_iter().skip(1)),
                None => named.push(number.clone()),
            },
            _ => named.push(number.clone()),
        }
        before = Some((number, false));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> String {
        let named = named_in(text);
        named.iter().map(Number::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn numbers_are_found_in_texts_and_ranges_expanded() {
        for (text, expected) in [
            ("E47, E48: in order", "E47 E48"),
            ("E20 to E23", "E20 E21 E22 E23"),
            ("W2.1 to W2.3, W11.2", "W2.1 W2.2 W2.3 W11.2"),
            ("E62 to\n   E64.", "E62 E63 E64"),
            ("T13.2.7 (E50)", "T13.2.7 E50"),
            ("PEERS P20; F1.9.", "P20 F1.9"),
            ("E5 to F7, E9 to E7", "E5 F7 E9 E7"),
            ("E5 comes to E7", "E5 E7"),
            ("E, EE5, E5x, xE5, E5_6, W2., ENGINE 13.3", "W2"),
            ("test_E5 e5 E1..2 G4", ""),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
    }

    #[test]
    fn a_number_names_its_parts_and_no_other() {
        for (name, other, expected) in [
            ("W14", "W14.1", true),
            ("W14.1", "W14.1", true),
            ("W14.1", "W14", false),
            ("W1", "W14.1", false),
            ("E1", "E14", false),
            ("T13.2", "T13.2.7", true),
            ("E14", "W14", false),
        ] {
            let number = |text: &str| text.parse::<Number>().unwrap();
            assert_eq!(number(name).names(&number(other)), expected, "{name}, {other}");
        }
    }
}
