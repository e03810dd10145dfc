//! Whatever stands in a file, reading it ends with a tree or with problems, never otherwise.

use netsec::base::source::Source;
use netsec::base::tree;
use proptest::prelude::*;

use crate::toy::registry;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in "[a-c&*!|>{}\\[\\]:,'\"#?%@\\- \n\t0-9ä\u{1F600}]{0,120}") {
        let source = Source { name: "x".to_owned(), text };
        if let Err(problems) = tree::parse(&source) {
            prop_assert!(!problems.is_empty());
            for place in problems.iter().flat_map(|problem| &problem.places) {
                prop_assert!(place.span.start <= source.text.len());
            }
        }
    }

    #[test]
    fn any_edit_of_a_pipeline_is_checked_or_refused(at in any::<prop::sample::Index>(), with in "[a-z{}\\[\\]:\\-'\"$ \n]{0,6}") {
        let mut text = "params: { p: [1, x] }\nstages:\n  a: { kind: echo, with: { text: '${params.p}' } }\n  b:\n    kind: join\n    inputs: { x: a.out }\n".to_owned();
        let at = at.index(text.len());
        text.replace_range(at..(at + 2).min(text.len()), &with);
        let source = Source { name: "x".to_owned(), text };
        if let Err(refused) = netsec::pipeline::check::check(&source, &registry(), &[], &|_| None) {
            prop_assert!(!refused.report.problems.is_empty());
        }
    }
}
