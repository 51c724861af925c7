//! Print which test names which requirement: `cargo run -p cordee-integration --bin requirements [engine|peers|format]`.
//!
//! Without a name all documents are printed. The exit code is 1 if a number is named by no test.

use cordee_integration::requirements::{Document, holes, table, tests, workspace};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    let named = std::env::args().nth(1).map(|name| name.parse());
    let documents = match named {
        None => Document::ALL.to_vec(),
        Some(Ok(document)) => vec![document],
        Some(Err(error)) => {
            writeln!(io::stderr(), "{error}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let tests = tests(&workspace())?;
    let (mut out, mut whole) = (io::stdout().lock(), true);
    for document in documents {
        let rows = table(document, &tests);
        for row in &rows {
            writeln!(
                out,
                "{:8} {}",
                row.requirement.number.to_string(),
                row.requirement.sentence
            )?;
            for test in &row.tests {
                writeln!(out, "{:8}   {}::{}", "", test.file, test.name)?;
            }
            if row.tests.is_empty() {
                writeln!(out, "{:8}   -", "")?;
            }
        }
        let holes = holes(&rows);
        let by: usize = tests
            .iter()
            .filter(|test| rows.iter().any(|row| row.tests.contains(test)))
            .count();
        let named = rows.iter().filter(|row| !row.tests.is_empty()).count();
        writeln!(
            out,
            "\n{}: {} numbers, {named} named by {by} tests, {} holes",
            document.name(),
            rows.len(),
            holes.len()
        )?;
        for hole in &holes {
            writeln!(out, "  hole: {} {}", hole.number, hole.sentence)?;
        }
        writeln!(out)?;
        whole &= holes.is_empty();
    }
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
