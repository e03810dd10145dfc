//! What a column is by its name and by what it holds: names of rows, hosts and moments, notes made
//! after the fact, and what belongs to a testbed.

use std::net::IpAddr;

use crate::frame::table::{ColumnType, Table, TableError, read_time};
use crate::profile::columns::{ColumnProfile, SampledCells, ValueDistribution};
use crate::profile::giveaway::GiveawayReason;

/// Columns with so many different values for so many rows look like names of rows, in tables of at
/// least so many rows. Where values are not counted one by one, their number is an estimate, which
/// may be too low.
const NAME_SHARE: f64 = 0.95;
const ESTIMATED_NAME_SHARE: f64 = 0.88;
const NAME_ROWS: u64 = 50;
/// Names that say that they number rows need fewer.
const CALLED_NAME_SHARE: f64 = 0.5;
/// Whole numbers are row numbers if they lie this close together.
const DENSE: f64 = 2.0;
/// This share of the sampled cells decides what text holds.
const MOST: f64 = 0.95;
/// Seconds from 2000 to 2040: numbers that all lie there are taken for moments.
const EPOCH: (f64, f64) = (946_684_800.0, 2_208_988_800.0);
/// So many rows in a hundred may be out of order in a column that rises with the file.
const OUT_OF_ORDER: f64 = 0.001;

/// Returns how a column gives the label away by what it is, whatever it tells.
pub fn nature(column: &ColumnProfile, rows: u64, rising: &[String]) -> Option<GiveawayReason> {
    match () {
        () if is_annotation(&column.name) => Some(GiveawayReason::Annotation),
        () if is_address(column) => Some(GiveawayReason::Address),
        () if is_moment(column) => Some(GiveawayReason::Moment),
        () => name_of_rows(column, rows).or_else(|| {
            rising
                .contains(&column.name)
                .then_some(GiveawayReason::FileOrder)
        }),
    }
}

/// Returns the columns of numbers that rise, or fall, with the rows of a table: counters and times,
/// whatever they count from.
///
/// # Errors
/// A column cannot be read.
pub fn rising(table: &Table) -> Result<Vec<String>, TableError> {
    let mut found = Vec::new();
    for (name, kind) in table.columns()? {
        if !matches!(kind, ColumnType::Int | ColumnType::Float)
            || (table.height() as u64) < NAME_ROWS
        {
            continue;
        }
        let cells: Vec<f64> = table
            .numbers(&name)?
            .into_iter()
            .filter(|cell| !cell.is_nan())
            .collect();
        let pairs = cells.len().saturating_sub(1) as f64;
        let count = |is_so: &dyn Fn(f64, f64) -> bool| {
            cells
                .windows(2)
                .filter(|pair| is_so(pair[0], pair[1]))
                .count() as f64
        };
        let (up, down) = (count(&|a, b| b > a), count(&|a, b| b < a));
        let is_full = cells.len() * 2 > table.height();
        // Levels that change now and then rise too: most steps have to be real ones.
        if is_full && up.max(down) >= 0.5 * pairs && up.min(down) <= OUT_OF_ORDER * pairs {
            found.push(name);
        }
    }
    Ok(found)
}

