//! Text as UTF-8.

use super::{Charset, NotText};

pub(super) fn decode(charset: Charset, bytes: &[u8], text: &mut String) -> Result<(), NotText> {
    match charset {
        Charset::Utf8 => {
            text.push_str(std::str::from_utf8(bytes).map_err(|_| NotText)?);
            Ok(())
        }
        Charset::Utf16 => utf16(bytes, u16::from_be_bytes, text),
        Charset::Utf16Le => utf16(bytes, u16::from_le_bytes, text),
        Charset::Utf32 => utf32(bytes, text),
        Charset::Binary => Err(NotText),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, text: &mut String) -> Result<(), NotText> {
    let (units, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(NotText);
    }
    for char in char::decode_utf16(units.iter().map(|bytes| unit(*bytes))) {
        text.push(char.map_err(|_| NotText)?);
    }
    Ok(())
}

fn utf32(bytes: &[u8], text: &mut String) -> Result<(), NotText> {
    let (chars, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(NotText);
    }
    for bytes in chars {
        text.push(char::from_u32(u32::from_be_bytes(*bytes)).ok_or(NotText)?);
    }
    Ok(())
}
