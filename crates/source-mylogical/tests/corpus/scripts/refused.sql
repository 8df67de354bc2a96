-- What a reader must not take for rows: images that are not whole, statements, missing metadata.
CREATE TABLE t (id int PRIMARY KEY, a int, b varchar(20), c text);
INSERT INTO t VALUES (1, 1, 'x', 'y');
SET SESSION binlog_row_image = 'MINIMAL';
UPDATE t SET a = 2;
INSERT INTO t (id, a) VALUES (2, 2);
DELETE FROM t WHERE id = 2;
SET SESSION binlog_row_image = 'NOBLOB';
UPDATE t SET a = 3;
UPDATE t SET c = 'z';
-- @mariadb 11.8
SET SESSION binlog_row_image = 'FULL_NODUP';
UPDATE t SET a = 4;
-- @all
SET SESSION binlog_row_image = 'FULL';
SET SESSION binlog_format = 'STATEMENT';
INSERT INTO t (id, a) VALUES (10, 10);
UPDATE t SET a = a + 1;
SET @v = 'user variable';
INSERT INTO t (id, b) VALUES (11, @v);
SET SESSION binlog_format = 'MIXED';
INSERT INTO t (id, a) VALUES (12, 12);
INSERT INTO t (id, b) VALUES (13, LEFT(UUID(), 20));
SET SESSION binlog_format = 'ROW';
SET GLOBAL binlog_row_metadata = 'MINIMAL';
-- @connection
INSERT INTO t (id, a) VALUES (14, 14);
-- @mariadb
SET GLOBAL binlog_row_metadata = 'NO_LOG';
-- @connection
INSERT INTO t (id, a) VALUES (15, 15);
