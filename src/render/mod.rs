//! Data to text: aligned columns, pages. What the data mean is not known here.

pub mod chart;
pub mod columns;
pub mod html;
