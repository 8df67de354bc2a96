//! The binary log as bytes: events, and what they say. Pure; never panics, whatever comes.

mod error;
mod event;
mod frame;
mod gtid_event;
mod parts;
pub mod query;
pub(crate) mod reader;
pub mod rows;
pub mod table_map;
#[cfg(test)]
mod tests;
mod unpack;

pub use error::{DecodeError, Problem};
pub use event::{Event, EventError, Format, MapHead, Query, RowsBody};
pub use frame::{Checksum, Frame, FrameError, HEADER_BYTES, Header};
pub use gtid_event::{MariaDbStart, MySqlStart, Xa};
pub use query::{Definition, Loss, Name, Statement, Xid};
pub use rows::{RowsEvent, RowsKind};
pub use table_map::{MapColumn, MapKey, TableMap, TableMapId};
pub use unpack::{Payload, PayloadEvents, UnpackError};
