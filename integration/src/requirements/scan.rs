//! Find the tests of a Rust source, and the numbers that their comments, texts and names name.
//!
//! This is no parser: it tells comments, texts, words and brackets apart, which is enough to find where a function with a
//! test attribute begins and ends. Texts that look like code stay texts.

use super::number::{Number, named_in};

/// A test, and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The function.
    pub name: String,
    /// In the order of the text, the name last.
    pub numbers: Vec<Number>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// Without its slashes.
    Comment(&'a str),
    /// Between quotes.
    Text(&'a str),
    Word(&'a str),
    Mark(char),
    /// A blank line.
    Gap,
}

/// The tests in `source`, in order.
pub fn scan(source: &str) -> Vec<Found> {
    let mut pieces = Pieces { rest: source };
    let mut found = Vec::new();
    // The comments directly above, and whether a test attribute was among what follows them.
    let (mut above, mut is_test) = (String::new(), false);
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Comment(comment) => add(&mut above, comment),
            Piece::Mark('#') => is_test |= pieces.attribute(),
            Piece::Word("fn") if is_test => {
                let Some(Piece::Word(name)) = pieces.next() else {
                    continue;
                };
                pieces.body(&mut above);
                let mut numbers = named_in(&above);
                numbers.extend(named_by(name));
                let name = name.to_owned();
                found.push(Found { name, numbers });
                (above, is_test) = (String::new(), false);
            }
            Piece::Gap if !is_test => above.clear(),
            Piece::Mark('{' | '}' | ';') => (above, is_test) = (String::new(), false),
            _ => {}
        }
    }
    found
}

fn add(text: &mut String, more: &str) {
    text.push_str(more);
    text.push('\n');
}

/// `p12_p15_faults_pause` names P12 and P15.
fn named_by(name: &str) -> impl Iterator<Item = Number> {
    name.split('_')
        .filter_map(|word| word.to_uppercase().parse().ok())
}

struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Pieces<'a> {
    /// Whether what follows `#` is the attribute of a test: a path that ends in `test`.
    fn attribute(&mut self) -> bool {
        let (mut depth, mut last, mut arguments) = (0, "", false);
        for piece in self.by_ref() {
            match piece {
                Piece::Mark('[' | '(') => {
                    arguments |= depth == 1;
                    depth += 1;
                }
                Piece::Mark(']' | ')') => depth -= 1,
                Piece::Mark('=') => arguments = true,
                Piece::Word(word) if !arguments => last = word,
                _ => {}
            }
            if depth == 0 && piece != Piece::Mark('!') {
                break;
            }
        }
        last == "test"
    }

    /// Read a function to its end; its comments and texts go to `out`.
    fn body(&mut self, out: &mut String) {
        let mut depth = 0;
        for piece in self.by_ref() {
            match piece {
                Piece::Comment(text) | Piece::Text(text) => add(out, text),
                Piece::Mark('{') => depth += 1,
                Piece::Mark('}') => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
    }

    /// Take `bytes` of what is left.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// What stands before `end`, which is taken as well.
    fn until(&mut self, end: &str) -> &'a str {
        let at = self.rest.find(end).unwrap_or(self.rest.len());
        let taken = self.take(at);
        self.take(end.len());
        taken
    }

    /// Behind a quote: the text up to the next one that is not escaped.
    fn quoted(&mut self) -> &'a str {
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let text = self.take(end.unwrap_or(self.rest.len()));
        self.take(1);
        text
    }

    /// A raw text, if `word` and what follows begin one.
    fn raw(&mut self, word: &str) -> Option<&'a str> {
        let hashes = self.rest.bytes().take_while(|&byte| byte == b'#').count();
        let begins = matches!(word, "r" | "br") && self.rest[hashes..].starts_with('"');
        begins.then(|| {
            self.take(hashes + 1);
            self.until(&format!("\"{}", "#".repeat(hashes)))
        })
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            if self.take(blank).matches('\n').count() > 1 {
                return Some(Piece::Gap);
            }
            let first = self.rest.chars().next()?;
            if self.rest.starts_with("//") {
                let line = self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
                return Some(Piece::Comment(line.trim_start_matches(['/', '!'])));
            }
            if self.rest.starts_with("/*") {
                self.take(2);
                return Some(Piece::Comment(self.until("*/")));
            }
            if first == '"' {
                self.take(1);
                return Some(Piece::Text(self.quoted()));
            }
            if first == '\'' {
                self.take(1);
                // A character is closed by a quote, a lifetime is not.
                let mut chars = self.rest.char_indices();
                match chars.next() {
                    Some((_, '\\')) => {
                        self.take(2);
                        self.until("'");
                    }
                    Some(_) => {
                        if let Some((at, '\'')) = chars.next() {
                            self.take(at + 1);
                        }
                    }
                    None => {}
                }
                continue;
            }
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            if is_word(first) {
                let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                let word = self.take(end);
                return Some(match self.raw(word) {
                    Some(text) => Piece::Text(text),
                    None => Piece::Word(word),
                });
            }
            self.take(first.len_utf8());
            return Some(Piece::Mark(first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(String, String)> {
        let tests = scan(source).into_iter();
        tests
            .map(|test| {
                let numbers: Vec<_> = test.numbers.iter().map(Number::to_string).collect();
                (test.name, numbers.join(" "))
            })
            .collect()
    }

    #[test]
    fn tests_are_found_with_their_comments_texts_and_names() {
        for (case, source, expected) in [
            ("above", "/// E1\n// E2\n#[test]\nfn a() {}", vec![("a", "E1 E2")]),
            (
                "between",
                "#[test]\n// E3\n#[should_panic]\nfn a() {}",
                vec![("a", "E3")],
            ),
            (
                "inside",
                "#[test] fn a() { if x { /* E4 */ } // E5\n }",
                vec![("a", "E4 E5")],
            ),
            (
                "texts",
                r##"#[test] fn a() { b("E6", r#"W1.2 " }"#, "\" W2.1") }"##,
                vec![("a", "E6 W1.2 W2.1")],
            ),
            (
                "names",
                "#[test] fn p12_p15_faults() {}",
                vec![("p12_p15_faults", "P12 P15")],
            ),
            (
                "ranges over lines",
                "#[test]\nfn a() {\n    // E20 to\n    // E22\n}",
                vec![("a", "E20 E21 E22")],
            ),
            (
                "with a runtime",
                "#[tokio::test(flavor = \"multi_thread\")] async fn a() { /* E7 */ }",
                vec![("a", "E7")],
            ),
            (
                "one after the other",
                "#[test] fn a() { /* E1 */ }\nfn b() { /* E9 */ }\n#[test] fn c() { /* E2 */ }",
                vec![("a", "E1"), ("c", "E2")],
            ),
            (
                "in a module",
                "mod tests { #[test] fn a() { // E8\n } }",
                vec![("a", "E8")],
            ),
            (
                "brackets in characters",
                "#[test] fn a<'x>() { ('}', '\\'', \"{\") /* E9 */ }\n// E1\n",
                vec![("a", "E9")],
            ),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, numbers)| (name.to_owned(), numbers.to_owned()))
                .collect();
            assert_eq!(found(source), expected, "{case}");
        }
    }

    #[test]
    fn nothing_else_counts() {
        for (case, source) in [
            ("a function", "// E1\nfn a() { /* E2 */ }"),
            (
                "an attribute that is none",
                "// E1\n#[cfg(test)]\nmod tests { /* E2 */ }",
            ),
            ("its value is no name", "#[doc = \"test\"] fn a() { /* E1 */ }"),
            ("a comment", "// #[test] fn a() { E1 }"),
            ("a text", "const A: &str = \"#[test] fn a() { /* E1 */ }\";"),
        ] {
            assert_eq!(found(source), [], "{case}");
        }
        let apart = "// E1\n\n#[test]\nfn a() {}\n// E2\nfn b() {}";
        assert_eq!(
            found(apart),
            [("a".to_owned(), String::new())],
            "a blank line between"
        );
    }

    #[test]
    fn no_text_makes_it_panic() {
        let source = "#[test] fn a() { r#\"x\"# '\\'' \"\\\"\" /* */ // E1\n }";
        for end in (0..source.len()).filter(|&end| source.is_char_boundary(end)) {
            for start in (0..end).filter(|&start| source.is_char_boundary(start)) {
                scan(&source[start..end]);
            }
        }
    }
}
