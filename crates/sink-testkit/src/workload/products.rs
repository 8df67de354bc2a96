//! `products`: values of a unique column that change places within one transaction.

use rand::Rng;
use rand::rngs::StdRng;

use super::draft::{Draft, Pool};
use super::{Actor, PRODUCTS, texts};
use crate::source::Row;
use crate::value::Value;

/// The first integer a double cannot hold: ids from here on show who parses numbers through one.
const FIRST_ID: i64 = 9_007_199_254_740_993;

struct Product {
    sku: String,
    title: String,
}

pub(super) struct Products {
    products: Pool<Product>,
    next_sku: u32,
    free_skus: Vec<String>,
    max_chars: usize,
}

impl Actor for Products {
    fn seed(&mut self, rng: &mut StdRng, draft: &mut Draft, rows: usize) {
        for _ in 0..rows {
            let sku = self.new_sku(rng);
            self.add(rng, draft, sku);
        }
    }

    fn act(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        let Some(id) = self.products.pick(rng).filter(|_| !rng.random_bool(0.2)) else {
            let sku = self.new_sku(rng);
            return self.add(rng, draft, sku);
        };
        match rng.random_range(0..5) {
            0 => {
                self.products.get_mut(id).title = texts::text(rng, self.max_chars);
                self.put(draft, id);
            }
            1 => {
                let product = self.remove(draft, id);
                self.free_skus.push(product.sku);
            }
            2 if draft.room() >= 2 => {
                // The sku survives its row.
                let product = self.remove(draft, id);
                self.add(rng, draft, product.sku);
            }
            3 if draft.room() >= 2 => self.rotate(rng, draft, false),
            _ if draft.room() >= 3 => self.rotate(rng, draft, true),
            _ => {
                let sku = self.new_sku(rng);
                let old = std::mem::replace(&mut self.products.get_mut(id).sku, sku);
                self.free_skus.push(old);
                self.put(draft, id);
            }
        }
    }
}

impl Products {
    pub(super) fn new(max_chars: usize) -> Self {
        Self { products: Pool::new(FIRST_ID), next_sku: 0, free_skus: Vec::new(), max_chars }
    }

    /// A sku no live row has: one used before, half of the time.
    fn new_sku(&mut self, rng: &mut StdRng) -> String {
        if !self.free_skus.is_empty() && rng.random_bool(0.5) {
            return self.free_skus.swap_remove(rng.random_range(0..self.free_skus.len()));
        }
        self.next_sku += 1;
        format!("sku '{}'", self.next_sku)
    }

    fn add(&mut self, rng: &mut StdRng, draft: &mut Draft, sku: String) {
        let id = self.products.free_id(rng);
        self.products.insert(id, Product { sku, title: texts::text(rng, self.max_chars) });
        self.put(draft, id);
    }

    fn remove(&mut self, draft: &mut Draft, id: i64) -> Product {
        draft.delete(PRODUCTS, &[Value::int8(id)]);
        self.products.remove(id)
    }

    /// Two rows swap their skus, or pass them on: the first takes a new one, the second that of the first.
    fn rotate(&mut self, rng: &mut StdRng, draft: &mut Draft, fresh: bool) {
        let Some((a, b)) = self.products.pick_two(rng) else { return };
        let incoming = if fresh { self.new_sku(rng) } else { self.products.get(b).sku.clone() };
        let passed = std::mem::replace(&mut self.products.get_mut(a).sku, incoming);
        let replaced = std::mem::replace(&mut self.products.get_mut(b).sku, passed);
        if fresh {
            self.free_skus.push(replaced);
        }
        self.put(draft, a);
        self.put(draft, b);
    }

    fn put(&self, draft: &mut Draft, id: i64) {
        let product = self.products.get(id);
        let values =
            vec![Value::int8(id), Value::text_value(&product.sku), Value::text_value(&product.title)];
        draft.put(PRODUCTS, Row::new(values));
    }
}
