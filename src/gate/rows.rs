//! The rows that may judge: none that a model was fitted to, and enough of both classes.

use crate::frame::table::Table;
use crate::gate::decision::JudgedRows;
use crate::gate::error::{ContenderRole, GateError};
use crate::gate::rules::GateRules;
use crate::model::bundle::ModelBundle;
use crate::prep::seen::RowSeen;

/// Leaves out test rows that a model was fitted to, unless the rules keep them.
///
/// # Errors
/// A model's columns are not there.
pub fn fair_rows(
    rules: &GateRules,
    test: &Table,
    models: &[(ContenderRole, &ModelBundle)],
) -> Result<(Table, JudgedRows), GateError> {
    let mut seen = vec![RowSeen::No; test.height()];
    for (role, bundle) in models {
        let role = *role;
        let by_this = bundle.preprocessor.seen(test);
        let by_this = by_this.map_err(|why| GateError::Inapplicable {
            role,
            why: why.into(),
        })?;
        for (seen, by_this) in seen.iter_mut().zip(by_this.into_iter().flatten()) {
            *seen = by_this.max(*seen);
        }
    }
    let count = |wanted: RowSeen| seen.iter().filter(|seen| **seen == wanted).count();
    let all = JudgedRows {
        given: test.height(),
        judged: test.height(),
        ..JudgedRows::default()
    };
    if rules.keeps_seen || count(RowSeen::Yes) == 0 {
        return Ok((test.clone(), all));
    }
    let rows = JudgedRows {
        seen_in_training: count(RowSeen::Yes),
        not_known: count(RowSeen::Unknown),
        judged: count(RowSeen::No),
        ..all
    };
    let keep: Vec<bool> = seen.iter().map(|seen| *seen == RowSeen::No).collect();
    Ok((test.filter(&keep)?, rows))
}

/// Says why these rows tell too little, if so.
pub fn too_few(rules: &GateRules, rows: &JudgedRows) -> Option<String> {
    let (what, found, least, key) = if rows.attacks < rules.min_attacks {
        ("attack", rows.attacks, rules.min_attacks, "min_attacks")
    } else if rows.benign < rules.min_benign {
        ("benign row", rows.benign, rules.min_benign, "min_benign")
    } else {
        return None;
    };
    let found = match found {
        0 => format!("no {what} is"),
        1 => format!("only 1 {what} is"),
        count => format!("only {count} {what}s are"),
    };
    let least = format!("at least {least} are needed (`{key}`)");
    Some(match rows.seen_in_training {
        0 => format!(
            "{found} among the {} test rows, {least}: set `stratify: true` in `split`, a larger `test_share`, or bring more of \
             them",
            rows.judged
        ),
        _ => format!(
            "{}; {found} among those, {least}: judge by rows that training did not have",
            rows.tell()
        ),
    })
}

impl JudgedRows {
    /// Says which test rows are left out.
    pub fn tell(&self) -> String {
        let not_known = match self.not_known {
            0 => String::new(),
            count => format!(", and {count} of which that is not known"),
        };
        format!(
            "{} of {} test rows equal training rows in every column that is used and are left out{not_known}: judged by {} rows",
            self.seen_in_training, self.given, self.judged
        )
    }
}
