//! Readers of texts: scripts, lines of writes, tables, settings, names.

use crate::runner::fuzz;
use cordee_node::config::{Layers, TEMPLATE};
use cordee_node::rows::{Format, rows};
use cordee_node::script::Script;
use cordee_node::writes::Writes;
use cordee_protocol::Target;
use cordee_protocol::db::{KINDS, Kind};

#[test]
fn scripts() {
    let key = "ab".repeat(32);
    let seeds = KINDS.map(|kind| {
        let writes = if kind.starts_with("keyless") {
            r#"["append","0102"],["append","0304"]"#.to_owned()
        } else {
            format!(r#"["put","{key}","0102"],["delete","{key}"]"#)
        };
        format!(
            r#"{{"kind":"{kind}","value_size":2,"batches":[{{"writes":[{writes}],"metadata":"0102"}},{{"metadata":null}}],
               "prove":[{{"size":3,"start":1,"max_ops":18446744073709551615,"pinned":true}}]}}"#
        )
        .into_bytes()
    });
    fuzz("script", seeds.into(), |input| match Script::parse(input) {
        Ok(script) => format!("{} notes", script.notes.len()),
        Err(error) => without_numbers(&error.to_string()),
    });
}

#[test]
fn lines_of_writes() {
    let key = "ab".repeat(32);
    let seeds = [
        format!(
            r#"{{"put":[["{key}","0102"]],"delete":["{}"],"metadata":"0102"}}"#,
            "00".repeat(32)
        ),
        r#"{"append":["0102","0304"]}"#.to_owned(),
        "{}".to_owned(),
    ];
    let kinds = KINDS.map(|kind| Kind::parse(kind, kind.ends_with("fixed").then_some(2)).unwrap());
    fuzz("writes", seeds.map(String::into_bytes).into(), |input| {
        let text = String::from_utf8_lossy(input);
        let read = kinds.map(|kind| match Writes::parse(&text, kind) {
            Ok(writes) => {
                // What is read one by one fits as a whole.
                assert_eq!(writes.batch.check(kind, writes.metadata.as_deref()), Ok(()));
                "ok".into()
            }
            Err(error) => without_numbers(&error.to_string()),
        });
        read.join(" ")
    });
}

#[test]
fn tables() {
    let csv = b"k,v,w\na,1,2\n\"b,\"\"c\",3,4\n".to_vec();
    let jsonl = b"{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\",\"x\":[1]}\n".to_vec();
    fuzz("table", vec![csv, jsonl], |input| {
        let formats = [(Format::Csv, true), (Format::Csv, false), (Format::Jsonl, false)];
        let read = formats.map(|(format, header)| match rows(input, format, header) {
            Ok(rows) => match rows.collect::<Result<Vec<_>, _>>() {
                Ok(rows) => rows.len().min(5).to_string(),
                Err(error) => without_numbers(&error.to_string()),
            },
            Err(error) => without_numbers(&error.to_string()),
        });
        read.join(" ")
    });
}

#[test]
fn settings() {
    fuzz("settings", vec![TEMPLATE.as_bytes().to_vec()], |input| {
        let text = String::from_utf8_lossy(input);
        match Layers::new().file(&text, "f").and_then(|layers| layers.config()) {
            Ok(config) => format!("{:?}", config.network.database_kind().is_ok()),
            Err(error) => format!("{:?}", std::mem::discriminant(&error)),
        }
    });
}

#[test]
fn names() {
    let target = format!("{}@3..9", "ab".repeat(32));
    let names = ["any-unordered-fixed:32", "keyless-variable", &target];
    fuzz(
        "name",
        names.map(|name| name.as_bytes().to_vec()).into(),
        |input| {
            let text = String::from_utf8_lossy(input);
            let kind = text.parse::<Kind>();
            // One kind, one text.
            assert!(kind.as_ref().is_ok_and(|kind| kind.to_string() == text) || kind.is_err());
            let target = text.parse::<Target>();
            if let Ok(target) = &target {
                assert_eq!(target.to_string().parse(), Ok(target.clone()));
            }
            match (kind, target) {
                (Err(kind), Err(target)) => {
                    let (kind, target) = (std::mem::discriminant(&kind), std::mem::discriminant(&target));
                    format!("{kind:?} {target:?}")
                }
                (kind, target) => format!("{} {}", kind.is_ok(), target.is_ok()),
            }
        },
    );
}

/// The beginning of a message without what differs from input to input.
fn without_numbers(text: &str) -> String {
    let plain = text.chars().filter(|c| c.is_ascii_lowercase() || *c == ' ');
    plain.take(24).collect()
}
