//! The events of log files, one line of hexadecimal digits each: header, body and checksum as they are in the file.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Every file begins with it.
const MAGIC: &[u8] = b"\xfebin";
/// Where an event's header has the length of the event.
const LENGTH_AT: usize = 9;

/// The text of some files, in order.
pub(crate) fn of(data: &Path, files: &[String]) -> Result<String> {
    let mut text = String::new();
    for file in files {
        let bytes = std::fs::read(data.join(file)).with_context(|| format!("cannot read {file}"))?;
        let mut rest = bytes.strip_prefix(MAGIC).with_context(|| format!("{file} is no binary log"))?;
        writeln!(text, "# {file}")?;
        while !rest.is_empty() {
            let length: [u8; 4] = rest.get(LENGTH_AT..LENGTH_AT + 4).context("a cut header")?.try_into()?;
            let length = usize::try_from(u32::from_le_bytes(length))?;
            ensure!(length <= rest.len(), "a cut event in {file}");
            let (event, after) = rest.split_at(length);
            for byte in event {
                write!(text, "{byte:02x}")?;
            }
            text.push('\n');
            rest = after;
        }
    }
    Ok(text)
}
