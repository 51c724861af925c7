//! How settings from several places become one: defaults, file, environment, flags.

use super::{Config, TEMPLATE};
use std::path::Path;
use toml::{Table, Value};

/// Why settings were not accepted; says where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the settings {0}; `cordee init` makes a node folder with one")]
    Read(String, #[source] std::io::Error),
    /// The file is not TOML.
    #[error("{place} is not TOML: {message}")]
    Toml {
        /// Which file.
        place: String,
        /// Line, column and what was expected.
        message: String,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`; did you mean `{nearest}`?")]
    Unknown {
        /// Which file, or `the environment`.
        place: String,
        /// The key as found.
        key: String,
        /// The known key that looks most like it.
        nearest: String,
    },
    /// A value that its key does not take.
    #[error("{place}: `{key}`: {message}")]
    Value {
        /// Which file, or `the environment`.
        place: String,
        /// The key, `section.key`.
        key: String,
        /// What is wrong with the value.
        message: String,
    },
}

/// Settings laid over each other, the last on top.
#[derive(Clone, Debug)]
pub struct Layers {
    merged: Table,
}

impl Default for Layers {
    fn default() -> Self {
        Self::new()
    }
}

impl Layers {
    /// The defaults.
    pub fn new() -> Self {
        let merged = TEMPLATE
            .parse()
            .expect("the template is read by the tests of this module");
        Self { merged }
    }

    /// The defaults, a file over them, and the environment over that.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn of(path: &Path) -> Result<Self, Error> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Error::Read(place.clone(), error))?;
        Self::new().file(&text, &place)?.environment(std::env::vars())
    }

    /// Lay the text of a settings file on top; `place` names it in errors.
    ///
    /// # Errors
    /// If it is not TOML, or has an unknown key or a wrong value.
    pub fn file(self, text: &str, place: &str) -> Result<Self, Error> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| Error::Toml {
            place: place.into(),
            message: error.to_string().trim_end().into(),
        })?;
        let mut layers = self;
        for (section, value) in table {
            let Value::Table(keys) = value else {
                return Err(layers.unknown(place, section));
            };
            for (key, value) in keys {
                layers = layers.set(place, &section, &key, value)?;
            }
        }
        Ok(layers)
    }

    /// Lay variables `CORDEE_SECTION__KEY` on top; others are left alone.
    ///
    /// # Errors
    /// If one names an unknown key or has a wrong value.
    pub fn environment(self, variables: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut layers = self;
        for (name, text) in variables {
            let Some(path) = name
                .strip_prefix("CORDEE_")
                .and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let (section, key) = (path.0.to_ascii_lowercase(), path.1.to_ascii_lowercase());
            let value = match layers.known(&section, &key) {
                Some(Value::Array(_)) => {
                    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                    Value::Array(items.map(Value::from).collect())
                }
                Some(Value::Integer(_)) => text.parse().map_or(Value::String(text), Value::Integer),
                Some(Value::Boolean(_)) => text.parse().map_or(Value::String(text), Value::Boolean),
                Some(Value::Float(_)) => text.parse().map_or(Value::String(text), Value::Float),
                _ => Value::String(text),
            };
            layers = layers.set("the environment", &section, &key, value)?;
        }
        Ok(layers)
    }

    /// Put one value on top; `place` names where it came from.
    ///
    /// # Errors
    /// If the key is unknown or does not take the value.
    pub fn set(mut self, place: &str, section: &str, key: &str, value: Value) -> Result<Self, Error> {
        if self.known(section, key).is_none() {
            return Err(self.unknown(place, format!("{section}.{key}")));
        }
        self.merged[section][key] = value;
        // One value changed since the last good state, so what is wrong now is this one.
        match self.merged.clone().try_into::<Config>() {
            Ok(_) => Ok(self),
            Err(error) => Err(Error::Value {
                place: place.into(),
                key: format!("{section}.{key}"),
                message: error.message().into(),
            }),
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// Never after [`Self::new`] and the methods of this type, which check each value.
    pub fn config(&self) -> Result<Config, Error> {
        self.merged
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| Error::Toml {
                place: "the settings".into(),
                message: error.message().into(),
            })
    }

    fn known(&self, section: &str, key: &str) -> Option<&Value> {
        self.merged.get(section)?.get(key)
    }

    fn unknown(&self, place: &str, key: String) -> Error {
        let sections = self
            .merged
            .iter()
            .filter_map(|(section, keys)| Some((section, keys.as_table()?)));
        let known =
            sections.flat_map(|(section, keys)| keys.keys().map(move |key| format!("{section}.{key}")));
        // A key in the wrong section is nearer than one that merely looks alike.
        let likeness = |candidate: &String| {
            let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
            strsim::jaro_winkler(&last(candidate), &last(&key)) + strsim::jaro_winkler(candidate, &key) / 10.0
        };
        let nearest = known
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .unwrap_or_default();
        Error::Unknown {
            place: place.into(),
            key,
            nearest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn variables(list: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        let owned: Vec<_> = list
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        owned.into_iter()
    }

    #[test]
    fn later_layers_override_earlier_ones() {
        let layers = Layers::new()
            .file("[sync]\nmax_in_flight = 3\nno_peer_timeout = \"5m\"", "f")
            .and_then(|layers| {
                layers.environment(variables(&[
                    ("CORDEE_SYNC__MAX_IN_FLIGHT", "4"),
                    (
                        "CORDEE_NETWORK__PEERS",
                        "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2",
                    ),
                    ("CORDEE_STORAGE__KEEP", "state"),
                    ("CORDEE_LOG", "debug"),
                    ("PATH", "/bin"),
                ]))
            })
            .and_then(|layers| layers.set("--http", "http", "listen", Value::from("off")));
        let config = layers.unwrap().config().unwrap();
        assert_eq!(config.sync.max_in_flight.get(), 4);
        assert_eq!(config.sync.no_peer_timeout, Duration::from_secs(300));
        assert_eq!(config.network.peers.len(), 2);
        assert_eq!(config.http.listen, None);
        assert_eq!(config.storage.keep, cordee_protocol::log::Keep::State);
    }

    #[test]
    fn errors_name_the_place_the_key_and_what_to_do() {
        for (case, text, expected) in [
            (
                "a misspelt key",
                "[sync]\nmax_inflight = 3",
                "unknown key `sync.max_inflight`; did you mean `sync.max_in_flight`?",
            ),
            (
                "a key of another section",
                "[sync]\nexternal = []",
                "did you mean `network.external`?",
            ),
            (
                "a key without section",
                "name = \"x\"",
                "unknown key `name`; did you mean `network.name`?",
            ),
            (
                "a wrong type",
                "[sync]\nmax_in_flight = \"x\"",
                "`sync.max_in_flight`: invalid type",
            ),
            (
                "zero",
                "[sync]\nmax_in_flight = 0",
                "`sync.max_in_flight`: invalid value",
            ),
            (
                "a bad duration",
                "[sync]\nno_peer_timeout = \"soon\"",
                "\"soon\" is not a duration",
            ),
            (
                "a bad multiaddress",
                "[network]\npeers = [\"1.2.3.4:5\"]",
                "`network.peers`",
            ),
            (
                "a bad profile",
                "[peers]\nprofile = \"nice\"",
                "expected `public` or `testnet`",
            ),
            (
                "a share above 1",
                "[network]\nmax_memory_share = 80",
                "80 is not a share",
            ),
            (
                "a peer id that is none",
                "[peers]\ntrusted = [\"alice\"]",
                "\"alice\" is not a peer id",
            ),
            ("no TOML", "[sync", "is not TOML"),
        ] {
            let error = Layers::new().file(text, "a.toml").unwrap_err().to_string();
            assert!(
                error.starts_with("a.toml") && error.contains(expected),
                "{case}: {error}"
            );
        }
        let error = Layers::new()
            .environment(variables(&[("CORDEE_SYNC__MAX", "1")]))
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the environment: unknown key `sync.max`"),
            "{error}"
        );
    }
}
