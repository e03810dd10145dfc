//! "Did you mean": the closest of a list of names.

/// Returns the candidate nearest to `word`, if one is near enough to be a slip of the hand.
///
/// Distance is the number of inserted, removed, replaced or swapped neighbouring characters
/// (optimal string alignment); near enough is at most a third of the longer word, rounded up. A
/// word cut short is near too.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (
                if begins(word, candidate) {
                    1
                } else {
                    distance(word, candidate)
                },
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance
                <= word
                    .chars()
                    .count()
                    .max(candidate.chars().count())
                    .div_ceil(3)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns a help line that offers the nearest name, or else lists what there is.
pub fn suggest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(name) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let all: Vec<String> = candidates
        .into_iter()
        .map(|name| format!("`{name}`"))
        .collect();
    match all.len() {
        0 => None,
        1..=12 => Some(format!("there is {}", all.join(", "))),
        more => Some(format!(
            "there is {} and {} more",
            all[..12].join(", "),
            more - 12
        )),
    }
}

fn begins(word: &str, candidate: &str) -> bool {
    word.len() >= 3 && candidate.starts_with(word)
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(80).collect(), b.chars().take(80).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        assert_eq!(nearest("trian", ["ingest", "train", "test"]), Some("train"));
        assert_eq!(nearest("kindd", ["kind", "with"]), Some("kind"));
        assert_eq!(
            nearest("timeout", ["env", "timeout_seconds"]),
            Some("timeout_seconds")
        );
        assert_eq!(nearest("zebra", ["kind", "with"]), None);
    }
}
