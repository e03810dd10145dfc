//! Imputation and scaling against scikit-learn.

use ndarray::{Array2, s};
use netsec::prep::knn::KnnImputer;
use netsec::prep::scale::StandardScaler;
use serde_json::Value;

use crate::world::package;

fn matrix(rows: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(|cell| cell.as_f64().unwrap_or(f64::NAN)).collect())
        .collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

fn farthest(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let scale = |x: f64, y: f64| (x - y).abs() / 1.0_f64.max(y.abs());
    a.iter().zip(b).map(|(x, y)| scale(*x, *y)).fold(0.0, f64::max)
}

#[test]
fn imputation_and_scaling_equal_scikit_learn_to_1e_9() {
    let oracle: Value =
        serde_json::from_slice(&std::fs::read(package().join("tests/oracle/prep.json")).unwrap()).unwrap();
    let table = matrix(&oracle["table"]);
    let fit = table.slice(s![..oracle["fit_rows"].as_i64().unwrap() as isize, ..]);
    for k in [1, 3, 7] {
        let mut filled = table.clone();
        KnnImputer::fit(fit, k).unwrap().fill(&mut filled);
        let far = farthest(&filled, &matrix(&oracle[format!("knn_{k}")]));
        assert!(far < 1e-9, "k = {k}: {far}");
    }
    let mut scaled = matrix(&oracle["knn_3"]);
    let scaler = StandardScaler::fit(scaled.slice(s![..oracle["fit_rows"].as_i64().unwrap() as isize, ..]));
    scaler.apply(&mut scaled);
    let far = farthest(&scaled, &matrix(&oracle["scaled"]));
    assert!(far < 1e-9, "{far}");
}
