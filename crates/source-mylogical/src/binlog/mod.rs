//! The binary log as bytes: events, and what they say. Pure; never panics, whatever comes.

mod frame;
mod unpack;

pub use frame::{Checksum, Frame, FrameError, HEADER_BYTES, Header};
pub use unpack::UnpackError;
