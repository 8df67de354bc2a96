//! Random texts and documents, chosen to break careless quoting.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;

use crate::value::{Decimal, Json};

/// Pieces that some layer is known to treat specially, and ordinary letters.
const PIECES: [&str; 34] = [
    "a",
    "b",
    "c",
    "D",
    "E",
    "0",
    "7",
    " ",
    "  ",
    "'",
    "''",
    "\"",
    "\\",
    "\\\\",
    "\n",
    "\r",
    "\t",
    "\u{1}",
    "\u{8}",
    "\u{c}",
    "\u{1f}",
    "\u{7f}",
    "é",
    "ß",
    "☃",
    "😀",
    "👩‍👩‍👧",
    "\u{2028}",
    "<&>",
    "$$",
    "{,}",
    "NULL",
    "--",
    "%s",
];

/// A text of at most so many pieces' worth of characters; may be empty.
pub(super) fn text(rng: &mut StdRng, max_chars: usize) -> String {
    let chars = rng.random_range(0..=max_chars);
    let mut out = String::new();
    let mut count = 0;
    while count < chars {
        let piece = PIECES[rng.random_range(0..PIECES.len())];
        count += piece.chars().count();
        if count <= chars {
            out.push_str(piece);
        }
    }
    out
}

/// A decimal of up to 39 digits with a scale, or a round one with a positive exponent.
pub(super) fn decimal(rng: &mut StdRng) -> Decimal {
    let length = if rng.random_bool(0.1) { 39 } else { rng.random_range(1..=9) };
    let digits: String = (0..length).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect();
    let negative = rng.random_bool(0.3) && digits.bytes().any(|digit| digit != b'0');
    Decimal::new(negative, &digits, rng.random_range(-9..=3))
}

/// A document that is not null at the top.
pub(super) fn document(rng: &mut StdRng, max_chars: usize) -> Json {
    match node(rng, max_chars, 3) {
        Json::Null => Json::Bool(false),
        json => json,
    }
}

fn node(rng: &mut StdRng, max_chars: usize, depth: usize) -> Json {
    let kinds = if depth == 0 { 4 } else { 7 };
    match rng.random_range(0..kinds) {
        0 => Json::Null,
        1 => Json::Bool(rng.random_bool(0.5)),
        2 => Json::Number(decimal(rng)),
        3 => Json::String(text(rng, max_chars)),
        4 => Json::Array((0..rng.random_range(0..4)).map(|_| node(rng, max_chars, depth - 1)).collect()),
        _ => {
            let mut members = BTreeMap::new();
            for _ in 0..rng.random_range(0..4) {
                members.insert(text(rng, max_chars.min(6)), node(rng, max_chars, depth - 1));
            }
            Json::Object(members)
        }
    }
}
