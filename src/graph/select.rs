//! --only, --from, --until → the part of a graph that is wanted.

use std::collections::BTreeSet;

use crate::graph::build::Graph;
use crate::graph::order::{downstream, upstream};

/// Which stages are asked for, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageSelection {
    /// Just these; what they need must be recorded already.
    pub only: Vec<usize>,
    /// These and all that depends on them.
    pub from: Vec<usize>,
    /// These and all they need.
    pub until: Vec<usize>,
}

/// Returns the wanted stages; all of them if nothing is asked for. `from` and `until` together mean
/// what lies between them; `only` adds to either.
pub fn select(graph: &Graph, selection: &StageSelection) -> BTreeSet<usize> {
    let set = |stages: &[usize]| stages.iter().copied().collect::<BTreeSet<usize>>();
    let (only, from, until) = (
        set(&selection.only),
        set(&selection.from),
        set(&selection.until),
    );
    let between: BTreeSet<usize> = match (from.is_empty(), until.is_empty()) {
        (true, true) if only.is_empty() => (0..graph.len()).collect(),
        (true, true) => BTreeSet::new(),
        (false, true) => downstream(graph, &from),
        (true, false) => upstream(graph, &until),
        (false, false) => &downstream(graph, &from) & &upstream(graph, &until),
    };
    &between | &only
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cones_are_cut_out() {
        // 0 → 1 → 3, 0 → 2
        let graph = Graph::new(4, [(1, 0), (3, 1), (2, 0)]).unwrap();
        let wanted = |only: &[usize], from: &[usize], until: &[usize]| {
            let selection = StageSelection {
                only: only.to_vec(),
                from: from.to_vec(),
                until: until.to_vec(),
            };
            select(&graph, &selection).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(wanted(&[], &[], &[]), [0, 1, 2, 3]);
        assert_eq!(wanted(&[], &[1], &[]), [1, 3]);
        assert_eq!(wanted(&[], &[], &[1]), [0, 1]);
        assert_eq!(wanted(&[2], &[], &[]), [2]);
        assert_eq!(wanted(&[], &[0], &[3]), [0, 1, 3]);
    }
}
