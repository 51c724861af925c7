//! Who takes part in a testnet. Numbers only: nothing is started here.

use crate::lies::{LIES, LieInfo};
use serde::Serialize;
use std::fmt;

/// What a node is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Makes the database.
    Publisher,
    /// Has a copy and serves it.
    Replica,
    /// Has a copy and serves it corrupted.
    Liar,
    /// Starts with nothing and fetches the database from all the others.
    Joiner,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publisher => "publisher",
            Self::Replica => "replica",
            Self::Liar => "liar",
            Self::Joiner => "joiner",
        })
    }
}

/// One node to be.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What it is there for.
    pub role: Role,
    /// Which of its role, from 1.
    pub number: usize,
    /// The lie that a liar tells.
    pub lie: Option<LieInfo>,
}

impl Part {
    /// `publisher`, `replica-1`, `liar-2`: also the name of its folder.
    pub fn name(&self) -> String {
        match self.role {
            Role::Publisher => self.role.to_string(),
            role => format!("{role}-{}", self.number),
        }
    }
}

/// A testnet that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--nodes {nodes} are too few for one publisher and --liars {liars}; use --nodes {} or more, or fewer liars",
    liars.saturating_add(1)
)]
pub struct TooFewNodes {
    /// Nodes without joiners.
    pub nodes: usize,
    /// Liars among them.
    pub liars: usize,
}

/// The nodes that are there when joiners come: one publisher, then replicas, then `liars` liars. The lies of [`LIES`] go
/// round.
///
/// # Errors
/// [`TooFewNodes`] if nobody would be left to publish.
pub fn hosts(nodes: usize, liars: usize) -> Result<Vec<Part>, TooFewNodes> {
    let replicas = nodes
        .checked_sub(liars)
        .and_then(|honest| honest.checked_sub(1))
        .ok_or(TooFewNodes { nodes, liars })?;
    let publisher = Part {
        role: Role::Publisher,
        number: 1,
        lie: None,
    };
    let replicas = (1..=replicas).map(|number| Part {
        role: Role::Replica,
        number,
        lie: None,
    });
    let liars = (1..=liars)
        .zip(LIES.into_iter().cycle())
        .map(|(number, lie)| Part {
            role: Role::Liar,
            number,
            lie: Some(lie),
        });
    Ok([publisher].into_iter().chain(replicas).chain(liars).collect())
}

/// The nodes that join.
pub fn joiners(count: usize) -> impl Iterator<Item = Part> {
    (1..=count).map(|number| Part {
        role: Role::Joiner,
        number,
        lie: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_one_publisher_then_replicas_then_liars() {
        for (nodes, liars, names) in [
            (1, 0, vec!["publisher"]),
            (2, 1, vec!["publisher", "liar-1"]),
            (4, 1, vec!["publisher", "replica-1", "replica-2", "liar-1"]),
            (
                7,
                5,
                vec![
                    "publisher",
                    "replica-1",
                    "liar-1",
                    "liar-2",
                    "liar-3",
                    "liar-4",
                    "liar-5",
                ],
            ),
        ] {
            let cast: Vec<_> = hosts(nodes, liars).unwrap();
            assert_eq!(cast.iter().map(Part::name).collect::<Vec<_>>(), names);
        }
        let lies: Vec<_> = hosts(LIES.len() + 2, LIES.len() + 1)
            .unwrap()
            .iter()
            .filter_map(|part| part.lie)
            .map(|lie| lie.name)
            .collect();
        assert_eq!(lies[..LIES.len()], LIES.map(|lie| lie.name));
        assert_eq!(lies[LIES.len()], LIES[0].name);
        assert_eq!(hosts(1, 1).unwrap_err(), TooFewNodes { nodes: 1, liars: 1 });
        assert!(hosts(0, 0).unwrap_err().to_string().contains("--nodes 1"));
    }
}
