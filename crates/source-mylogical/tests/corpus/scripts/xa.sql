-- Transactions in two phases.
CREATE TABLE a (id int PRIMARY KEY, v varchar(20));
XA START 'one';
INSERT INTO a VALUES (1, 'committed');
XA END 'one';
XA PREPARE 'one';
-- @connection
INSERT INTO a VALUES (100, 'between');
XA COMMIT 'one';
XA START 'two', 'branch', 7;
INSERT INTO a VALUES (2, 'undone');
XA END 'two', 'branch', 7;
XA PREPARE 'two', 'branch', 7;
-- @connection
XA ROLLBACK 'two', 'branch', 7;
XA START 'three';
INSERT INTO a VALUES (3, 'one phase');
XA END 'three';
XA COMMIT 'three' ONE PHASE;
XA START x'00ff27', 'b';
INSERT INTO a VALUES (4, 'odd name');
UPDATE a SET v = 'changed' WHERE id = 1;
XA END x'00ff27', 'b';
XA PREPARE x'00ff27', 'b';
XA COMMIT x'00ff27', 'b';
XA START 'none';
XA END 'none';
XA PREPARE 'none';
XA COMMIT 'none';
