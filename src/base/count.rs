//! Numbers of things, in words.

/// Says how many there are of a thing whose plural ends with `s`: `1 row`, `2 rows`.
pub fn counted(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}
