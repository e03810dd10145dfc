//! Rows in, features over their past out: piece by piece, with what has to be remembered between.
//!
//! How: the clock is the latest time seen so far, and a row comes when the clock stands: one that
//! is logged late counts when it comes, as it would in front of a sensor. Each window keeps the
//! rows of its keys; those of a window of time are in one queue too, by which they leave as the
//! clock moves, so that keys that fell silent take no memory. **Invariant:** what is told of a row
//! depends on it and the rows before it alone. So the features of the first rows are the first of
//! the features, however the rows are cut into pieces.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rayon::iter::{IntoParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::frame::cell::read_float;
use crate::frame::hash::spread;
use crate::frame::table::{Table, TableError, show_time};
use crate::rolling::definition::{RollingFeatures, RollingWindow, WindowMeasure, WindowReach};
use crate::rolling::key_window::{KeyWindow, StoredKeyWindow};
use crate::rolling::reader::WindowCells;

/// Version of what is remembered. Others are refused.
const FORMAT: u32 = 1;

/// So many keys of a window of rows are remembered: the half that was silent longest is forgotten
/// when there are more.
const KEYS: usize = 1 << 20;

/// So many characters of a cell are repeated in a message.
const SHOWN: usize = 40;

/// What is remembered of the rows so far.
#[derive(Clone, Debug)]
pub struct RollingStream {
    features: RollingFeatures,
    windows: Vec<WindowRows>,
    /// How many rows came.
    rows: u64,
    /// The latest time, and the number of the row that had it.
    clock: Option<(i64, u64)>,
    /// By how much a row was behind the clock at most.
    pub behind_ms: i64,
}

/// What is told of rows by those before them.
#[derive(Clone, Debug)]
pub struct PastFeatures {
    /// A column a feature.
    pub table: Table,
    /// The rows of which nothing can be told, by their place, and why.
    pub faults: Vec<(usize, String)>,
}

/// A measure, with where the column that it is computed of stands.
#[derive(Clone, Debug)]
struct PlacedMeasure {
    measure: WindowMeasure,
    at: usize,
}

/// The rows of a window, of each key.
#[derive(Clone, Debug)]
struct WindowRows {
    window: RollingWindow,
    /// The columns of values that are remembered, and those of numbers.
    values: Vec<String>,
    numbers: Vec<String>,
    measures: Vec<PlacedMeasure>,
    keys: HashMap<u64, KeyWindow>,
    /// Of windows of time, the rows that are in them in the order in which they go.
    queue: VecDeque<(i64, u64)>,
    /// How many keys were forgotten.
    forgotten: u64,
}

/// What is remembered of a window, as it is stored: how many keys were forgotten, and the others.
type StoredWindow = (u64, Vec<(u64, StoredKeyWindow)>);

/// What is remembered, as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredStream {
    format: u32,
    rows: u64,
    clock: Option<(i64, u64)>,
    behind_ms: i64,
    windows: Vec<StoredWindow>,
}

impl RollingStream {
    /// Begins before the first row.
    pub fn new(features: RollingFeatures) -> Self {
        let windows = features.windows.iter().map(WindowRows::new).collect();
        Self {
            features,
            windows,
            rows: 0,
            clock: None,
            behind_ms: 0,
        }
    }

    /// Returns the features of the next rows, and remembers these. A row without a time, or with
    /// one that is too far behind, is in no window, and all of its features are missing.
    ///
    /// # Errors
    /// A column is not there.
    pub fn push(&mut self, table: &Table) -> Result<PastFeatures, TableError> {
        let cells = WindowCells::read(&self.features, table)?;
        // What stands in place of a time is read only to be told.
        let written = match cells.times.contains(&None) {
            true => table.texts(&self.features.time)?,
            false => Vec::new(),
        };
        let (times, faults) = self.arrivals(&cells.times, &written);
        let first = self.rows;
        let told: Vec<Vec<Vec<f64>>> = self
            .windows
            .par_iter_mut()
            .map(|window| window.push(&cells, &times, first))
            .collect();
        self.rows += times.len() as u64;
        let names = self.features.names();
        let columns = names.into_iter().zip(told.into_iter().flatten());
        Ok(PastFeatures {
            table: Table::of_numbers(columns.collect())?,
            faults,
        })
    }

    /// Returns how many rows came so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns how many keys were forgotten so far.
    pub fn forgotten(&self) -> u64 {
        self.windows.iter().map(|window| window.forgotten).sum()
    }

    /// Says why a row has no time.
    fn no_time(&self, cell: Option<&str>) -> String {
        let name = &self.features.time;
        let Some(cell) = cell else {
            return format!("no time in `{name}`");
        };
        let shown: String = cell.chars().take(SHOWN).collect();
        match read_float(cell) {
            Some(_) => format!(
                "{shown} in `{name}` is after the year 2262: say in what its numbers count, by `epoch` of `window`"
            ),
            None => format!("{shown:?} in `{name}` is no time"),
        }
    }

