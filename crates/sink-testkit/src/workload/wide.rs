//! `wide`: every type, NULLs, a composite key, and writes that cancel within their transaction.

use rand::Rng;
use rand::rngs::StdRng;

use super::draft::{Draft, Pool};
use super::{Actor, WIDE, texts};
use crate::source::Row;
use crate::value::Value;

const REGIONS: [&str; 4] = ["eu-west", "", "o'\"\\", "日本 😀"];

/// Floats at the edges of both products' notations.
const FLOATS: [f64; 16] = [
    0.0,
    -0.0,
    100.0,
    120.0,
    1.5,
    -1e6,
    1e14,
    1e15,
    1e20,
    0.0001,
    0.000_01,
    1e-7,
    f64::MAX,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

pub(super) struct Wide {
    /// Live keys; the key columns are computed from the id.
    rows: Pool<()>,
    max_chars: usize,
}

impl Actor for Wide {
    fn seed(&mut self, rng: &mut StdRng, draft: &mut Draft, rows: usize) {
        for _ in 0..rows {
            self.add(rng, draft);
        }
    }

    fn act(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        let Some(id) = self.rows.pick(rng) else {
            self.add(rng, draft);
            return;
        };
        match rng.random_range(0..8) {
            0..=2 => {
                self.add(rng, draft);
            }
            3..=5 => self.put(rng, draft, id),
            6 => self.remove(draft, id),
            _ => {
                // Never visible in between: the feed shows a lone delete of a row it may never have sent.
                let id = self.add(rng, draft);
                self.remove(draft, id);
            }
        }
    }
}

impl Wide {
    pub(super) fn new(max_chars: usize) -> Self {
        Self { rows: Pool::new(0), max_chars }
    }

    fn add(&mut self, rng: &mut StdRng, draft: &mut Draft) -> i64 {
        let id = self.rows.free_id(rng);
        self.rows.insert(id, ());
        self.put(rng, draft, id);
        id
    }

    fn remove(&mut self, draft: &mut Draft, id: i64) {
        self.rows.remove(id);
        let (region, uuid) = key(id);
        draft.delete(WIDE, &[region, uuid]);
    }

    fn put(&self, rng: &mut StdRng, draft: &mut Draft, id: i64) {
        let (region, uuid) = key(id);
        let mut values = vec![uuid, region];
        values.extend(
            (0..10).map(|column| if rng.random_bool(0.1) { Value::null() } else { self.value(rng, column) }),
        );
        draft.put(WIDE, Row::new(values));
    }

    /// A value for one of the columns after the key.
    fn value(&self, rng: &mut StdRng, column: usize) -> Value {
        match column {
            0 => Value::int8(if rng.random_bool(0.2) {
                [i64::MAX, i64::MIN, 9_007_199_254_740_993][rng.random_range(0..3)]
            } else {
                rng.random_range(-1000..1000)
            }),
            1 if rng.random_bool(0.05) => Value::numeric_nan(),
            1 => Value::numeric(&texts::decimal(rng)),
            2 => Value::text_value(&texts::text(rng, self.max_chars)),
            3 => Value::bool(rng.random_bool(0.5)),
            4 => Value::bytea(&(0..rng.random_range(0..12)).map(|_| rng.random()).collect::<Vec<u8>>()),
            // From the year 1 to the year 9999, and whole seconds often enough.
            5 => {
                let seconds = rng.random_range(-62_135_596_800..253_402_300_800_i64);
                let fraction = [0, 500_000, 1, 120][rng.random_range(0..4)];
                Value::timestamptz(seconds * 1_000_000 + fraction)
            }
            6 => Value::jsonb(&texts::document(rng, self.max_chars)),
            7 => Value::uuid(rng.random()),
            8 => self.array(rng),
            _ => Value::float8(if rng.random_bool(0.3) {
                FLOATS[rng.random_range(0..FLOATS.len())]
            } else {
                f64::from(rng.random_range(-1_000_000..1_000_000))
                    / [1.0, 8.0, 1000.0][rng.random_range(0..3)]
            }),
        }
    }

    fn array(&self, rng: &mut StdRng) -> Value {
        let elements: Vec<Option<String>> = (0..rng.random_range(0..4))
            .map(|_| (!rng.random_bool(0.2)).then(|| texts::text(rng, self.max_chars.min(8))))
            .collect();
        Value::text_array(&elements.iter().map(Option::as_deref).collect::<Vec<_>>())
    }
}

/// The key columns of an id: the same id is the same key.
fn key(id: i64) -> (Value, Value) {
    let number = u64::try_from(id).expect("ids start at zero");
    let region = REGIONS[usize::try_from(number % 4).expect("a small number")];
    // Odd factors keep the ids apart and spread them over all bits.
    let high = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let low = number.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (Value::text_value(region), Value::uuid((u128::from(high) << 64) | u128::from(low)))
}
