//! Fitted transformations, one a file.

pub mod cells;
pub mod clip;
pub mod columns;
pub mod derive;
pub mod encode;
pub mod error;
pub mod finite;
pub mod hash;
pub mod impute;
pub mod knn;
pub mod knn_bounds;
pub mod labels;
pub mod pca;
pub mod preprocessor;
pub mod quantile;
pub mod reduce;
pub mod scale;
pub mod seen;
pub mod step;
pub mod target;
