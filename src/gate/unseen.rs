//! What a challenger has to find of families of attacks that it never saw.

use crate::gate::decision::{JudgedRule, RuleOutcome};
use crate::model::intervals::tell_interval;
use crate::model::unseen::UnseenFamily;

/// The rule, as the parameter that sets it is called.
const RULE: &str = "unseen";

/// Judges the least that is found of any family by models that never saw it: of each share the
/// least.
pub(crate) fn judge(families: &[UnseenFamily], floors: &[(String, f64)]) -> Vec<JudgedRule> {
    let judge = |(name, least): &(String, f64)| match worst(families, name) {
        Some(family) => reaches(family, name, *least),
        None => untold(*least),
    };
    floors.iter().map(judge).collect()
}

/// The family of which the smallest share is found; one of which nothing is known comes first.
fn worst<'a>(families: &'a [UnseenFamily], name: &str) -> Option<&'a UnseenFamily> {
    let share = |family: &UnseenFamily| {
        let found = family.unseen.and_then(|found| found.share(name));
        found.map_or(f64::NEG_INFINITY, |found| found.share)
    };
    families.iter().min_by(|a, b| share(a).total_cmp(&share(b)))
}

/// No family was left out.
fn untold(least: f64) -> JudgedRule {
    let reason = "no family of attacks was left out in training: set `leave_out` of `train`";
    JudgedRule {
        needed: Some(least),
        verdict: RuleOutcome::Unclear,
        ..JudgedRule::checked(RULE, false, reason.to_owned())
    }
}

fn reaches(family: &UnseenFamily, name: &str, least: f64) -> JudgedRule {
    let slice = Some(("family".to_owned(), family.family.clone()));
    let Some(found) = family.unseen.and_then(|found| found.share(name)) else {
        return JudgedRule {
            slice,
            needed: Some(least),
            verdict: RuleOutcome::Unclear,
            ..JudgedRule::checked(RULE, false, family.tell())
        };
    };
    let passes = found.share >= least;
    let word = if passes { "reaches" } else { "does not reach" };
    let reason = format!(
        "of `{}`, had it never been seen, {:.4}{} would raise an alarm ({name}), which {word} the least {least}",
        family.family,
        found.share,
        tell_interval(Some(found.interval))
    );
    JudgedRule {
        metric: Some(name.to_owned()),
        slice,
        found: Some(found.share),
        interval: Some(found.interval),
        needed: Some(least),
        ..JudgedRule::checked(RULE, passes, reason)
    }
}
