-- What changes rows in ways that are not one row at a time.
CREATE TABLE t (id int PRIMARY KEY, v int, w varchar(20));
INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');
UPDATE t SET id = 10 WHERE id = 1;
BEGIN;
UPDATE t SET id = -1 WHERE id = 2;
UPDATE t SET id = 2 WHERE id = 3;
UPDATE t SET id = 3 WHERE id = -1;
COMMIT;
REPLACE INTO t VALUES (10, 100, 'replaced'), (11, 110, 'new');
INSERT INTO t VALUES (11, 0, 'x') ON DUPLICATE KEY UPDATE v = v + 1, w = 'twice';
INSERT INTO t VALUES (11, 0, 'x'), (11, 0, 'x') ON DUPLICATE KEY UPDATE v = v + 1;
UPDATE t SET v = v + 1;
UPDATE t SET id = id + 100 ORDER BY id DESC;
DELETE FROM t WHERE id > 110;
CREATE TABLE log (id int AUTO_INCREMENT PRIMARY KEY, what varchar(20));
CREATE TRIGGER noted AFTER INSERT ON t FOR EACH ROW INSERT INTO log (what) VALUES (NEW.w);
INSERT INTO t VALUES (500, 1, 'seen');
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int,
FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO parents VALUES (1), (2);
INSERT INTO children VALUES (10, 1), (11, 1), (20, 2);
UPDATE parents SET id = 5 WHERE id = 1;
DELETE FROM parents WHERE id = 2;
CREATE TABLE copied AS SELECT * FROM t;
INSERT INTO copied SELECT * FROM t WHERE id > 400;
