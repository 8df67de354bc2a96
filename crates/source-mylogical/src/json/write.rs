//! Documents as text, as the server shows them.

use super::binary::{Container, View};
use super::edit::Node;
use super::{IMPOSSIBLE, MOST_DEPTH};
use crate::binlog::reader::Reader;
use crate::binlog::table_map::log_type as t;
use crate::policy::Nuls;
use crate::row::temporal::{Form, span, unpack};
use crate::row::{RowProblem, decimal, number};

/// Digits of a fraction of a second in documents.
const FRACTION_DIGITS: usize = 6;

/// Appends a document.
pub(super) struct Writer<'t> {
    out: &'t mut String,
    /// Every byte of a document belongs to one value. What takes more bytes than there are points to some of them twice,
    /// and could so become longer than memory.
    left: usize,
    nuls: Option<Nuls>,
    stripped: bool,
}

impl<'t> Writer<'t> {
    /// Of a document of so many bytes; `nuls`: what to do about zero characters, if anything.
    pub(super) fn new(out: &'t mut String, bytes: usize, nuls: Option<Nuls>) -> Self {
        Self { out, left: bytes, nuls, stripped: false }
    }

    /// Whether zero characters were left out.
    pub(super) fn has_stripped(&self) -> bool {
        self.stripped
    }

    pub(super) fn node(&mut self, node: &Node<'_>, depth: usize) -> Result<(), RowProblem> {
        if depth > MOST_DEPTH {
            return Err(RowProblem::TooDeep);
        }
        match node {
            Node::Whole(view) => self.view(*view, depth),
            Node::Array(values) => {
                self.out.push('[');
                for (at, value) in values.iter().enumerate() {
                    self.separate(at);
                    self.node(value, depth + 1)?;
                }
                self.out.push(']');
                Ok(())
            }
            Node::Object(members) => {
                self.out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    self.separate(at);
                    self.key(key)?;
                    self.node(value, depth + 1)?;
                }
                self.out.push('}');
                Ok(())
            }
        }
    }

    fn view(&mut self, view: View<'_>, depth: usize) -> Result<(), RowProblem> {
        if depth > MOST_DEPTH {
            return Err(RowProblem::TooDeep);
        }
        match view {
            View::Null => self.out.push_str("null"),
            View::Bool(true) => self.out.push_str("true"),
            View::Bool(false) => self.out.push_str("false"),
            View::Int(number) => number::integer(number, self.out),
            View::Uint(number) => number::integer(number, self.out),
            View::Double(number) => number::json_float64(number, self.out),
            View::Text(text) => self.text(text)?,
            View::Opaque(log_type, bytes) => self.opaque(log_type, bytes)?,
            View::Array(array) => self.array(array, depth)?,
            View::Object(object) => self.object(object, depth)?,
        }
        Ok(())
    }

    fn array(&mut self, array: Container<'_>, depth: usize) -> Result<(), RowProblem> {
        self.spend(array.table_bytes())?;
        self.out.push('[');
        for at in 0..array.count() {
            self.separate(at);
            self.view(array.value(at)?, depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, object: Container<'_>, depth: usize) -> Result<(), RowProblem> {
        self.spend(object.table_bytes())?;
        self.out.push('{');
        for at in 0..object.count() {
            self.separate(at);
            self.key(object.key(at)?)?;
            self.view(object.value(at)?, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), RowProblem> {
        self.left = self.left.checked_sub(bytes).ok_or(IMPOSSIBLE)?;
        Ok(())
    }

    fn separate(&mut self, at: usize) {
        if at > 0 {
            self.out.push_str(", ");
        }
    }

    fn key(&mut self, key: &str) -> Result<(), RowProblem> {
        self.text(key)?;
        self.out.push_str(": ");
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), RowProblem> {
        self.spend(text.len())?;
        self.out.push('"');
        let mut done = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !matches!(byte, 0..0x20 | b'"' | b'\\') {
                continue;
            }
            self.out.push_str(&text[done..at]);
            done = at + 1;
            self.escape(byte)?;
        }
        self.out.push_str(&text[done..]);
        self.out.push('"');
        Ok(())
    }

    fn escape(&mut self, byte: u8) -> Result<(), RowProblem> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            8 => "\\b",
            9 => "\\t",
            10 => "\\n",
            12 => "\\f",
            13 => "\\r",
            0 => match self.nuls {
                None => "\\u0000",
                Some(Nuls::Refuse) => return Err(RowProblem::Nul),
                Some(Nuls::Strip) => {
                    self.stripped = true;
                    ""
                }
            },
            _ => {
                self.out.push_str(if byte < 16 { "\\u000" } else { "\\u001" });
                self.out.push(char::from(DIGITS[usize::from(byte & 15)]));
                ""
            }
        };
        self.out.push_str(short);
        Ok(())
    }

    /// A value of a type that JSON does not have.
    fn opaque(&mut self, log_type: u8, bytes: &[u8]) -> Result<(), RowProblem> {
        self.spend(bytes.len())?;
        match log_type {
            t::DECIMAL => {
                let mut reader = Reader::new("decimal of a document", bytes);
                let (precision, scale) =
                    (reader.u8("digits")?.into(), reader.u8("digits behind the point")?.into());
                decimal::write(&mut reader, precision, scale, self.out)
            }
            t::DATE | t::DATETIME_OLD | t::TIMESTAMP_OLD | t::TIME_OLD => {
                let packed: [u8; 8] = bytes.try_into().map_err(|_| IMPOSSIBLE)?;
                self.out.push('"');
                moment(log_type, i64::from_le_bytes(packed), self.out)?;
                self.out.push('"');
                Ok(())
            }
            _ => {
                self.out.push_str("\"base64:type");
                number::integer(log_type, self.out);
                self.out.push(':');
                base64(bytes, self.out);
                self.out.push('"');
                Ok(())
            }
        }
    }
}

/// A date, a time or both in 64 bits, the lowest 24 of which are millionths of a second.
fn moment(log_type: u8, packed: i64, out: &mut String) -> Result<(), RowProblem> {
    let size = packed.unsigned_abs();
    let (whole, micros) = (size >> 24, u32::try_from(size & 0xff_ffff).map_err(|_| IMPOSSIBLE)?);
    if micros > 999_999 || (packed < 0 && log_type != t::TIME_OLD) {
        return Err(IMPOSSIBLE);
    }
    if log_type == t::TIME_OLD {
        span(packed < 0, whole, micros)?.write(FRACTION_DIGITS, out);
        return Ok(());
    }
    let civil = unpack(whole)?;
    let form = if log_type == t::DATE { Form::Date } else { Form::DateTime(FRACTION_DIGITS) };
    crate::row::temporal::Civil { micros, ..civil }.write(form, out);
    Ok(())
}

/// With a line's end, as JSON writes it, after every 76 digits, as the server does (seen on 9.7).
fn base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const BYTES_OF_A_LINE: usize = 57;
    for (at, line) in bytes.chunks(BYTES_OF_A_LINE).enumerate() {
        if at > 0 {
            out.push_str("\\n");
        }
        for group in line.chunks(3) {
            let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let number = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let digit = usize::try_from(number >> (18 - 6 * at) & 63).unwrap_or(0);
                out.push(if at <= group.len() { char::from(DIGITS[digit]) } else { '=' });
            }
        }
    }
}
