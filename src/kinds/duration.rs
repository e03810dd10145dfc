//! Lengths of time, as people write them.

/// What helps where something is none.
pub(crate) const LENGTHS: &str = "say `1d`, `12h`, `30min` or `90s`";

/// Reads a length of time: a number with its unit, in seconds.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let unit = match unit.trim() {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 7.0 * 86_400.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    Some(number * unit).filter(|seconds| *seconds > 0.0 && seconds.is_finite())
}
