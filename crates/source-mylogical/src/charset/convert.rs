//! Text as UTF-8.

use super::{Charset, NotText, single};

pub(super) fn decode(charset: Charset, bytes: &[u8], text: &mut String) -> Result<(), NotText> {
    match charset {
        Charset::Utf8 => {
            text.push_str(std::str::from_utf8(bytes).map_err(|_| NotText)?);
            Ok(())
        }
        Charset::Utf16 => utf16(bytes, u16::from_be_bytes, text),
        Charset::Utf16Le => utf16(bytes, u16::from_le_bytes, text),
        Charset::Utf32 => utf32(bytes, text),
        Charset::Latin1 => latin1(bytes, text),
        Charset::Single(upper) => single::decode(upper, bytes, text),
        Charset::Swe7 => single::decode_swe7(bytes, text),
        Charset::Multi(multi) => multi.decode(bytes, text),
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

/// The Encoding Standard's Windows-1252 is the same for all 256 bytes (seen on MySQL 9.7 and MariaDB 11.8).
fn latin1(bytes: &[u8], text: &mut String) -> Result<(), NotText> {
    let (decoded, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes);
    text.push_str(&decoded);
    Ok(())
}
