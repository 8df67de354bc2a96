//! `accounts`: transfers that keep the sum of all balances, which a poller can watch.

use rand::Rng;
use rand::rngs::StdRng;

use super::draft::{Draft, Pool};
use super::{ACCOUNTS, Actor, texts};
use crate::source::Row;
use crate::value::{Decimal, Value};

const OPENING_CENTS: i64 = 100_000;

struct Account {
    owner: String,
    cents: i64,
}

pub(super) struct Accounts {
    accounts: Pool<Account>,
    opened: i64,
    max_chars: usize,
}

impl Actor for Accounts {
    fn seed(&mut self, rng: &mut StdRng, draft: &mut Draft, rows: usize) {
        // Money comes in here only; two accounts are needed for any of it to move.
        for _ in 0..rows.max(2) {
            self.open(rng, draft, OPENING_CENTS);
            self.opened += 1;
        }
    }

    fn act(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        if draft.room() < 2 || rng.random_bool(0.1) {
            return self.open(rng, draft, 0);
        }
        let Some((from, to)) = self.accounts.pick_two(rng) else { return };
        if rng.random_bool(0.1) {
            let cents = self.accounts.remove(from).cents;
            draft.delete(ACCOUNTS, &[Value::int8(from)]);
            self.accounts.get_mut(to).cents += cents;
        } else {
            let cents = rng.random_range(1..=5_000);
            self.accounts.get_mut(from).cents -= cents;
            self.accounts.get_mut(to).cents += cents;
            self.put(draft, from);
        }
        self.put(draft, to);
    }
}

impl Accounts {
    pub(super) fn new(max_chars: usize) -> Self {
        Self { accounts: Pool::new(1), opened: 0, max_chars }
    }

    pub(super) fn total_cents(&self) -> i64 {
        self.opened * OPENING_CENTS
    }

    fn open(&mut self, rng: &mut StdRng, draft: &mut Draft, cents: i64) {
        let id = self.accounts.free_id(rng);
        self.accounts.insert(id, Account { owner: texts::text(rng, self.max_chars), cents });
        self.put(draft, id);
    }

    fn put(&self, draft: &mut Draft, id: i64) {
        let account = self.accounts.get(id);
        let balance = Value::numeric(&Decimal::cents(account.cents));
        draft.put(ACCOUNTS, Row::new(vec![Value::int8(id), Value::text_value(&account.owner), balance]));
    }
}
