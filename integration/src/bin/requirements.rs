//! Print which test names which requirement: `cargo run -p cordee-integration --bin requirements [engine|peers|format|NUMBER ..]`.
//!
//! Without a name all documents are printed. A number, like E31 or W2.1, is printed with the places of the code that name it as
//! well: where it lives. The exit code is 1 if a number is named by no test.

use cordee_integration::requirements::{Document, Number, Row, holes, named, table, tests, workspace};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    let (mut documents, mut numbers) = (Vec::new(), Vec::new());
    for name in std::env::args().skip(1) {
        match (name.parse::<Document>(), name.to_uppercase().parse::<Number>()) {
            (Ok(document), _) => documents.push(document),
            (_, Ok(number)) => numbers.push(number),
            (Err(error), Err(_)) => {
                writeln!(io::stderr(), "{error}, nor a number like E31 or W2.1")?;
                return Ok(ExitCode::from(2));
            }
        }
    }
    if documents.is_empty() && numbers.is_empty() {
        documents = Document::ALL.to_vec();
    }
    let (mut out, mut whole) = (io::stdout().lock(), true);
    for number in &numbers {
        match one(&mut out, number)? {
            Some(is_proven) => whole &= is_proven,
            None => {
                writeln!(io::stderr(), "{number} is the number of no requirement")?;
                return Ok(ExitCode::from(2));
            }
        }
    }
    for document in documents {
        whole &= all(&mut out, document)?;
    }
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Print `number`, its parts, and where the code names them. Whether each is named by a test; `None` if there is no such number.
fn one(out: &mut impl Write, number: &Number) -> io::Result<Option<bool>> {
    let tests = tests(&workspace())?;
    let mut known = None;
    for document in Document::ALL {
        let rows = table(document, &tests);
        let asked = |row: &&Row<'_>| {
            let own = &row.requirement.number;
            number.names(own) || own.names(number)
        };
        for row in rows.iter().filter(asked) {
            print(out, row)?;
            known = Some(known.unwrap_or(true) && !row.tests.is_empty());
        }
    }
    if known.is_some() {
        writeln!(out, "\nthe code names it at")?;
        for place in named(&workspace(), number)? {
            writeln!(out, "{:8}   {place}", "")?;
        }
        writeln!(out)?;
    }
    Ok(known)
}

/// Print all of `document`. Whether it is without holes.
fn all(out: &mut impl Write, document: Document) -> io::Result<bool> {
    let tests = tests(&workspace())?;
    let rows = table(document, &tests);
    for row in &rows {
        print(out, row)?;
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
    Ok(holes.is_empty())
}

fn print(out: &mut impl Write, row: &Row<'_>) -> io::Result<()> {
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
    Ok(())
}
