//! The trials of a search → a table, and an SVG of their scores against each hyperparameter.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::render::columns::columns;
use crate::render::html::escape;

/// The width and height of a picture, and the room around its points.
const SIZE: (f64, f64) = (320.0, 210.0);
const ROOM: (f64, f64) = (48.0, 36.0);

/// The colours of learners, in the order in which they come: those of Okabe and Ito (2008), which
/// the colour-blind tell apart.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#444444",
];

fn number(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "–".to_owned(), |number| format!("{number:.4}"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(
        || value.to_string().trim_end_matches(".0").to_owned(),
        str::to_owned,
    )
}

fn trials(board: &Value) -> Vec<&Value> {
    board["trials"].as_array().into_iter().flatten().collect()
}

/// Returns whether more than one value of a hyperparameter was tried with a learner.
fn varies(trials: &[&Value], learner: &Value, name: &str) -> bool {
    let mut tried = trials
        .iter()
        .filter(|trial| trial["learner"] == *learner)
        .map(|trial| &trial["setting"][name]);
    let first = tried.next();
    tried.any(|value| Some(value) != first)
}

/// Shows the best trials of a leaderboard, of their settings what differs among the trials of their
/// learner.
pub fn show(board: &Value, top: usize) -> String {
    let trials = trials(board);
    let metric = board["metric"].as_str().unwrap_or("score");
    let mut rows = vec![
        [
            "",
            metric,
            "± of folds",
            "gap",
            "ROC AUC",
            "recall at 0.1 %",
            "learner",
            "setting",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for (place, trial) in trials.iter().take(top).enumerate() {
        let folds: Vec<f64> = trial["folds"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        let mean = folds.iter().sum::<f64>() / folds.len().max(1) as f64;
        let spread = (folds
            .iter()
            .map(|score| (score - mean).powi(2))
            .sum::<f64>()
            / (folds.len().max(2) - 1) as f64)
            .sqrt();
        let setting: Vec<String> = (trial["setting"].as_object().into_iter().flatten())
            .filter(|(name, _)| varies(&trials, &trial["learner"], name))
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect();
        let share = trial["share"].as_f64().map_or_else(String::new, |share| {
            format!(" on {:.1} % of the rows", share * 100.0)
        });
        rows.push(vec![
            (place + 1).to_string(),
            number(&trial["score"]),
            if folds.len() > 1 {
                format!("{spread:.4}")
            } else {
                "–".to_owned()
            },
            number(&trial["gap"]),
            number(&trial["metrics"]["roc_auc"]),
            number(&trial["metrics"]["recall_at_fpr_0_001"]),
            plain(&trial["learner"]),
            match trial["error"].as_str() {
                Some(error) => format!("failed: {error}"),
                None => {
                    let refused = trial["objection"]
                        .as_str()
                        .map(|why| format!(" ({why})"))
                        .unwrap_or_default();
                    format!("{}{share}{refused}", setting.join(", "))
                }
            },
        ]);
    }
    let mut text = columns(&rows);
    if trials.len() > top {
        let _ = writeln!(
            text,
            "… and {} more trials: --top {}",
            trials.len() - top,
            trials.len()
        );
    }
    if let [Some(low), Some(high)] = [0, 1].map(|at| board["intervals"][metric][at].as_f64()) {
        let _ = writeln!(
            text,
            "\n95 % of the {metric} of the one that was picked: {low:.4} to {high:.4}"
        );
    }
    let curve: Vec<&Value> = board["learning_curve"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    if !curve.is_empty() {
        let point = |point: &&Value| {
            let share = point["share"].as_f64().unwrap_or_default() * 100.0;
            vec![format!("  {share:.1} %"), number(&point["score"])]
        };
        let _ = writeln!(
            text,
            "\nThe one that was picked, with less of the rows that it is fitted to:"
        );
        text.push_str(&columns(&curve.iter().map(point).collect::<Vec<_>>()));
    }
    text
}

/// A trial in a picture: its learner, its place, its score.
type TrialPoint = (String, Value, f64);

/// Returns, for every hyperparameter of which more than one value was tried, the trials by its
/// value.
fn pictures(board: &Value) -> BTreeMap<String, Vec<TrialPoint>> {
    let mut found: BTreeMap<String, Vec<TrialPoint>> = BTreeMap::new();
    let all = trials(board);
    for trial in &all {
        let Some(score) = trial["score"].as_f64() else {
            continue;
        };
        found.entry("learner".to_owned()).or_default().push((
            plain(&trial["learner"]),
            trial["learner"].clone(),
            score,
        ));
        let setting = trial["setting"].as_object().into_iter().flatten();
        for (name, value) in setting.filter(|(name, _)| varies(&all, &trial["learner"], name)) {
            found.entry(name.clone()).or_default().push((
                plain(&trial["learner"]),
                value.clone(),
                score,
            ));
        }
    }
    found.retain(|_, points| points.iter().any(|(_, value, _)| *value != points[0].1));
    found
}

/// Returns the points that are drawn, by hyperparameter.
pub fn points(board: &Value) -> Value {
    let of = |points: Vec<TrialPoint>| -> Vec<Value> {
        let point =
            |(learner, value, score)| json!({"learner": learner, "value": value, "score": score});
        points.into_iter().map(point).collect()
    };
    let by_name: serde_json::Map<String, Value> = pictures(board)
        .into_iter()
        .map(|(name, points)| (name, json!(of(points))))
        .collect();
    json!({"metric": board["metric"], "hyperparameters": by_name})
}

/// Draws the score of every trial against each hyperparameter.
pub fn plot(board: &Value) -> String {
    let pictures = pictures(board);
    let metric = board["metric"].as_str().unwrap_or("score");
    let scores: Vec<f64> = trials(board)
        .iter()
        .filter_map(|trial| trial["score"].as_f64())
        .collect();
    let (mut low, mut high) = scores
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), s| {
            (l.min(*s), h.max(*s))
        });
    if high <= low {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let mut learners: Vec<String> = trials(board)
        .iter()
        .map(|trial| plain(&trial["learner"]))
        .collect();
    learners.sort();
    learners.dedup();
    let colour = |learner: &str| {
        COLOURS[learners
            .iter()
            .position(|known| known == learner)
            .unwrap_or_default()
            % COLOURS.len()]
    };
    let across = pictures.len().clamp(1, 3);
    let (width, height) = (
        across as f64 * SIZE.0,
        pictures.len().div_ceil(across) as f64 * SIZE.1 + 60.0,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"system-ui,sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"12\" y=\"20\" font-size=\"14\">{} of {} \
         trials</text>\n",
        escape(metric),
        scores.len()
    );
    let mut x = 12.0;
    for learner in &learners {
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.0}\" cy=\"38\" r=\"4\" fill=\"{}\"/><text x=\"{:.0}\" y=\"42\">{}</text>",
            colour(learner),
            x + 8.0,
            escape(learner)
        );
        x += 24.0 + 6.5 * learner.chars().count() as f64;
    }
    for (at, (name, points)) in pictures.iter().enumerate() {
        let (left, top) = (
            (at % across) as f64 * SIZE.0,
            50.0 + (at / across) as f64 * SIZE.1,
        );
        let place = places(points);
        let (from, to) = (left + ROOM.0, left + SIZE.0 - 16.0);
        let (upper, lower) = (top + 22.0, top + SIZE.1 - ROOM.1);
        let y = |score: f64| lower - (score - low) / (high - low) * (lower - upper);
        let _ = writeln!(
            svg,
            "<text x=\"{from:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\n<path d=\"M{from:.1} {upper:.1}V{lower:.1}H{to:.1}\" \
             fill=\"none\" stroke=\"#999\"/>",
            top + 14.0,
            escape(name)
        );
        for (score, text) in [(low, low), (high, high)] {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text:.3}</text>",
                from - 5.0,
                y(score) + 4.0
            );
        }
        for (text, share) in &place.1 {
            let x = from + share * (to - from);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                lower + 14.0,
                escape(text)
            );
        }
        for ((learner, value, score), share) in points.iter().zip(&place.0) {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{}\" fill-opacity=\".6\"><title>{} {}: {}, {score:.4}</title></circle>",
                from + share * (to - from),
                y(*score),
                colour(learner),
                escape(learner),
                escape(name),
                escape(&plain(value))
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Of every point how far to the right it stands, and what is written below, where: words side by
/// side, numbers in proportion, their logarithms where they span more than a hundredfold.
fn places(points: &[TrialPoint]) -> (Vec<f64>, Vec<(String, f64)>) {
    let numbers: Option<Vec<f64>> = points.iter().map(|(_, value, _)| value.as_f64()).collect();
    let inner = |share: f64| 0.04 + 0.92 * share;
    let Some(numbers) = numbers else {
        let mut words: Vec<String> = points.iter().map(|(_, value, _)| plain(value)).collect();
        words.sort();
        words.dedup();
        let share = |word: &str| {
            let at = words
                .iter()
                .position(|known| known == word)
                .unwrap_or_default();
            inner((at as f64 + 0.5) / words.len() as f64)
        };
        // Words that do not fit side by side are left to the points, which tell them.
        let fits = words
            .iter()
            .map(|word| word.chars().count() + 2)
            .max()
            .unwrap_or(0)
            * words.len()
            <= 44;
        let told = words
            .iter()
            .filter(|_| fits)
            .map(|word| (word.clone(), share(word)))
            .collect();
        return (
            points
                .iter()
                .map(|(_, value, _)| share(&plain(value)))
                .collect(),
            told,
        );
    };
    let (low, high) = numbers
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), n| {
            (l.min(*n), h.max(*n))
        });
    let is_log = low > 0.0 && high / low > 100.0;
    let scaled = |number: f64| if is_log { number.ln() } else { number };
    let span = (scaled(high) - scaled(low)).max(f64::MIN_POSITIVE);
    let share = |number: f64| inner((scaled(number) - scaled(low)) / span);
    (
        numbers.iter().map(|number| share(*number)).collect(),
        vec![
            (low.to_string(), share(low)),
            (high.to_string(), share(high)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaderboard_is_a_table_and_a_drawing() {
        let trial = |learner: &str, trees: f64, score: f64| json!({"learner": learner, "setting": {"trees": trees, "criterion": "gini"}, "score": score, "folds": [score, score - 0.02], "metrics": {"roc_auc": 0.9, "recall_at_fpr_0_001": 0.5}});
        let board = json!({"metric": "f1", "trials": [trial("random_forest", 64.0, 0.95), trial("random_forest", 8.0, 0.91), {"learner": "knn", "setting": {}, "error": "all of one class"}]});
        insta::assert_snapshot!(show(&board, 2), @r"
           f1      ± of folds  gap  ROC AUC  recall at 0.1 %  learner        setting
        1  0.9500  0.0141      –    0.9000   0.5000           random_forest  trees: 64
        2  0.9100  0.0141      –    0.9000   0.5000           random_forest  trees: 8
        … and 1 more trials: --top 3
        ");
        let names: Vec<String> = pictures(&board).into_keys().collect();
        assert_eq!(
            names,
            ["trees"],
            "of criterion and of learners with a score there is one"
        );
        assert_eq!(plot(&board).matches("<title>").count(), 2);
    }
}
