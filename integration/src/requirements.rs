//! Which test proves which requirement: the lists of numbers, the tests that name them, and the holes between.
//!
//! # Picture
//! ```text
//!   requirements/engine.txt ----> Requirement  \
//!                                               +--> Row { requirement, tests }   a row without tests is a hole
//!   *.rs of the workspace --scan-> Test        /
//! ```
//! A test names a number in a comment directly above it or inside it, in a text inside it, or in its own name
//! (`p20_held_penalties..` names P20). `E20 to E27` names all in between, `W14` all of W14.1, W14.2 .. Other code names
//! numbers too, which tells where a requirement lives ([`Place`]) and proves nothing.
//!
//! # Elsewhere
//! That no number is a hole is a test: `tests/requirements.rs`. The table is printed by the binary
//! `requirements`.

mod number;
mod place;
mod scan;

pub use number::{Number, named_in};
pub use place::{Place, places};
pub use scan::{Found, scan};

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A document with numbered requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// What the sync engine must do: E, W, and the rows of its tables of tests, T.
    Engine,
    /// How peers are judged: P.
    Peers,
    /// What is hashed, encoded and stored: F.
    Format,
}

impl Document {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Engine, Self::Peers, Self::Format];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Peers => "peers",
            Self::Format => "format",
        }
    }

    /// Its numbers, in the order of the list.
    ///
    /// # Panics
    /// If a line of the list is not a number and a sentence: the lists are part of this crate.
    pub fn requirements(self) -> Vec<Requirement> {
        let list = match self {
            Self::Engine => include_str!("../requirements/engine.txt"),
            Self::Peers => include_str!("../requirements/peers.txt"),
            Self::Format => include_str!("../requirements/format.txt"),
        };
        list.lines()
            .map(|line| {
                let read = line
                    .split_once(' ')
                    .and_then(|(number, sentence)| Some((number.parse().ok()?, sentence)));
                let (number, sentence) = read
                    .unwrap_or_else(|| panic!("{}.txt: not a number and a sentence: {line:?}", self.name()));
                Requirement { number, sentence }
            })
            .collect()
    }
}

impl FromStr for Document {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|document| document.name() == name);
        known.ok_or_else(|| format!("{name:?} is none of engine, peers, format"))
    }
}

/// One requirement, in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its number.
    pub number: Number,
    /// What it demands.
    pub sentence: &'static str,
}

/// A test that names requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// From the workspace's folder on.
    pub file: String,
    /// The function.
    pub name: String,
    /// What it names, ranges expanded.
    pub numbers: Vec<Number>,
}

/// A requirement and the tests that name it.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The requirement.
    pub requirement: Requirement,
    /// None: a hole.
    pub tests: Vec<&'a Test>,
}

/// The workspace that this crate was built from.
pub fn workspace() -> PathBuf {
    let integration = Path::new(env!("CARGO_MANIFEST_DIR"));
    integration.parent().unwrap_or(integration).to_path_buf()
}

/// All tests in the sources below `workspace`, by file and place, also those that name nothing.
///
/// # Errors
/// If a folder or file cannot be read.
pub fn tests(workspace: &Path) -> io::Result<Vec<Test>> {
    let mut tests = Vec::new();
    for (file, source) in all(workspace)? {
        tests.extend(scan(&source).into_iter().map(|found| Test {
            file: file.clone(),
            name: found.name,
            numbers: found.numbers,
        }));
    }
    Ok(tests)
}

/// Where the sources below `workspace` name `number`, by file and line; those of tests are left out, which [`tests`] finds.
///
/// # Errors
/// As [`tests`].
pub fn named(workspace: &Path, number: &Number) -> io::Result<Vec<Place>> {
    let all = all(workspace)?;
    Ok(all
        .iter()
        .filter(|(file, _)| !is_test(file))
        .flat_map(|(file, source)| places(file, source, number))
        .collect())
}

/// The requirements that no code names, whatever tests do; those of the tables of tests need none.
///
/// # Errors
/// As [`tests`].
pub fn homeless(workspace: &Path) -> io::Result<Vec<Requirement>> {
    let all = all(workspace)?;
    let code = all.iter().filter(|(file, _)| !is_test(file));
    let comments = code.flat_map(|(_, source)| source.lines().filter_map(place::comment));
    let named: BTreeSet<Number> = comments.flat_map(named_in).collect();
    let is_homeless = |requirement: &Requirement| {
        let number = &requirement.number;
        !number.is_of_a_test() && !named.iter().any(|one| one.names(number) || number.names(one))
    };
    let known = Document::ALL.into_iter().flat_map(Document::requirements);
    Ok(known.filter(is_homeless).collect())
}

fn is_test(file: &str) -> bool {
    file.contains("/tests")
}

/// All sources below `workspace`, by name, with their text.
fn all(workspace: &Path) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for member in ["protocol", "resolver-p2p", "node", "integration"] {
        sources(&workspace.join(member), &mut files)?;
    }
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let file = path.strip_prefix(workspace).unwrap_or(&path);
        let file = file.display().to_string();
        // The scanner's own tests have numbers as data.
        let is_own = ["src/requirements", "src/bin/requirements"].map(|own| file.contains(own));
        if is_own == [false, false] {
            all.push((file, fs::read_to_string(&path)?));
        }
    }
    Ok(all)
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, files)?;
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Which of `tests` names what of `document`.
pub fn table(document: Document, tests: &[Test]) -> Vec<Row<'_>> {
    let rows = document.requirements().into_iter().map(|requirement| {
        let names = |test: &&Test| {
            test.numbers
                .iter()
                .any(|number| number.names(&requirement.number))
        };
        Row {
            tests: tests.iter().filter(names).collect(),
            requirement,
        }
    });
    rows.collect()
}

/// What no test names.
pub fn holes<'a>(rows: &'a [Row<'_>]) -> Vec<&'a Requirement> {
    let holes = rows.iter().filter(|row| row.tests.is_empty());
    holes.map(|row| &row.requirement).collect()
}
