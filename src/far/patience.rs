//! How long an answer of a shared cache is waited for.

use std::time::Duration;

/// How long an answer to a small question is waited for unless the environment says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// The variable that does, in seconds.
pub const PATIENCE_VARIABLE: &str = "NETSEC_REMOTE_TIMEOUT";

/// Returns how long an answer to a small question is waited for.
///
/// # Errors
/// The variable holds no number of seconds, or too small or large a one.
pub fn patience(environment: &dyn Fn(&str) -> Option<String>) -> Result<Duration, String> {
    let Some(text) = environment(PATIENCE_VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(PATIENCE);
    };
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.001..=3600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is no number of seconds from 0.001 to 3600"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_seconds_is_taken_and_nothing_else() {
        let of = |text: &str| patience(&|_| Some(text.to_owned()));
        assert_eq!(of(""), Ok(PATIENCE));
        assert_eq!(patience(&|_| None), Ok(PATIENCE));
        assert_eq!(of("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["x", "0", "-1", "NaN", "inf", "3601", "1e300"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
