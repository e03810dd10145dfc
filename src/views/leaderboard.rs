//! The leaderboard of a search as a table for terminals.

use std::fmt::Write as _;

use crate::model::hyper::HyperparameterValue;
use crate::model::novelty_comparison::{FoundBeside, NoveltyComparison};
use crate::model::unseen::FoundShares;
use crate::render::columns::columns;
use crate::tuning::leaderboard::{CurvePoint, Leaderboard, TrialEntry};

/// Shows the best trials, of their settings what differs among the trials of their learner.
pub fn show(board: &Leaderboard, top: usize) -> String {
    let mut rows = vec![head(&board.metric)];
    for (place, trial) in board.trials.iter().take(top).enumerate() {
        rows.push(row(board, place, trial));
    }
    let mut text = columns(&rows);
    let count = board.trials.len();
    if count > top {
        let more = count - top;
        let _ = writeln!(text, "… and {more} more trials: --top {count}");
    }
    let intervals = board.intervals.as_ref();
    if let Some([low, high]) = intervals.and_then(|known| known.get(&board.metric)) {
        let metric = &board.metric;
        let _ = writeln!(
            text,
            "\n95 % of the {metric} of the one that was picked: {low:.4} to {high:.4}"
        );
    }
    if !board.learning_curve.is_empty() {
        text.push_str("\nThe one that was picked, with less of the rows that it is fitted to:\n");
        let points: Vec<Vec<String>> = board.learning_curve.iter().map(point).collect();
        text.push_str(&columns(&points));
    }
    if let Some(beside) = &board.novelty {
        text.push_str("\nWhat raises an alarm at 1 % false positives, by the best novelty detector and beside it:\n");
        text.push_str(&columns(&novelty(beside)));
    }
    text
}

fn novelty(beside: &NoveltyComparison) -> Vec<Vec<String>> {
    let supervised = beside.supervised.as_ref();
    let supervised = supervised.map_or("–", |trial| trial.learner.as_str());
    let head = [
        "  attacks",
        "rows",
        beside.novelty.learner.as_str(),
        supervised,
    ];
    let share = |found: FoundShares| Some(found.at_fpr_0_01.share);
    let row = |found: &FoundBeside| {
        vec![
            format!("  {}", found.family),
            found.novelty.at_fpr_0_01.of.to_string(),
            figure(share(found.novelty)),
            figure(found.supervised.and_then(share)),
        ]
    };
    let rows = std::iter::once(&beside.attacks).chain(&beside.families);
    std::iter::once(head.map(str::to_owned).to_vec())
        .chain(rows.map(row))
        .collect()
}

fn head(metric: &str) -> Vec<String> {
    let names = [
        "",
        metric,
        "± of folds",
        "gap",
        "ROC AUC",
        "recall at 0.1 %",
        "learner",
        "setting",
    ];
    names.map(str::to_owned).to_vec()
}

fn row(board: &Leaderboard, place: usize, trial: &TrialEntry) -> Vec<String> {
    let metrics = trial.metrics.as_ref();
    vec![
        (place + 1).to_string(),
        figure(trial.score),
        figure(spread(&trial.folds)),
        figure(trial.gap),
        figure(metrics.map(|metrics| metrics.roc_auc)),
        figure(metrics.map(|metrics| metrics.recall_at_fpr_0_001)),
        trial.learner.clone(),
        setting(board, trial),
    ]
}

fn setting(board: &Leaderboard, trial: &TrialEntry) -> String {
    if let Some(error) = &trial.error {
        return format!("failed: {error}");
    }
    let varied: Vec<String> = trial
        .setting
        .iter()
        .filter(|(name, _)| varies(board, &trial.learner, name))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let share = match trial.share {
        Some(share) => format!(" on {:.1} % of the rows", share * 100.0),
        None => String::new(),
    };
    let refused = match &trial.objection {
        Some(why) => format!(" ({why})"),
        None => String::new(),
    };
    format!("{}{share}{refused}", varied.join(", "))
}

fn point(point: &CurvePoint) -> Vec<String> {
    let share = point.share * 100.0;
    vec![format!("  {share:.1} %"), figure(point.score)]
}

fn figure(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.4}"))
}

/// The standard deviation between folds; none of fewer than two.
fn spread(folds: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = folds.iter().copied().flatten().collect();
    if known.len() < 2 {
        return None;
    }
    let count = known.len() as f64;
    let mean = known.iter().sum::<f64>() / count;
    let squares: f64 = known.iter().map(|score| (score - mean).powi(2)).sum();
    Some((squares / (count - 1.0)).sqrt())
}

/// Returns whether more than one value of a hyperparameter was tried with a learner.
pub(crate) fn varies(board: &Leaderboard, learner: &str, name: &str) -> bool {
    let trials = board.trials.iter();
    let mut tried = trials
        .filter(|trial| trial.learner == learner)
        .map(|trial| trial.setting.get(name));
    let first: Option<Option<&HyperparameterValue>> = tried.next();
    tried.any(|value| Some(value) != first)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::frame::labels::Labels;
    use crate::model::metrics::Metrics;
    use crate::model::scores::Scores;

    fn trial(learner: &str, trees: f64, score: f64) -> TrialEntry {
        let criterion = HyperparameterValue::Word("gini".to_owned());
        let metrics = Metrics {
            roc_auc: 0.9,
            recall_at_fpr_0_001: 0.5,
            ..Metrics::at(
                &Labels::of_attacks([true, false]),
                &Scores::of_attack(vec![0.9, 0.1]),
                0.5,
            )
        };
        TrialEntry {
            learner: learner.to_owned(),
            setting: [
                ("trees".to_owned(), HyperparameterValue::Number(trees)),
                ("criterion".to_owned(), criterion),
            ]
            .into(),
            score: Some(score),
            folds: vec![Some(score), Some(score - 0.02)],
            metrics: Some(metrics),
            ..TrialEntry::default()
        }
    }

    pub(crate) fn board() -> Leaderboard {
        let failed = TrialEntry {
            learner: "knn".to_owned(),
            error: Some("all of one class".to_owned()),
            ..TrialEntry::default()
        };
        Leaderboard {
            metric: "f1".to_owned(),
            trials: vec![
                trial("random_forest", 64.0, 0.95),
                trial("random_forest", 8.0, 0.91),
                failed,
            ],
            ..Leaderboard::default()
        }
    }

    #[test]
    fn a_leaderboard_is_a_table() {
        insta::assert_snapshot!(show(&board(), 2), @r"
           f1      ± of folds  gap  ROC AUC  recall at 0.1 %  learner        setting
        1  0.9500  0.0141      –    0.9000   0.5000           random_forest  trees: 64
        2  0.9100  0.0141      –    0.9000   0.5000           random_forest  trees: 8
        … and 1 more trials: --top 3
        ");
    }
}
