//! Which labels mean that nothing happened.

/// Labels that mean "no attack", when they are compared in lower case and without blanks around
/// them.
const BENIGN: [&str; 12] = [
    "-1",
    "0",
    "normal",
    "benign",
    "legitimate",
    "good",
    "ham",
    "clean",
    "no",
    "false",
    "legit",
    "benign traffic",
];

/// Returns whether a label is called benign.
pub fn is_called_benign(label: &str) -> bool {
    BENIGN.contains(&label.trim().to_lowercase().as_str())
}

/// Returns the labels of a table that are taken for benign where nobody said which are: those that
/// are called so, or else the most frequent, of several the first. `counts` are the labels with
/// their rows.
pub fn presumed_benign<'a>(counts: impl Iterator<Item = (&'a str, u64)> + Clone) -> Vec<String> {
    let called: Vec<String> = counts
        .clone()
        .map(|(label, _)| label)
        .filter(|label| is_called_benign(label))
        .map(str::to_owned)
        .collect();
    if !called.is_empty() {
        return called;
    }
    let most = counts.max_by_key(|(label, count)| (*count, std::cmp::Reverse(*label)));
    most.map(|(label, _)| label.to_owned())
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_benign_is_so_and_otherwise_the_most_frequent() {
        let of = |counts: &[(&str, u64)]| presumed_benign(counts.iter().copied());
        assert_eq!(of(&[(" Normal ", 3), ("DoS", 9)]), [" Normal "]);
        assert_eq!(of(&[("a", 3), ("b", 9), ("c", 9)]), ["b"]);
        assert!(of(&[]).is_empty());
    }
}