    /// Returns when each row comes by the clock, if it does, and why others do not; `written` are the
    /// cells of the times, where some are none.
    fn arrivals(
        &mut self,
        times: &[Option<i64>],
        written: &[Option<String>],
    ) -> (Vec<Option<i64>>, Vec<(usize, String)>) {
        let mut arrivals = Vec::with_capacity(times.len());
        let mut faults = Vec::new();
        for (at, time) in times.iter().enumerate() {
            let Some(time) = *time else {
                faults.push((at, self.no_time(written[at].as_deref())));
                arrivals.push(None);
                continue;
            };
            let row = self.rows + at as u64 + 1;
            let (clock, of_row) = self.clock.unwrap_or((time, row));
            let behind = clock.saturating_sub(time);
            if behind > self.features.late_ms {
                let why = format!(
                    "its time in `{}`, {}, is {} behind that of row {of_row}, {}: one of them is wrong, or `late` of `window` \
                     is too short",
                    self.features.time,
                    show_time(time),
                    tell_length(behind),
                    show_time(clock),
                );
                faults.push((at, why));
                arrivals.push(None);
                continue;
            }
            self.behind_ms = self.behind_ms.max(behind);
            self.clock = Some(if time >= clock {
                (time, row)
            } else {
                (clock, of_row)
            });
            arrivals.push(Some(time.max(clock)));
        }
        (arrivals, faults)
    }

    /// Returns what is remembered, to go on from: MessagePack, versioned.
    pub fn encode(&self) -> Vec<u8> {
        let stored = StoredStream {
            format: FORMAT,
            rows: self.rows,
            clock: self.clock,
            behind_ms: self.behind_ms,
            windows: self.windows.iter().map(WindowRows::stored).collect(),
        };
        rmp_serde::to_vec(&stored).expect("plain data serialises")
    }

    /// Goes on from what was remembered.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(features: RollingFeatures, bytes: &[u8]) -> Result<Self, TableError> {
        let stored: StoredStream = rmp_serde::from_slice(bytes)
            .map_err(|error| TableError(format!("what windows remember: {error}")))?;
        let mut stream = Self::new(features);
        if stored.format != FORMAT || stored.windows.len() != stream.windows.len() {
            let why = "what windows remember is of another format or of other windows";
            return Err(TableError(why.to_owned()));
        }
        (stream.rows, stream.clock) = (stored.rows, stored.clock);
        stream.behind_ms = stored.behind_ms;
        for (window, keys) in stream.windows.iter_mut().zip(stored.windows) {
            let (values, numbers) = (window.values.len(), window.numbers.len());
            let fits = |(_, rows): &(u64, StoredKeyWindow)| KeyWindow::fits(rows, values, numbers);
            if !keys.1.iter().all(fits) {
                let why = "what windows remember does not fit their columns";
                return Err(TableError(why.to_owned()));
            }
            window.restore(keys);
        }
        Ok(stream)
    }
}

