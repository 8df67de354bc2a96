//! The binary log as bytes: events, and what they say. Pure; never panics, whatever comes.

mod error;
mod frame;
pub(crate) mod reader;
pub mod rows;
pub mod table_map;
mod unpack;

pub use error::{DecodeError, Problem};
pub use frame::{Checksum, Frame, FrameError, HEADER_BYTES, Header};
pub use rows::{RowsEvent, RowsKind};
pub use table_map::{MapColumn, MapKey, TableMap, TableMapId};
pub use unpack::UnpackError;
