//! Files of rows, one JSON object per line, as cloud storage sinks upload them.

use super::body::Object;
use super::row::RawRow;
use super::{At, Payload, PayloadError, json_error, text};

/// Parses a whole file. Blank lines are passed over; one bad line refuses the file, so that nothing of it is stored.
/// A line may be as long as the file.
///
/// # Errors
/// See [`PayloadError`].
pub fn parse_lines(body: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let mut payload = Payload::default();
    for (number, line) in text(body)?.split('\n').enumerate() {
        let number = number + 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let Object(raw): Object<RawRow<'_>> =
            serde_json::from_str(line).map_err(|e| json_error(&e, Some(number)))?;
        payload.push(At::Line(number), raw)?;
    }
    Ok(payload)
}