impl WindowRows {
    fn new(window: &RollingWindow) -> Self {
        let (mut values, mut numbers) = (Vec::new(), Vec::new());
        let mut measures = Vec::new();
        for measure in &window.measures {
            let columns = match measure.is_of_numbers() {
                true => &mut numbers,
                false => &mut values,
            };
            let at = match measure.column() {
                None => 0,
                Some(name) => columns
                    .iter()
                    .position(|known| known == name)
                    .unwrap_or_else(|| {
                        columns.push(name.clone());
                        columns.len() - 1
                    }),
            };
            let measure = measure.clone();
            measures.push(PlacedMeasure { measure, at });
        }
        Self {
            window: window.clone(),
            values,
            numbers,
            measures,
            keys: HashMap::new(),
            queue: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Takes rows; returns of each measure a column.
    fn push(&mut self, cells: &WindowCells, times: &[Option<i64>], first: u64) -> Vec<Vec<f64>> {
        let by: Vec<&[Option<u64>]> = columns(&cells.values, &self.window.by);
        let values: Vec<&[Option<u64>]> = columns(&cells.values, &self.values);
        let numbers: Vec<&[f64]> = columns(&cells.numbers, &self.numbers);
        let mut told: Vec<Vec<f64>> = self
            .measures
            .iter()
            .map(|_| Vec::with_capacity(times.len()))
            .collect();
        for (row, time) in times.iter().enumerate() {
            let Some(time) = time else {
                told.iter_mut().for_each(|column| column.push(f64::NAN));
                continue;
            };
            self.let_go(*time);
            let key = by.iter().fold(0, |key, column| {
                spread(key ^ column[row].unwrap_or(u64::MAX))
            });
            let (of_values, of_numbers) = (values.len(), numbers.len());
            let rows = self
                .keys
                .entry(key)
                .or_insert_with(|| KeyWindow::new(of_values, of_numbers));
            rows.push(
                *time,
                values.iter().map(|column| column[row]),
                numbers.iter().map(|column| column[row]),
            );
            rows.latest = first + row as u64;
            match self.window.reach {
                WindowReach::Milliseconds(_) => self.queue.push_back((*time, key)),
                WindowReach::Rows(most) if rows.count() > most => rows.pop(),
                WindowReach::Rows(_) => {}
            }
            for (measure, column) in self.measures.iter().zip(&mut told) {
                column.push(measure.of(rows));
            }
            if matches!(self.window.reach, WindowReach::Rows(_)) {
                self.forget();
            }
        }
        told
    }

    /// Lets the rows go that are out of a window of time.
    fn let_go(&mut self, now: i64) {
        let WindowReach::Milliseconds(length) = self.window.reach else {
            return;
        };
        while let Some((time, key)) = self.queue.front().copied() {
            if time > now.saturating_sub(length) {
                return;
            }
            self.queue.pop_front();
            let rows = self.keys.get_mut(&key).expect("its rows are there");
            rows.pop();
            if rows.count() == 0 {
                self.keys.remove(&key);
            }
        }
    }

    /// Forgets keys that were silent longest, if there are too many.
    fn forget(&mut self) {
        if self.keys.len() <= KEYS {
            return;
        }
        let mut latest: Vec<u64> = self.keys.values().map(|rows| rows.latest).collect();
        let (_, middle, _) = latest.select_nth_unstable(KEYS / 2);
        let middle = *middle;
        let before = self.keys.len();
        self.keys.retain(|_, rows| rows.latest >= middle);
        self.forgotten += (before - self.keys.len()) as u64;
    }

    fn stored(&self) -> StoredWindow {
        let mut keys: Vec<(u64, StoredKeyWindow)> = self
            .keys
            .iter()
            .map(|(key, rows)| (*key, rows.stored()))
            .collect();
        keys.sort_by_key(|(key, _)| *key);
        (self.forgotten, keys)
    }

    fn restore(&mut self, (forgotten, stored): StoredWindow) {
        self.forgotten = forgotten;
        self.keys = stored
            .into_par_iter()
            .map(|(key, rows)| (key, KeyWindow::of_stored(rows)))
            .collect();
        if !matches!(self.window.reach, WindowReach::Milliseconds(_)) {
            return;
        }
        let mut queue: Vec<(i64, u64)> = Vec::new();
        for (key, rows) in &self.keys {
            queue.extend(rows.times().map(|time| (time, *key)));
        }
        // Those of one moment go together: their order is of no account.
        queue.sort_unstable();
        self.queue = queue.into();
    }
}

impl PlacedMeasure {
    fn of(&self, rows: &KeyWindow) -> f64 {
        match &self.measure {
            WindowMeasure::Count => rows.count() as f64,
            WindowMeasure::Distinct(_) => rows.values(self.at).distinct(),
            WindowMeasure::Share(_) => rows.values(self.at).share_of_latest(),
            WindowMeasure::Entropy(_) => rows.values(self.at).entropy(),
            WindowMeasure::Sum(_) => rows.numbers(self.at).summary().sum(),
            WindowMeasure::Mean(_) => rows.numbers(self.at).summary().mean(),
            WindowMeasure::Deviation(_) => rows.numbers(self.at).summary().deviation(),
            WindowMeasure::Least(_) => bound(rows.numbers(self.at).summary().least),
            WindowMeasure::Greatest(_) => bound(rows.numbers(self.at).summary().greatest),
            WindowMeasure::Gap => rows.gap(),
            WindowMeasure::Regularity => rows.regularity(),
        }
    }
}

/// The least and the greatest of no number are missing.
fn bound(number: f64) -> f64 {
    if number.is_finite() { number } else { f64::NAN }
}

fn columns<'a, T>(cells: &'a BTreeMap<String, Vec<T>>, names: &[String]) -> Vec<&'a [T]> {
    names.iter().map(|name| cells[name].as_slice()).collect()
}

/// Says a length of time in its largest unit.
pub fn tell_length(ms: i64) -> String {
    let seconds = ms as f64 / 1000.0;
    let units = [(86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")];
    match units.into_iter().find(|(unit, _)| seconds >= 2.0 * unit) {
        Some((unit, word)) => format!("{:.1} {word}", seconds / unit),
        None => format!("{seconds:.1} seconds"),
    }
}
