-- Transactions and events that are compressed.
CREATE TABLE t (id int PRIMARY KEY, v varchar(2000));
-- @mysql
SET SESSION binlog_transaction_compression = ON;
-- @mariadb
SET GLOBAL log_bin_compress_min_len = 10;
SET GLOBAL log_bin_compress = 1;
-- @connection
-- @all
INSERT INTO t VALUES (1, REPEAT('a', 1000)), (2, REPEAT('b', 2000));
BEGIN;
INSERT INTO t VALUES (3, REPEAT('c', 500));
UPDATE t SET v = REPEAT('d', 700) WHERE id < 3;
DELETE FROM t WHERE id = 2;
COMMIT;
INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM c WHERE n < 300)
SELECT n, CONCAT('row ', n) FROM c;
ALTER TABLE t ADD COLUMN w varchar(2000) DEFAULT 'a text that is long enough to be compressed as a statement, if statements are';
INSERT INTO t VALUES (5, 'x', 'y');
