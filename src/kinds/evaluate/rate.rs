//! Rates as people write them: `14.4M/day`, `200/hour`, `50000`.

use crate::stage::declare::ParamField;
use crate::stage::param::{ParamType, Value};

/// How often something happens a day, as written in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DailyRate(pub(crate) f64);

/// No network has more rows a day.
const MOST: f64 = 1e15;

/// A rate, or why it is none.
pub(crate) type WrittenRate = Result<DailyRate, String>;

impl ParamField for WrittenRate {
    const TYPE: ParamType = ParamType::Scalar;

    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Text(text)) => daily_rate(text),
            Some(value) => value
                .number()
                .filter(|number| *number > 0.0 && *number <= MOST)
                .map(DailyRate)
                .ok_or_else(|| expected("something else")),
            None => Err(expected("nothing")),
        }
    }
}

/// Reads a rate: a number, perhaps with k, M or G for thousands, millions and billions, and perhaps
/// a unit of time; a day where there is none.
fn daily_rate(text: &str) -> WrittenRate {
    let (amount, unit) = text.split_once('/').unwrap_or((text, "day"));
    let times_a_day = match unit.trim() {
        "day" | "d" => 1.0,
        "hour" | "h" => 24.0,
        "minute" | "min" => 24.0 * 60.0,
        "second" | "s" => 24.0 * 60.0 * 60.0,
        _ => return Err(expected(&format!("`{text}`"))),
    };
    let amount = amount.trim();
    let (digits, scale) = match amount.char_indices().last() {
        Some((at, 'k')) => (&amount[..at], 1e3),
        Some((at, 'M')) => (&amount[..at], 1e6),
        Some((at, 'G')) => (&amount[..at], 1e9),
        _ => (amount, 1.0),
    };
    let number: Option<f64> = digits.trim().parse().ok();
    let rate = number.map(|number| number * scale * times_a_day);
    let rate = rate.filter(|rate| *rate > 0.0 && *rate <= MOST);
    rate.map(DailyRate)
        .ok_or_else(|| expected(&format!("`{text}`")))
}

fn expected(found: &str) -> String {
    format!(
        "expected a rate above 0 and of at most 1e15 a day, such as `14.4M/day`, `200/hour` or `50000`, found {found}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [
            ("14.4M/day", 14.4e6),
            ("200/day", 200.0),
            ("10 / hour", 240.0),
            ("1k/s", 86.4e6),
            ("50000", 50_000.0),
            ("2.5G", 2.5e9),
        ] {
            assert_eq!(daily_rate(text), Ok(DailyRate(rate)), "{text}");
        }
        for text in [
            "", "/day", "ten/day", "5/week", "-3/day", "0", "inf", "1e400", "M", "1000G/s", "é",
        ] {
            assert!(daily_rate(text).is_err(), "{text}");
        }
    }
}
