//! Every number of the requirements is named by a test, and no test names a number that is none.

use cordee_integration::requirements::{Document, holes, table, tests, workspace};

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
