//! Pipeline → Graph; a circle is reported whole, with every place.

use petgraph::graph::{DiGraph, NodeIndex};

use crate::base::problem::Problem;
use crate::pipeline::wiring::StageWiring;

/// The stages of a pipeline and their needs: an edge from each stage to every stage that uses an
/// output of it. Nodes have the numbers of the stages. Without circles.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(crate) edges: DiGraph<(), ()>,
}

impl Graph {
    /// Makes a graph of stages `0..count` and needs `(user, needed)`.
    ///
    /// # Errors
    /// The stages of a circle, each needing the next, the last the first.
    pub fn new(
        count: usize,
        needs: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, Vec<usize>> {
        let mut edges = DiGraph::with_capacity(count, count);
        (0..count).for_each(|_| {
            edges.add_node(());
        });
        let mut pairs: Vec<(usize, usize)> = needs.into_iter().collect();
        pairs.sort_unstable();
        pairs.dedup();
        for (user, needed) in pairs {
            edges.add_edge(NodeIndex::new(needed), NodeIndex::new(user), ());
        }
        match circle(&edges) {
            Some(circle) => Err(circle),
            None => Ok(Self { edges }),
        }
    }

    /// Makes the graph of stages and their needs.
    ///
    /// # Errors
    /// A problem that lists a whole circle.
    pub fn of(wiring: &StageWiring) -> Result<Self, Problem> {
        let needs = wiring
            .needs
            .iter()
            .map(|(user, needed, _)| (*user, *needed));
        Self::new(wiring.stages.len(), needs).map_err(|circle| tell(wiring, &circle))
    }

    /// Returns the number of stages.
    pub fn len(&self) -> usize {
        self.edges.node_count()
    }

    /// Returns whether there is no stage.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the stages that `stage` needs, in order.
    pub fn needs(&self, stage: usize) -> Vec<usize> {
        self.next(stage, petgraph::Direction::Incoming)
    }

    /// Returns the stages that need `stage`, in order.
    pub fn users(&self, stage: usize) -> Vec<usize> {
        self.next(stage, petgraph::Direction::Outgoing)
    }

    fn next(&self, stage: usize, direction: petgraph::Direction) -> Vec<usize> {
        let mut next: Vec<usize> = self
            .edges
            .neighbors_directed(NodeIndex::new(stage), direction)
            .map(NodeIndex::index)
            .collect();
        next.sort_unstable();
        next
    }
}

/// Finds a circle: within a strongly connected component, a walk along needs comes back to where it
/// was.
fn circle(edges: &DiGraph<(), ()>) -> Option<Vec<usize>> {
    let component = petgraph::algo::tarjan_scc(edges)
        .into_iter()
        .filter(|component| component.len() > 1 || edges.contains_edge(component[0], component[0]))
        .min_by_key(|component| component.iter().min().copied())?;
    let mut walk = vec![*component.iter().min()?];
    loop {
        let here = *walk.last()?;
        let next = edges
            .neighbors_directed(here, petgraph::Direction::Incoming)
            .filter(|node| component.contains(node))
            .min_by_key(|node| (!walk.contains(node), *node))?;
        if let Some(start) = walk.iter().position(|node| *node == next) {
            return Some(walk[start..].iter().map(|node| node.index()).collect());
        }
        walk.push(next);
    }
}

fn tell(wiring: &StageWiring, circle: &[usize]) -> Problem {
    let id = |stage: usize| wiring.stages[stage].0.as_str();
    let names: Vec<&str> = circle
        .iter()
        .chain(circle.first())
        .map(|stage| id(*stage))
        .collect();
    let mut problem = Problem::new(
        "graph::circle",
        format!("stages need each other in a circle: {}", names.join(" → ")),
    )
    .help("cut the circle: one of these inputs has to come from elsewhere".to_owned());
    for (at, user) in circle.iter().enumerate() {
        let needed = circle[(at + 1) % circle.len()];
        let need = wiring
            .needs
            .iter()
            .find(|(a, b, _)| (a, b) == (user, &needed));
        let span = need.map_or(wiring.stages[*user].1, |(_, _, span)| *span);
        problem = problem.at(span, format!("`{}` needs `{}`", id(*user), id(needed)));
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_told_whole() {
        assert_eq!(
            Graph::new(4, [(1, 0), (2, 1), (1, 3), (3, 2)]).unwrap_err(),
            [1, 3, 2]
        );
        assert_eq!(Graph::new(1, [(0, 0)]).unwrap_err(), [0]);
        assert!(Graph::new(3, [(1, 0), (2, 1), (2, 0)]).is_ok());
    }
}
