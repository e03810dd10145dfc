//! Whatever stands in a file, reading it ends with a tree or with problems, never otherwise.

use proptest::prelude::*;

use crate::toy::registry;
use netsec::base::source::SourceText;
use netsec::base::syntax;
use netsec::pipeline::compose::{Choice, gather};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in "[a-c&*!|>{}\\[\\]:,'\"#?%@\\- \n\t0-9ä\u{1F600}]{0,120}") {
        if let Err(problems) = syntax::parse(&text, 0) {
            prop_assert!(!problems.is_empty());
            for place in problems.iter().flat_map(|problem| &problem.places) {
                prop_assert!(place.span.start <= text.len());
            }
        }
    }

    #[test]
    fn any_edit_of_a_pipeline_is_checked_or_refused(at in any::<prop::sample::Index>(), with in "[a-z{}\\[\\]:\\-'\"$ \n]{0,6}") {
        let mut text = "params: { p: [1, x] }\nstages:\n  a: { kind: echo, with: { text: '${params.p}' } }\n  b:\n    kind: join\n    inputs: { x: a.out }\n".to_owned();
        let at = at.index(text.len());
        text.replace_range(at..(at + 2).min(text.len()), &with);
        let read = |_: &str| Ok(b"params: { q: 1 }\nstages: { z: { kind: echo } }\n".to_vec());
        let gathered = gather(SourceText::new("x", text), &read, &Choice::default());
        if let Err(refused) = netsec::pipeline::check::check(gathered, &registry(), &|_| None) {
            prop_assert!(!refused.report.problems.is_empty());
        }
    }
}
