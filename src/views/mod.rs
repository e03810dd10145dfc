//! What people look at: reports, leaderboards and comparisons as pages, drawings and text.

pub mod classes;
pub mod decision;
pub mod drift;
pub mod figure;
pub mod junit;
pub mod leaderboard;
pub mod report_schemas;
pub mod sweep_plot;
pub mod unseen;
pub mod validation;
pub mod windows;
