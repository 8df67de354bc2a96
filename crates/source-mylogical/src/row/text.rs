//! Text, bytes, and what the log writes as one of these.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::RowProblem;
use super::number;
use super::value::Context;
use crate::binlog::reader::Reader;
use crate::charset::Charset;
use crate::policy::Nuls;
use crate::table::{Kind, PlannedColumn};

/// Reads a value of a kind that has a length, ENUM or SET, and appends its text.
pub(super) fn write(
    column: &PlannedColumn,
    reader: &mut Reader<'_>,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<(), RowProblem> {
    match column.kind {
        Kind::Text { prefix, charset } => text(charset, counted(reader, prefix)?, out, context),
        Kind::JsonText { prefix, charset } => text(charset, counted(reader, prefix)?, out, context),
        Kind::Enum(bytes) => label(column, reader.uint(bytes, "an index")?, out, context),
        Kind::Set { bytes, array } => set(column, reader.uint(bytes, "a set")?, array, out, context),
        Kind::Bytes { prefix, uuid } => bytes(counted(reader, prefix)?, uuid, out),
        Kind::Padded { prefix, length } => padded(counted(reader, prefix)?, length, out),
        Kind::Uuid { prefix } => {
            uuid(&whole(counted(reader, prefix)?)?, out);
            Ok(())
        }
        Kind::Inet4 { prefix } => show(Ipv4Addr::from(whole::<4>(counted(reader, prefix)?)?), out),
        Kind::Inet6 { prefix } => show(Ipv6Addr::from(whole::<16>(counted(reader, prefix)?)?), out),
        Kind::Geometry { prefix, bytes } => geometry(counted(reader, prefix)?, bytes, out),
        Kind::Vector { prefix, array } => vector(counted(reader, prefix)?, array, out),
        _ => Err(RowProblem::Impossible { kind: "value" }),
    }
}

/// Bytes behind a length of so many bytes.
#[inline]
pub(crate) fn counted<'a>(reader: &mut Reader<'a>, prefix: usize) -> Result<&'a [u8], RowProblem> {
    let expected = "the length of a value";
    let length = match prefix {
        1 => u64::from(reader.u8(expected)?),
        _ => reader.uint(prefix, expected)?,
    };
    Ok(reader.bytes(usize::try_from(length).unwrap_or(usize::MAX), "a value")?)
}

