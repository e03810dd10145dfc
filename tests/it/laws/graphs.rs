//! Order and schedule over random graphs.

use std::collections::BTreeSet;

use netsec::engine::schedule::Schedule;
use netsec::graph::build::Graph;
use netsec::graph::order::{downstream, topological, upstream};
use proptest::prelude::*;

/// Needs from later to earlier stages only: no circle.
fn needs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (2_usize..24).prop_flat_map(|count| {
        let need = (1..count).prop_flat_map(|user| (Just(user), 0..user));
        (Just(count), prop::collection::vec(need, 0..60))
    })
}

proptest! {
    #[test]
    fn the_order_respects_every_need((count, needs) in needs()) {
        let graph = Graph::new(count, needs.clone()).unwrap();
        let order = topological(&graph);
        let place = |stage: usize| order.iter().position(|other| *other == stage).unwrap();
        prop_assert_eq!(order.len(), count);
        for (user, needed) in needs {
            prop_assert!(place(needed) < place(user));
        }
    }

    #[test]
    fn an_added_back_edge_is_reported_as_a_real_circle((count, needs) in needs(), pick in any::<prop::sample::Index>()) {
        prop_assume!(!needs.is_empty());
        let (user, needed) = needs[pick.index(needs.len())];
        let mut all = needs.clone();
        all.push((needed, user));
        let circle = Graph::new(count, all.clone()).unwrap_err();
        for (at, stage) in circle.iter().enumerate() {
            let next = circle[(at + 1) % circle.len()];
            prop_assert!(all.contains(&(*stage, next)), "{circle:?} has no need from {stage} to {next}");
        }
        let distinct: BTreeSet<usize> = circle.iter().copied().collect();
        prop_assert_eq!(distinct.len(), circle.len());
    }

    #[test]
    fn cones_mirror_each_other((count, needs) in needs()) {
        let graph = Graph::new(count, needs).unwrap();
        for stage in 0..count {
            for other in downstream(&graph, &BTreeSet::from([stage])) {
                prop_assert!(upstream(&graph, &BTreeSet::from([other])).contains(&stage));
            }
        }
    }

    #[test]
    fn every_stage_is_handed_out_once_after_its_needs_and_failures_stop_only_what_is_below(
        (count, needs) in needs(),
        fates in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 24),
    ) {
        let graph = Graph::new(count, needs).unwrap();
        let all: BTreeSet<usize> = (0..count).collect();
        let mut schedule = Schedule::new(&graph, &all, vec![0; count]);
        let (mut running, mut done, mut failed, mut skipped) =
            (Vec::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut fate = fates.iter().cycle();
        let mut turns = 0;
        while !schedule.is_over() {
            let next = |schedule: &Schedule<'_>| schedule.ready().next();
            while let Some(stage) = next(&schedule) {
                schedule.take(stage);
                prop_assert!(graph.needs(stage).iter().all(|need| done.contains(need)));
                prop_assert!(!done.contains(&stage) && !running.contains(&stage));
                running.push(stage);
            }
            let (ends_well, which) = fate.next().unwrap();
            let stage = running.remove(which.index(running.len()));
            if *ends_well || turns % 3 == 0 {
                schedule.succeed(stage);
                done.insert(stage);
            } else {
                failed.insert(stage);
                skipped.extend(schedule.fail(stage));
            }
            turns += 1;
            prop_assert!(turns <= count, "it always ends");
        }
        let below: BTreeSet<usize> = downstream(&graph, &failed).difference(&failed).copied().collect();
        prop_assert_eq!(&skipped, &below);
        prop_assert_eq!(done.len() + failed.len() + skipped.len(), count);
    }
}
