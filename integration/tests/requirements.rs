//! Every number of the requirements is named by a test, and no test names a number that is none.

use cordee_integration::requirements::{Document, holes, homeless, table, tests, workspace};
use std::process::Command;

#[test]
fn every_number_is_named_by_a_test() {
    let tests = tests(&workspace()).unwrap();
    assert!(tests.len() > 100, "{} tests", tests.len());
    for document in Document::ALL {
        let rows = table(document, &tests);
        let holes: Vec<_> = holes(&rows)
            .into_iter()
            .map(|hole| format!("{} ({})", hole.number, hole.sentence))
            .collect();
        assert!(holes.is_empty(), "named by no test: {}", holes.join("; "));
    }
}

#[test]
fn no_test_names_a_number_that_is_none() {
    let known: Vec<_> = Document::ALL
        .into_iter()
        .flat_map(Document::requirements)
        .map(|requirement| requirement.number)
        .collect();
    for test in tests(&workspace()).unwrap() {
        for number in &test.numbers {
            let exists = known.iter().any(|known| number.names(known));
            assert!(exists, "{}::{} names {number}", test.file, test.name);
        }
    }
    // No list names a number twice.
    for (i, number) in known.iter().enumerate() {
        assert!(!known[..i].contains(number), "{number} twice");
    }
}

#[test]
fn every_number_is_named_by_the_code_that_it_is_about() {
    let homeless = homeless(&workspace()).unwrap().into_iter();
    let homeless: Vec<_> = homeless
        .map(|requirement| format!("{} ({})", requirement.number, requirement.sentence))
        .collect();
    assert!(homeless.is_empty(), "named by no code: {}", homeless.join("; "));
}

#[test]
fn a_single_number_is_printed_with_the_places_that_name_it() {
    let printed = |asked: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requirements"));
        let output = command.arg(asked).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    // Its sentence, a test, and the code that does it.
    let (code, text) = printed("p20");
    assert_eq!(code, Some(0), "{text}");
    for part in ["P20      ", "resolver-p2p/src/policy/escrow.rs:", "::p20_"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("P21      "), "{text}");
    // In two parts, as no test may name what is no number.
    let (code, text) = printed(&format!("E{}", 999));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is the number of no requirement"), "{text}");
    let (code, text) = printed("nonsense");
    assert_eq!(code, Some(2), "{text}");
}
