//! Clock, the system's clock, a clock that ticks by hand; instants as text.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The only way to the time of day: milliseconds since 1970-01-01 UTC.
pub trait Clock: Send + Sync {
    /// Returns the milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock door")]
    fn now_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }
}

/// A clock for tests: each reading is one millisecond later than the one before.
#[derive(Debug, Default)]
pub struct TickingClock(AtomicU64);

impl TickingClock {
    /// Returns a clock whose first reading is `start_ms`.
    pub fn from_ms(start_ms: u64) -> Self {
        Self(AtomicU64::new(start_ms))
    }
}

impl Clock for TickingClock {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Year, month, day, hour, minute, second of an instant, in UTC.
///
/// The date is found with the proleptic Gregorian rules, counting days in eras of 400 years that
/// begin on 1 March, so that a leap day is the last of its year.
pub fn civil(ms: u64) -> (u64, u64, u64, u64, u64, u64) {
    let seconds = ms / 1000;
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (
        year,
        month,
        day,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    )
}

/// Returns the instant of a date and a time of day in UTC, in milliseconds since the Unix epoch:
/// what `civil` takes apart. Of parts that are no date, some instant; of years before 1970, the
/// epoch.
pub fn ms_of((year, month, day): (u64, u64, u64), (hour, minute, second): (u64, u64, u64)) -> u64 {
    let shifted_year = if month <= 2 {
        year.saturating_sub(1)
    } else {
        year
    };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day.saturating_sub(1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).saturating_sub(719_468);
    (days * 86_400 + hour * 3600 + minute * 60 + second) * 1000
}

/// Returns an instant as `2026-11-22T10:14:03Z`.
pub fn iso(ms: u64) -> String {
    let (year, month, day, hour, minute, second) = civil(ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns an instant as `2026-11-22T10:14:03.042Z`.
pub fn iso_ms(ms: u64) -> String {
    let whole = iso(ms);
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_as_their_calendar_date() {
        for day in 0..1_500_000 {
            let ms = day * 86_400_000 + 45_296_000;
            let (y, m, d, hour, minute, second) = civil(ms);
            assert_eq!(ms_of((y, m, d), (hour, minute, second)), ms);
        }
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso_ms(1_042), "1970-01-01T00:00:01.042Z");
        assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(iso(1_795_342_443_000), "2026-11-22T10:14:03Z");
    }
}
