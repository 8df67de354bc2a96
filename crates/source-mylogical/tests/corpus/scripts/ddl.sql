-- Tables that change between rows.
CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t VALUES (1, 1);
ALTER TABLE t ADD COLUMN z varchar(10) FIRST;
INSERT INTO t (z, id, a) VALUES ('z', 2, 2);
ALTER TABLE t DROP COLUMN a;
INSERT INTO t VALUES ('y', 3);
ALTER TABLE t CHANGE COLUMN z q varchar(300);
INSERT INTO t (q, id) VALUES ('x', 4);
FLUSH TABLES;
INSERT INTO t (q, id) VALUES ('w', 5);
CREATE TABLE u LIKE t;
INSERT INTO u SELECT * FROM t;
RENAME TABLE t TO t_old, u TO t;
INSERT INTO t (q, id) VALUES ('v', 6);
INSERT INTO t_old (q, id) VALUES ('v', 7);
TRUNCATE TABLE t_old;
DROP TABLE t_old;
-- @mariadb
CREATE OR REPLACE TABLE t (id int PRIMARY KEY, other double);
INSERT INTO t VALUES (1, 1.5);
SET STATEMENT max_statement_time = 100 FOR ALTER TABLE t ADD COLUMN more int;
-- @all
/* before */ -- and
# another
  ALTER TABLE t ADD INDEX (id);
CREATE VIEW w AS SELECT * FROM t;
CREATE DATABASE other;
CREATE TABLE other.t (id int PRIMARY KEY);
INSERT INTO other.t VALUES (1);
DROP DATABASE other;
ANALYZE TABLE t;
CREATE USER somebody IDENTIFIED BY 'pass word';
GRANT SELECT ON *.* TO somebody;
