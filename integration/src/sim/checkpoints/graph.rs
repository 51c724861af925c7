//! Who is connected to whom.

use rand::RngExt;
use rand::seq::{IteratorRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// Others that each honest node dials, beside the next one of a ring: six to seven neighbours each, as in gossipsub's mesh.
const DIALS: usize = 2;

/// Honest nodes that each liar dials.
const LIAR_DIALS: usize = 6;

/// Connections, each in both directions.
#[derive(Debug)]
pub(super) struct Graph {
    links: Vec<BTreeSet<usize>>,
}

impl Graph {
    /// `nodes` honest ones, connected without the liars that come after them.
    pub(super) fn new(nodes: usize, liars: usize, chance: &mut ChaCha8Rng) -> Self {
        let mut graph = Self {
            links: vec![BTreeSet::new(); nodes + liars],
        };
        let mut ring: Vec<_> = (0..nodes).collect();
        ring.shuffle(chance);
        for i in 0..nodes {
            graph.link(ring[i], ring[(i + 1) % nodes]);
        }
        for node in 0..nodes + liars {
            for _ in 0..if node < nodes { DIALS } else { LIAR_DIALS } {
                let other = chance.random_range(0..nodes);
                graph.link(node, other);
            }
        }
        graph
    }

    fn link(&mut self, a: usize, b: usize) {
        if a != b {
            self.links[a].insert(b);
            self.links[b].insert(a);
        }
    }

    pub(super) fn cut(&mut self, a: usize, b: usize) {
        self.links[a].remove(&b);
        self.links[b].remove(&a);
    }

    pub(super) fn are_linked(&self, a: usize, b: usize) -> bool {
        self.links[a].contains(&b)
    }

    pub(super) fn neighbours(&self, node: usize) -> impl Iterator<Item = usize> {
        self.links[node].iter().copied()
    }

    pub(super) fn any_neighbour(&self, node: usize, chance: &mut ChaCha8Rng) -> Option<usize> {
        self.neighbours(node).choose(chance)
    }

    /// Each once.
    pub(super) fn links(&self) -> Vec<(usize, usize)> {
        let of = |(a, to): (usize, &BTreeSet<usize>)| to.range(a..).map(move |&b| (a, b)).collect::<Vec<_>>();
        self.links.iter().enumerate().flat_map(of).collect()
    }
}
