//! What the source's catalogue says: the server, the role, the slot, publications, published tables, sequences.
//!
//! ```text
//! Session ─► queries (texts, by version) ─► rows ─► server, tables, types: plain structs, parsed without I/O
//! ```
//!
//! Nothing is judged here.

pub(crate) mod definitions;
mod error;
pub(crate) mod fields;
mod probe;
mod publications;
mod queries;
mod read;
mod server;
mod tables;
mod types;

pub use error::CatalogError;
pub use probe::{Probe, probe};
pub use publications::{GeneratedColumns, Publication, Sequence};
pub(crate) use read::Asking;
pub use read::{SourceCatalog, TableCatalog, TableScope, Wanted, connect, read, read_tables};
pub use server::{Role, Server, Slot, WalStatus};
pub use tables::{Column, Computed, Identity, Membership, PrimaryKey, Table, TableKind, TableName};
pub use types::{Attribute, DomainFacts, TypeFacts, TypeKind};

/// The oldest server that is supported: TID range scans and binary-safe slots begin there.
pub const OLDEST_VERSION: u32 = 140_000;
