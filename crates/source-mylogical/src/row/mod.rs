//! Rows of the log as values.
//!
//! Values are written one after the other into a text that is used again for every row, and lent from there: nothing is
//! allocated for a column.

#[cfg(test)]
mod corpus;
pub(crate) mod decimal;
mod error;
mod image;
mod images;
pub mod number;
pub mod temporal;
pub(crate) mod text;
pub(crate) mod value;

pub use error::{RowError, RowProblem};
pub use image::Image;
pub use images::{Images, Rows};
