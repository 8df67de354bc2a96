//! Random changes of known inputs, as fuzzers make them.

use rand::Rng;
use rand::seq::IndexedRandom as _;

/// Longest input made.
const MAX_BYTES: usize = 64 << 10;

/// Pieces that parsers look for.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "null",
    "true",
    "0",
    "-0",
    "1e999999999",
    "1E-9",
    "0.10",
    "NaN",
    "9223372036854775808",
    "18446744073709551616",
    "\\u0000",
    "\\ud83d",
    "\\ude00",
    "\\ud83d\\ude00",
    "\u{0}",
    "\u{feff}",
    "📦",
    "é",
    "%00",
    "%2e",
    "%2F",
    "%",
    "..",
    "//",
    "/_/",
    "?",
    "&",
    "=",
    "@",
    "://",
    "\"after\":",
    "\"before\":",
    "\"key\":",
    "\"topic\":",
    "\"updated\":",
    "\"resolved\":",
    "\"payload\":",
    "\"length\":",
    "\"__crdb__\":",
    "1700000000000000000.0000000001",
    ".0000000000",
    "immediate=",
    "access_token=",
    "\n",
    "\r\n",
    "\u{1f}\u{8b}",
    "(\u{b5}/\u{fd}",
];

/// A changed copy of one of the inputs; of nothing if there is none.
pub fn changed(inputs: &[Vec<u8>], rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = inputs.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..8) {
        change(&mut bytes, inputs, rng);
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn change(bytes: &mut Vec<u8>, inputs: &[Vec<u8>], rng: &mut impl Rng) {
    let at = rng.random_range(0..=bytes.len());
    let end = at + rng.random_range(0..=(bytes.len() - at).min(32));
    match rng.random_range(0..8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = rng.random(),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => {
            // The same piece many times: depth, length, repetition.
            let piece = PIECES.choose(rng).copied().unwrap_or_default();
            let many = piece.repeat(rng.random_range(1..300));
            bytes.splice(at..at, many.into_bytes());
        }
        5 => {
            let other = inputs.choose(rng).cloned().unwrap_or_default();
            let from = rng.random_range(0..=other.len());
            bytes.splice(at..end, other[from..].iter().copied());
        }
        _ => {
            let piece = PIECES.choose(rng).copied().unwrap_or_default();
            bytes.splice(at..end, piece.bytes());
        }
    }
}
