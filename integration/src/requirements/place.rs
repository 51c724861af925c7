//! Where code names a requirement: each comment that does, by file and line.

use super::number::{Number, named_in};
use std::fmt;

/// One line that names a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the workspace's folder on.
    pub file: String,
    /// From 1 on.
    pub line: usize,
    /// The comment.
    pub text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}  {}", self.file, self.line, self.text)
    }
}

/// The comments in `source` that name `number`, the whole that it is a part of, or a part of it.
///
/// - `file`: what the source is called.
pub fn places(file: &str, source: &str, number: &Number) -> Vec<Place> {
    let mut found = Vec::new();
    for (line, text) in source.lines().enumerate() {
        let Some(comment) = comment(text) else {
            continue;
        };
        let is_named = |named: &Number| named.names(number) || number.names(named);
        if named_in(comment).iter().any(is_named) {
            found.push(Place {
                file: file.into(),
                line: line + 1,
                text: comment.into(),
            });
        }
    }
    found
}

/// What a line says behind its slashes, if it has some.
pub(super) fn comment(line: &str) -> Option<&str> {
    let (_, comment) = line.split_once("//")?;
    Some(comment.trim_start_matches(['/', '!']).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_that_name_it_its_whole_or_its_parts_are_found() {
        let source =
            "//! As W2 says.\nlet a = \"W2.1\";\n/// E30 to E32.\nlet b = 1; // W2.1, W2.3\n// W20 W1\n";
        for (number, expected) in [
            ("W2.1", vec![(1, "As W2 says."), (4, "W2.1, W2.3")]),
            ("W2", vec![(1, "As W2 says."), (4, "W2.1, W2.3")]),
            ("E31", vec![(3, "E30 to E32.")]),
            ("W9", vec![]),
        ] {
            let found = places("a.rs", source, &number.parse().unwrap());
            let found: Vec<_> = found
                .iter()
                .map(|place| (place.line, place.text.as_str()))
                .collect();
            assert_eq!(found, expected, "{number}");
        }
    }
}