/// The words of a column's name, in lower case.
fn words(name: &str) -> Vec<String> {
    name.to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns what a column of a testbed is, by its name.
pub fn of_testbed(name: &str) -> Option<GiveawayReason> {
    let words = words(name);
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    match () {
        () if words.iter().any(|word| word.ends_with("ttl")) => Some(GiveawayReason::TimeToLive),
        () if has(&["port", "sport", "dport", "srcport", "dstport", "spt", "dpt"]) => {
            Some(GiveawayReason::Port)
        }
        () if words.starts_with(&["id".to_owned()])
            && words.last().is_some_and(|word| word == "p") =>
        {
            Some(GiveawayReason::Port)
        }
        () => None,
    }
}

/// Names of what is noted down after the fact: second labels, and how hard a row was for others.
const ANNOTATIONS: [&str; 22] = [
    "attack",
    "attack_cat",
    "attack_category",
    "attack_name",
    "attack_type",
    "category",
    "class",
    "detailed_label",
    "difficulty",
    "difficulty_level",
    "ground_truth",
    "is_attack",
    "is_malicious",
    "is_malware",
    "label",
    "labels",
    "malicious",
    "subcategory",
    "sublabel",
    "target",
    "traffic_category",
    "verdict",
];

/// Returns whether a column is called like a label, or like what is noted down after the fact.
pub fn is_annotation(name: &str) -> bool {
    ANNOTATIONS.contains(&words(name).join("_").as_str())
}

fn is_called_name(name: &str) -> bool {
    const CALLED: [&str; 12] = [
        "id", "uid", "uuid", "guid", "index", "idx", "rownum", "rowid", "flowid", "seqno",
        "unnamed", "record",
    ];
    words(name)
        .iter()
        .any(|word| CALLED.contains(&word.as_str()))
}

fn name_of_rows(column: &ColumnProfile, rows: u64) -> Option<GiveawayReason> {
    let (count, distinct) = (column.count(), column.distinct());
    let share = distinct / count.max(1) as f64;
    let is_estimate = matches!(
        column.values,
        ValueDistribution::Points(_) | ValueDistribution::Buckets(_)
    );
    let least = if is_estimate {
        ESTIMATED_NAME_SHARE
    } else {
        NAME_SHARE
    };
    if rows < NAME_ROWS || count * 2 < rows {
        return None;
    }
    let is_whole = match &column.values {
        ValueDistribution::Counts(values) | ValueDistribution::Points(values) => {
            values.iter().all(|(value, _)| value.fract() == 0.0)
        }
        ValueDistribution::Texts(_) | ValueDistribution::Buckets(_) => false,
    };
    match column.kind {
        ColumnType::Text
            if share >= least || is_called_name(&column.name) && share >= CALLED_NAME_SHARE =>
        {
            Some(GiveawayReason::FlowId)
        }
        ColumnType::Int | ColumnType::Float if is_whole && share >= least => {
            let (ValueDistribution::Counts(values) | ValueDistribution::Points(values)) =
                &column.values
            else {
                return None;
            };
            let (low, high) = (values.first()?.0, values.last()?.0);
            match () {
                () if high - low + 1.0 <= DENSE * rows as f64 => Some(GiveawayReason::RowNumber),
                () if is_called_name(&column.name) => Some(GiveawayReason::FlowId),
                () => None,
            }
        }
        _ => None,
    }
}

/// Whether most sampled cells are as they are asked for; there have to be some.
fn most(column: &ColumnProfile, is_so: impl Fn(&str) -> bool) -> bool {
    let cells: Vec<&str> = match (&column.sample, &column.values) {
        (SampledCells::Texts(cells), _) if !cells.is_empty() => {
            cells.iter().flatten().map(String::as_str).collect()
        }
        (_, ValueDistribution::Texts(values)) => {
            values.iter().map(|(text, _)| text.as_str()).collect()
        }
        _ => return false,
    };
    !cells.is_empty()
        && cells.iter().filter(|cell| is_so(cell)).count() as f64 >= MOST * cells.len() as f64
}

/// Whether text is an address of IP, also with a port or the length of a network.
fn is_ip(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    host.parse::<IpAddr>().is_ok() || host.parse::<std::net::SocketAddr>().is_ok()
}

fn is_address(column: &ColumnProfile) -> bool {
    let is_mac = |text: &str| {
        let parts: Vec<&str> = text.split([':', '-']).collect();
        parts.len() == 6
            && parts
                .iter()
                .all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    column.kind == ColumnType::Text
        && most(column, |text| is_ip(text.trim()) || is_mac(text.trim()))
}

/// The parts of a second in which numbers count from 1970, if all of them can be moments.
pub fn epoch_parts(column: &ColumnProfile) -> Option<u32> {
    let (ValueDistribution::Counts(values) | ValueDistribution::Points(values)) = &column.values
    else {
        return None;
    };
    let (low, high) = (values.first()?.0, values.last()?.0);
    // One value is a constant, and few are levels.
    let is_many = values.len() > 2 && matches!(column.kind, ColumnType::Int | ColumnType::Float);
    [0_u32, 3, 6, 9].into_iter().find(|digits| {
        let part = 10_f64.powi(*digits as i32);
        is_many && low >= EPOCH.0 * part && high <= EPOCH.1 * part
    })
}

fn is_moment(column: &ColumnProfile) -> bool {
    let is_called =
        TIMES.contains(&words(&column.name).join("_").as_str()) && column.distinct() > 20.0;
    column.kind == ColumnType::Time
        || is_called
        || epoch_parts(column).is_some()
        || is_calendar(column)
        || column.kind == ColumnType::Text && most(column, |text| is_time(text.trim()))
}

/// Names of moments, whatever form they are written in.
const TIMES: [&str; 22] = [
    "date",
    "date_first_seen",
    "datetime",
    "end_time",
    "endtime",
    "first_seen",
    "flow_end",
    "flow_end_time",
    "flow_start",
    "flow_start_time",
    "frame_time",
    "last_seen",
    "ltime",
    "start_time",
    "startdate",
    "starttime",
    "stime",
    "time_stamp",
    "timestamp",
    "timestamps",
    "ts",
    "utc",
];

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Whether text is a date, with a time of day or without: in the forms of RFC 3339, or with parts
/// in any order, numbers or names of months.
fn is_time(text: &str) -> bool {
    if text.len() >= 8 && read_time(text).is_some() {
        return true;
    }
    let is_apart = |c: char| matches!(c, ' ' | '-' | '/' | '.' | ':' | 'T' | ',' | '+' | '_');
    let parts: Vec<String> = text
        .trim_end_matches('Z')
        .split(is_apart)
        .filter(|part| !part.is_empty())
        .map(str::to_lowercase)
        .collect();
    let is_month = |part: &String| part.get(..3).is_some_and(|head| MONTHS.contains(&head));
    let is_name =
        |part: &String| is_month(part) || matches!(part.as_str(), "am" | "pm" | "utc" | "gmt");
    let is_number = |part: &String| part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() < 3 || !parts.iter().all(|part| is_number(part) || is_name(part)) {
        return false;
    }
    let has_year = parts
        .iter()
        .take(3)
        .any(|part| part.len() == 4 && part.parse().is_ok_and(|year| (1990..2060).contains(&year)));
    let has_clock = text.contains(':');
    let small = |part: &String| {
        is_month(part) || part.len() <= 2 && part.parse().is_ok_and(|number: u32| number <= 60)
    };
    has_year && parts.iter().take(3).filter(|part| small(part)).count() >= 2
        || has_clock
            && parts.len() >= 4
            && parts.iter().take(2).all(small)
            && (parts.iter().any(is_month) || text.contains(['/', '-']))
}

/// Whether whole numbers are written as a calendar: `20170703`, `201707030800` or `20170703080000`;
/// or count hundreds of nanoseconds from 1601, as Windows does.
fn is_calendar(column: &ColumnProfile) -> bool {
    let (ValueDistribution::Counts(values) | ValueDistribution::Points(values)) = &column.values
    else {
        return false;
    };
    if values.len() < 3 || !matches!(column.kind, ColumnType::Int | ColumnType::Float) {
        return false;
    }
    let is_date = |value: f64, digits: i32| {
        let day = (value / 10_f64.powi(digits - 8)).floor();
        let (year, month, of_month) = ((day / 1e4).floor(), (day / 1e2).floor() % 1e2, day % 1e2);
        (1990.0..2060.0).contains(&year)
            && (1.0..=12.0).contains(&month)
            && (1.0..=31.0).contains(&of_month)
    };
    let all = |is_so: &dyn Fn(f64) -> bool| values.iter().all(|(value, _)| is_so(*value));
    [8, 12, 14]
        .into_iter()
        .any(|digits| all(&|value| is_date(value, digits)))
        || all(&|value| (1.26e17..1.46e17).contains(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_known_in_the_forms_that_sensors_write() {
        for text in [
            "2017-07-03 08:00",
            "2017-07-03T08:00:01.5+02:00",
            "03/07/2017 08:00",
            "7/7/2017 3:30",
            "2017/07/03 08:00:00.1",
            "03.07.2017 08:00",
            "03-Jul-17 08:00",
            "Jul 03 08:00:01",
            "Jul 3, 2017 8:00 PM",
            "2011/08/10 09:46:53.047277",
        ] {
            assert!(is_time(text), "{text}");
        }
        for text in [
            "10.0.0.1",
            "1.2.3",
            "80",
            "00:11:22:33:44:55",
            "tcp",
            "GET /a/b/c",
            "12:30",
            "v1.2.2017",
            "1/2/3",
        ] {
            assert!(!is_time(text), "{text}");
        }
    }

    #[test]
    fn a_counter_rises_with_the_file_and_a_measure_does_not() {
        let cells = |of: &dyn Fn(u32) -> f64| (0..400).map(of).collect::<Vec<f64>>();
        let table = Table::of_numbers(vec![
            (
                "gaps".to_owned(),
                cells(&|row| f64::from(row * 7 + row * 7919 % 7)),
            ),
            ("falls".to_owned(), cells(&|row| -f64::from(row))),
            ("levels".to_owned(), cells(&|row| f64::from(row / 100))),
            (
                "bytes".to_owned(),
                cells(&|row| f64::from(row * 7919 % 1_009)),
            ),
        ]);
        assert_eq!(rising(&table.unwrap()).unwrap(), ["gaps", "falls"]);
    }
}