fn text(
    charset: Charset,
    bytes: &[u8],
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<(), RowProblem> {
    let begin = out.len();
    charset.decode(bytes, out).map_err(|_| RowProblem::NotText)?;
    without_nuls(begin, out, context)
}

/// Does what the policy says about zero characters in what was appended.
pub(crate) fn without_nuls(
    begin: usize,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<(), RowProblem> {
    if memchr::memchr(0, &out.as_bytes()[begin..]).is_none() {
        return Ok(());
    }
    match context.policies.nuls {
        Nuls::Refuse => Err(RowProblem::Nul),
        Nuls::Strip => {
            let kept = out[begin..].replace('\0', "");
            out.truncate(begin);
            out.push_str(&kept);
            context.changed.nuls += 1;
            Ok(())
        }
    }
}

/// The label of an index; 0 is what the source took instead of a label it does not have.
fn label(
    column: &PlannedColumn,
    index: u64,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<(), RowProblem> {
    let Some(at) = index.checked_sub(1) else { return Ok(()) };
    let label = usize::try_from(at).ok().and_then(|at| column.labels.get(at));
    let begin = out.len();
    out.push_str(label.ok_or(RowProblem::Impossible { kind: "label of an ENUM" })?);
    without_nuls(begin, out, context)
}

/// Labels in the order of the definition, as a list or an array of the target.
fn set(
    column: &PlannedColumn,
    mask: u64,
    array: bool,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<(), RowProblem> {
    let labels = &column.labels;
    let known = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    if mask.checked_shr(known).unwrap_or(0) != 0 {
        return Err(RowProblem::Impossible { kind: "label of a SET" });
    }
    let begin = out.len();
    if array {
        out.push('{');
    }
    let mut first = true;
    for (_, label) in labels.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1) {
        if !first {
            out.push(',');
        }
        first = false;
        if array {
            element(label, out);
        } else {
            out.push_str(label);
        }
    }
    if array {
        out.push('}');
    }
    without_nuls(begin, out, context)
}

/// An element of PostgreSQL's text form of arrays.
fn element(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

fn bytes(bytes: &[u8], as_uuid: bool, out: &mut String) -> Result<(), RowProblem> {
    match bytes.first_chunk() {
        Some(uuid_bytes) if as_uuid && bytes.len() == 16 => uuid(uuid_bytes, out),
        _ => {
            out.push_str("\\x");
            hex(bytes, LOWER, out);
        }
    }
    Ok(())
}

/// BINARY(n): the log leaves out trailing zero bytes.
fn padded(bytes: &[u8], length: usize, out: &mut String) -> Result<(), RowProblem> {
    let missing = length.checked_sub(bytes.len()).ok_or(RowProblem::Impossible { kind: "BINARY" })?;
    out.push_str("\\x");
    hex(bytes, LOWER, out);
    (0..missing).for_each(|_| out.push_str("00"));
    Ok(())
}

/// The same of a type with a form of its own.
fn whole<const N: usize>(bytes: &[u8]) -> Result<[u8; N], RowProblem> {
    let mut whole = [0; N];
    whole
        .get_mut(..bytes.len())
        .ok_or(RowProblem::Impossible { kind: "UUID or address" })?
        .copy_from_slice(bytes);
    Ok(whole)
}

fn show(value: impl std::fmt::Display, out: &mut String) -> Result<(), RowProblem> {
    use std::fmt::Write as _;
    write!(out, "{value}").map_err(|_| RowProblem::Impossible { kind: "address" })
}

fn uuid(bytes: &[u8; 16], out: &mut String) {
    let mut rest = bytes.as_slice();
    for length in [4, 2, 2, 2, 6] {
        let (part, more) = rest.split_at(length);
        hex(part, LOWER, out);
        rest = more;
        if !rest.is_empty() {
            out.push('-');
        }
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
/// PostGIS writes its geometries so.
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Appends two digits for each byte.
fn hex(bytes: &[u8], digits: &[u8; 16], out: &mut String) {
    const CHUNK: usize = 64;
    let mut buffer = [0; 2 * CHUNK];
    for chunk in bytes.chunks(CHUNK) {
        for (byte, pair) in chunk.iter().zip(buffer.chunks_exact_mut(2)) {
            pair[0] = digits[usize::from(byte >> 4)];
            pair[1] = digits[usize::from(byte & 15)];
        }
        // Digits are ASCII.
        out.push_str(std::str::from_utf8(&buffer[..2 * chunk.len()]).unwrap_or_default());
    }
}

/// The log has the number of the reference system before the geometry, PostGIS behind its type. Points are x, y on both
/// sides.
fn geometry(bytes: &[u8], as_bytes: bool, out: &mut String) -> Result<(), RowProblem> {
    const HAS_REFERENCE: u32 = 0x2000_0000;
    let mut reader = Reader::new("geometry", bytes);
    let reference = reader.u32("the number of the reference system")?;
    let order = reader.u8("the order of bytes")?;
    let kind: [u8; 4] = reader.array("the type of the geometry")?;
    let rest = reader.rest();
    let in_order = |number: u32| if order == 0 { number.to_be_bytes() } else { number.to_le_bytes() };
    let flagged = match (order, reference) {
        (2.., _) => return Err(RowProblem::Impossible { kind: "geometry" }),
        (_, 0) => kind,
        (0, _) => in_order(u32::from_be_bytes(kind) | HAS_REFERENCE),
        (1, _) => in_order(u32::from_le_bytes(kind) | HAS_REFERENCE),
    };
    let digits = if as_bytes { LOWER } else { UPPER };
    if as_bytes {
        out.push_str("\\x");
    }
    hex(&[order], digits, out);
    hex(&flagged, digits, out);
    if reference != 0 {
        hex(&in_order(reference), digits, out);
    }
    hex(rest, digits, out);
    Ok(())
}

fn vector(bytes: &[u8], array: bool, out: &mut String) -> Result<(), RowProblem> {
    let (floats, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(RowProblem::Impossible { kind: "VECTOR" });
    }
    out.push(if array { '{' } else { '[' });
    for (at, float) in floats.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        number::float32(f32::from_le_bytes(*float), out);
    }
    out.push(if array { '}' } else { ']' });
    Ok(())
}
