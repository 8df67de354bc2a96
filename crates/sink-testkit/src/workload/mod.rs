//! A random but repeatable history of transactions, on tables that are hard to replicate: foreign keys, a
//! tree, values of a unique column that change places, keys that come back, every common type. The source
//! never breaks a constraint or an invariant, at any commit; so neither may a consistent target.

mod accounts;
mod draft;
mod family;
mod products;
mod tables;
mod texts;
mod tree;
mod wide;

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sink_core::model::HlcTimestamp;

use crate::source::Source;
use draft::Draft;

pub(crate) use tables::qualified;
pub use tables::{ACCOUNTS, CHILDREN, PARENTS, PRODUCTS, TREE, WIDE, ddl, quote_ident, tables};

/// How often each group of tables is written to, relative to the others; zero leaves it empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// `parents` and `children`.
    pub family: usize,
    /// `tree`, which refers to itself.
    pub tree: usize,
    /// `products`, with its unique `sku`.
    pub products: usize,
    /// `accounts`, whose balances have a constant sum.
    pub accounts: usize,
    /// `wide`, with every type.
    pub wide: usize,
}

impl Default for Mix {
    fn default() -> Self {
        Self { family: 3, tree: 2, products: 2, accounts: 2, wide: 2 }
    }
}

impl Mix {
    fn weights(self) -> [usize; 5] {
        [self.family, self.tree, self.products, self.accounts, self.wide]
    }
}

/// The size and shape of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadConfig {
    /// Rows there are when the feed begins, about.
    pub initial_rows: usize,
    /// Transactions between the first rows and the beginning of the feed: history a scan does not show.
    pub transactions_before_scan: usize,
    /// Transactions after the beginning of the feed.
    pub transactions: usize,
    /// The most rows one of them writes; at least one.
    pub max_rows_per_transaction: usize,
    /// The longest generated text, in characters.
    pub max_text_chars: usize,
    /// The time before the first commit. Keep it in the past of the target's clock.
    pub start: HlcTimestamp,
    /// The greatest distance of two commits, in nanoseconds.
    pub max_commit_distance_nanos: i64,
    /// Which tables are written to.
    pub mix: Mix,
}

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self {
            initial_rows: 100,
            transactions_before_scan: 10,
            transactions: 200,
            max_rows_per_transaction: 12,
            max_text_chars: 24,
            start: HlcTimestamp::new(1_714_979_289_000_000_000, 0).expect("the constant is positive"),
            max_commit_distance_nanos: 5_000_000,
            mix: Mix::default(),
        }
    }
}

/// A statement that returns one boolean, true at every consistent moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invariant {
    /// What it says.
    pub name: &'static str,
    /// One SELECT with one column `ok`.
    pub sql: String,
}

/// A finished history.
#[derive(Debug, Clone)]
pub struct Workload {
    source: Arc<Source>,
    scan_at: HlcTimestamp,
    balance_cents: i64,
}

impl Workload {
    /// Makes the history of a seed.
    ///
    /// # Panics
    /// If the configuration allows no row in a transaction or gives every table the weight zero.
    #[must_use]
    pub fn generate(seed: u64, config: &WorkloadConfig) -> Self {
        assert!(config.max_rows_per_transaction > 0, "a transaction needs room for a row");
        assert!(config.mix.weights().iter().any(|&weight| weight > 0), "every table has the weight zero");
        let mut generator = Generator::new(seed, config);
        generator.seed_tables();
        for _ in 0..config.transactions_before_scan {
            generator.transact();
        }
        let scan_at = generator.clock.tick(&mut generator.rng);
        for _ in 0..config.transactions {
            generator.transact();
        }
        let balance_cents = generator.accounts.total_cents();
        Self { source: Arc::new(generator.source), scan_at, balance_cents }
    }

    /// The history.
    #[must_use]
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The time at which a feed on this source begins, and which its initial scan shows.
    #[must_use]
    pub fn scan_at(&self) -> HlcTimestamp {
        self.scan_at
    }

