//! The shop on MySQL or MariaDB: the same tables in those products' words, and what goes on in it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable as _;
use rand::Rng as _;
use tests::harness::mysql::{MySqlServer, SourceDatabase};

use crate::migration::Work;
use crate::shop::{ACCOUNTS, PRODUCTS};

/// Between two transactions of a session. These servers do not wait for the disk here, and would leave no processor to
/// anybody else.
const THINK: Duration = Duration::from_millis(1);
/// Holds what helps to fill the shop, and does not move.
const MAKER: &str = "maker";
/// Numbers there: 0 to 999.
const NUMBERS: &str = "CREATE TABLE digits (n int PRIMARY KEY); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9); \
                       CREATE TABLE numbers (n int PRIMARY KEY); \
                       INSERT INTO numbers SELECT a.n * 100 + b.n * 10 + c.n FROM digits a, digits b, digits c";

const DDL: &str = "
CREATE TABLE customers (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    name varchar(80) CHARACTER SET utf8mb4 NOT NULL, email varchar(120) CHARACTER SET latin1 UNIQUE, notes json,
    since timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6));
CREATE TABLE products (
    id int unsigned PRIMARY KEY, name varchar(80) CHARACTER SET utf8mb4 NOT NULL, price decimal(10, 2) NOT NULL,
    tags set('new', 'cheap', 'heavy') NOT NULL, picture varbinary(64), digest binary(28), sold year);
CREATE TABLE orders (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    customer bigint NOT NULL, state enum('new', 'paid', 'shipped') NOT NULL, total decimal(12, 2) NOT NULL,
    placed datetime(6) NOT NULL, express bool NOT NULL DEFAULT false,
    FOREIGN KEY (customer) REFERENCES customers (id));
CREATE TABLE order_lines (
    order_id bigint, line int, product int unsigned NOT NULL, quantity mediumint NOT NULL, price decimal(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line),
    FOREIGN KEY (order_id) REFERENCES orders (id), FOREIGN KEY (product) REFERENCES products (id));
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
";

/// Makes the tables and fills them with about so many rows.
pub(crate) async fn build(server: &MySqlServer, database: &SourceDatabase, rows: i64) -> Result<()> {
    let (customers, orders) = (rows / 10, rows / 4);
    server.create_database(MAKER).await?.execute(NUMBERS).await?;
    database.execute(DDL).await?;
    let numbers = |name: &str, most: i64| {
        format!(
            "(SELECT a.n * 1000000 + b.n * 1000 + c.n + 1 AS {name} FROM {MAKER}.numbers a, {MAKER}.numbers b, \
             {MAKER}.numbers c WHERE a.n <= {} AND b.n <= {} AND a.n * 1000000 + b.n * 1000 + c.n < {most}) AS {name}s",
            most / 1_000_000,
            most / 1_000
        )
    };
    for sql in [
        format!(
            "INSERT INTO customers (id, name, email, notes)
             SELECT n, CONCAT('customer ', n), CONCAT('c', n, '@example.com'), CONCAT('{{\"visits\": ', n % 50, '}}')
             FROM {}",
            numbers("n", customers)
        ),
        format!(
            "INSERT INTO products SELECT n, CONCAT('product ', n), n * 1.25, 1 + n % 7, UNHEX(SHA2(n, 256)), UNHEX(SHA2(n, 224)),
             1990 + n % 30 FROM {}",
            numbers("n", PRODUCTS)
        ),
        format!(
            "INSERT INTO orders (id, customer, state, total, placed)
             SELECT n, 1 + n % {customers}, 'shipped', 0, NOW(6) FROM {}",
            numbers("n", orders)
        ),
        format!(
            "INSERT INTO order_lines
             SELECT o.id, l.n, p.id, 1 + l.n, p.price
             FROM orders o STRAIGHT_JOIN {MAKER}.digits l ON l.n BETWEEN 1 AND 1 + o.id % 4
             STRAIGHT_JOIN products p ON p.id = 1 + (o.id * 7 + l.n) % {PRODUCTS}"
        ),
        "UPDATE orders o SET total = (SELECT SUM(quantity * price) FROM order_lines l WHERE l.order_id = o.id)"
            .to_owned(),
        format!("INSERT INTO accounts SELECT n, 1000 FROM {}", numbers("n", ACCOUNTS)),
    ] {
        database.execute(&sql).await?;
    }
    Ok(())
}

/// Customers and staff: one transaction after the other until told to stop.
pub(crate) async fn work(database: &SourceDatabase, work: &Work) -> Result<()> {
    let mut connection = database.connect().await?;
    while !work.stop.load(Ordering::Relaxed) {
        let sql = format!("START TRANSACTION; {}; COMMIT", transaction(&mut rand::rng()));
        match connection.query_drop(&sql).await {
            Ok(()) => {
                work.committed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if may_be_tried_again(&error) => connection.query_drop("ROLLBACK").await?,
            Err(error) => return Err(error).context(sql),
        }
        tokio::time::sleep(THINK).await;
    }
    connection.disconnect().await.context("cannot disconnect")
}

/// Deadlocks, waits for locks and, on MariaDB 11.8, rows that changed since the transaction began happen to the best of
/// shops.
fn may_be_tried_again(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(error) if [1020, 1205, 1213].contains(&error.code))
}

fn transaction(rng: &mut rand::rngs::ThreadRng) -> String {
    let (account, other) = (rng.random_range(1..=ACCOUNTS), rng.random_range(1..=ACCOUNTS));
    let lines = rng.random_range(1..=5);
    let order = "SELECT MIN(id), MAX(id) INTO @first, @last FROM orders; \
                 SET @order = @first + FLOOR(RAND() * (@last - @first))";
    let customer = "SELECT MAX(id) INTO @last FROM customers; SET @customer = 1 + FLOOR(RAND() * @last)";
    match rng.random_range(0..100) {
        0..30 => format!(
            "UPDATE accounts SET balance = balance - 7 WHERE id = {account}; \
             UPDATE accounts SET balance = balance + 7 WHERE id = {other}"
        ),
        30..65 => format!(
            "{customer}; SELECT MIN(id) INTO @customer FROM customers WHERE id >= @customer; \
             SELECT {lines} * SUM(price) INTO @total FROM products WHERE id <= {lines}; \
             INSERT INTO orders (customer, state, total, placed, express) \
             VALUES (@customer, 'new', @total, NOW(6), {lines} % 2); \
             INSERT INTO order_lines SELECT LAST_INSERT_ID(), id, id, {lines}, price FROM products WHERE id <= {lines}"
        ),
        65..80 => format!("{order}; UPDATE orders SET state = 'paid', placed = NOW(6) WHERE id = @order"),
        80..87 => format!(
            "{order}; DELETE FROM order_lines WHERE order_id = @order; DELETE FROM orders WHERE id = @order"
        ),
        // The key of its lines changes.
        87..92 => {
            format!(
                "{order}; UPDATE order_lines SET line = line + 100 WHERE order_id = @order AND line < 1000"
            )
        }
        92..97 => "INSERT INTO customers (name, notes) VALUES ('newcomer ☕', '{\"visits\": 0}')".to_owned(),
        _ => format!(
            "{customer}; UPDATE customers SET notes = JSON_SET(notes, '$.visits', 99), name = CONCAT(name, '!') \
             WHERE id = @customer AND LENGTH(name) < 60"
        ),
    }
}
