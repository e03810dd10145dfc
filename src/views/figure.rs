//! A figure in a cell of a page.

use crate::model::intervals::Interval;

/// Returns a figure with its interval, if it has one.
pub(crate) fn figure_cell(figure: f64, interval: Option<Interval>) -> String {
    match interval {
        Some([low, high]) => {
            format!("{figure:.4} <span class=\"small\">{low:.4} to {high:.4}</span>")
        }
        None => format!("{figure:.4}"),
    }
}