    /// What holds at every commit, for tables in this schema. An empty target satisfies all of them.
    #[must_use]
    pub fn invariants(&self, schema: &str) -> Vec<Invariant> {
        tables::invariants(schema, self.balance_cents)
    }
}

/// One group of tables and the transactions that keep it in order.
trait Actor {
    /// Inserts about this many rows into the empty tables.
    fn seed(&mut self, rng: &mut StdRng, draft: &mut Draft, rows: usize);

    /// Adds one random action to a transaction, unless it does not fit.
    fn act(&mut self, rng: &mut StdRng, draft: &mut Draft);
}

/// Commit times: rising, now and then only in the logical part.
struct CommitClock {
    last: HlcTimestamp,
    max_distance_nanos: i64,
}

impl CommitClock {
    fn tick(&mut self, rng: &mut StdRng) -> HlcTimestamp {
        let (nanos, logical) = if rng.random_bool(0.05) {
            (self.last.nanos(), self.last.logical() + 1)
        } else {
            (self.last.nanos() + rng.random_range(1..=self.max_distance_nanos.max(1)), 0)
        };
        self.last = HlcTimestamp::new(nanos, logical).expect("commit times are positive");
        self.last
    }
}

struct Generator {
    rng: StdRng,
    source: Source,
    clock: CommitClock,
    config: WorkloadConfig,
    family: family::Family,
    tree: tree::Tree,
    products: products::Products,
    accounts: accounts::Accounts,
    wide: wide::Wide,
}

impl Generator {
    fn new(seed: u64, config: &WorkloadConfig) -> Self {
        let chars = config.max_text_chars;
        Self {
            rng: StdRng::seed_from_u64(seed),
            source: Source::new(tables()),
            clock: CommitClock { last: config.start, max_distance_nanos: config.max_commit_distance_nanos },
            config: config.clone(),
            family: family::Family::new(chars),
            tree: tree::Tree::new(chars),
            products: products::Products::new(chars),
            accounts: accounts::Accounts::new(chars),
            wide: wide::Wide::new(chars),
        }
    }

    /// One commit per group, so that the rows of the scan were written at several times.
    fn seed_tables(&mut self) {
        let weights = self.config.mix.weights();
        let sum: usize = weights.iter().sum();
        for (group, weight) in weights.into_iter().enumerate().filter(|(_, weight)| *weight > 0) {
            let mut draft = Draft::new(self.source.tables(), usize::MAX);
            let rows = self.config.initial_rows * weight / sum;
            let (rng, actor) = self.actor(group);
            actor.seed(rng, &mut draft, rows);
            self.commit(draft);
        }
    }

    fn transact(&mut self) {
        let limit = self.rng.random_range(1..=self.config.max_rows_per_transaction);
        let weights = self.config.mix.weights();
        let mut draft = Draft::new(self.source.tables(), limit);
        // An action that does not fit leaves the draft as it was: bounded attempts, not a wait.
        for _ in 0..limit * 3 {
            if draft.room() == 0 {
                break;
            }
            let mut ticket = self.rng.random_range(0..weights.iter().sum());
            let group = weights.iter().position(|&weight| {
                let hit = ticket < weight;
                ticket = ticket.saturating_sub(weight);
                hit
            });
            let (rng, actor) = self.actor(group.expect("the ticket is below the sum of the weights"));
            actor.act(rng, &mut draft);
        }
        self.commit(draft);
    }

    fn actor(&mut self, group: usize) -> (&mut StdRng, &mut dyn Actor) {
        let actor: &mut dyn Actor = match group {
            0 => &mut self.family,
            1 => &mut self.tree,
            2 => &mut self.products,
            3 => &mut self.accounts,
            _ => &mut self.wide,
        };
        (&mut self.rng, actor)
    }

    fn commit(&mut self, draft: Draft) {
        let writes = draft.into_writes();
        if !writes.is_empty() {
            let at = self.clock.tick(&mut self.rng);
            self.source.commit(at, writes);
        }
    }
}

#[cfg(test)]
mod tests;
