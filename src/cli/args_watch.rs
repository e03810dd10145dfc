//! Arguments of `netsec watch` that are about a model in service.

use std::path::PathBuf;

use clap::Args;

/// When a model is to be trained anew.
#[derive(Args, Debug)]
pub struct ModelWatchArgs {
    /// Rerun when this model is to be trained anew, and not whenever data change: a ref, such as
    /// `ref:champion/phishing`. The gate decides as ever
    #[arg(long, value_name = "REF")]
    pub model: Option<String>,
    /// The log that `netsec serve --log` writes
    #[arg(long, value_name = "FOLDER", requires = "model")]
    pub log: Option<PathBuf>,
    /// Rerun when the share of rows that raise an alarm has changed (ADWIN)
    #[arg(long, requires = "log")]
    pub alert_rate: bool,
    /// Rerun when this many rows together have drifted away from the training rows, by an effect
    /// that counts
    #[arg(long, value_name = "N", requires = "log", value_parser = rows)]
    pub drift_rows: Option<usize>,
    /// What analysts found: a table with the columns `request` (its id), `row` (from one; left out:
    /// 1) and `verdict` (`attack` or `benign`)
    #[arg(long, value_name = "FILE", requires_all = ["log", "min_precision"])]
    pub verdicts: Option<PathBuf>,
    /// Rerun when the precision of the alarms that analysts judged is below this share: the whole
    /// of its 95 % interval
    #[arg(long, value_name = "SHARE", requires = "verdicts", value_parser = share)]
    pub min_precision: Option<f64>,
    /// Rerun when the ref has not moved for so long, such as `7d`
    #[arg(long, value_name = "LENGTH", requires = "model")]
    pub max_age: Option<String>,
    /// How often to look, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "model", value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
}

fn rows(text: &str) -> Result<usize, String> {
    let rows: usize = text.parse().map_err(|_| "write a number of rows")?;
    match rows >= 100 {
        true => Ok(rows),
        false => Err("fewer than 100 rows tell nothing".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "write a share, such as 0.5")?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err("a share is from 0 to 1".to_owned()),
    }
}
