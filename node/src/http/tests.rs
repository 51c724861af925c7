//! The routes, and that they are described.

use super::*;
use crate::facts::{Doing, Stage};
use crate::folder::Folder;
use crate::network::{Hooks, Network};
use crate::source::Nothing;
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::collections::BTreeSet;

#[tokio::test]
async fn what_is_served_is_described_and_what_is_described_is_served() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::create(&place.path().join("a"), "n", "any-unordered-variable").unwrap();
    let hooks = Hooks::new(&folder, Arc::new(Nothing::new("n", "any-unordered-variable")));
    let mut registry = Registry::default();
    let network = Network::start(
        folder.keypair().unwrap(),
        folder.config(),
        &[],
        hooks,
        &mut registry,
    )
    .await;
    let facts = Facts::new(&network.unwrap(), registry, Stage::new(Doing::Empty), None, None);
    let gate = Gate::new("127.0.0.1:1".parse().unwrap(), None);
    let (_streams, open) = watch::channel(());
    let routes = routes(&Arc::new(facts), gate, open);
    let served: BTreeSet<_> = routes
        .iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();

    let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert(format!("{method} {path}"));
            assert!(
                operation["summary"].is_string() && operation["responses"]["200"].is_object(),
                "{path}"
            );
            // A part of the path is a parameter, and the other way round.
            let named = operation["parameters"].as_array().into_iter().flatten();
            let named: BTreeSet<_> = named
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                .collect();
            let parts: BTreeSet<_> = path
                .split('/')
                .filter(|part| part.starts_with('{'))
                .map(str::to_owned)
                .collect();
            assert_eq!(named, parts, "{path}");
        }
    }
    assert_eq!(served, described);
    // Whatever is referred to is there.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
