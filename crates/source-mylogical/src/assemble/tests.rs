//! Transactions, as scripts of events tell them.
