//! The messages of the `pgoutput` plugin, protocol version 1, and the frames that carry them.
//!
//! Decoding is a pure function of the bytes. Names and values are borrowed from the input, every count is checked
//! against the bytes that are left before anything is allocated, and whatever is not understood is an error: a
//! guess here would be a wrong row in the target.
//!
//! The layout is that of "Logical Replication Message Formats" in PostgreSQL's documentation.

mod error;
mod frame;
mod message;
mod reader;
mod tuple;

pub use error::{DecodeError, Problem};
pub use frame::{Frame, Keepalive, Status, WalData};
pub use message::{
    Begin, Commit, Delete, Insert, LogicalMessage, Message, OldRow, Origin, RelationColumn,
    RelationDescription, RelationOid, ReplicaIdentity, SourceTime, Truncate, TypeDescription, TypeOid,
    Update, decode,
};
pub use tuple::{Tuple, Value};

#[cfg(test)]
mod tests;
