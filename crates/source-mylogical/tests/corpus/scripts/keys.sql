-- Keys of every kind, generated and invisible columns.
CREATE TABLE reversed (a int, b int, c int, PRIMARY KEY (b, a));
INSERT INTO reversed VALUES (1, 2, 3), (4, 5, 6);
UPDATE reversed SET c = 7 WHERE a = 1;
UPDATE reversed SET a = 8 WHERE a = 4;
CREATE TABLE with_text (a varchar(20), b varbinary(4), c int, PRIMARY KEY (a, b));
INSERT INTO with_text VALUES ('é', x'00ff', 1);
UPDATE with_text SET c = 2;
DELETE FROM with_text;
CREATE TABLE prefixed (a varchar(40), b int, PRIMARY KEY (a(10)));
INSERT INTO prefixed VALUES ('abc', 1);
CREATE TABLE only_unique (x int, a int NOT NULL, b int NOT NULL, UNIQUE (b, a), UNIQUE (x));
INSERT INTO only_unique VALUES (NULL, 1, 2);
UPDATE only_unique SET x = 3;
CREATE TABLE keyless (a int, b varchar(10));
INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
UPDATE keyless SET b = 'y' WHERE a = 1 LIMIT 1;
DELETE FROM keyless WHERE a IS NULL;
CREATE TABLE made (id int PRIMARY KEY, a int, v int AS (a * 2) VIRTUAL, s varchar(20) AS (CONCAT('s', a)) STORED);
INSERT INTO made (id, a) VALUES (1, 10), (2, NULL);
UPDATE made SET a = 11 WHERE id = 1;
CREATE TABLE hidden (id int PRIMARY KEY, a int INVISIBLE DEFAULT 5, b int);
INSERT INTO hidden (id, b) VALUES (1, 2);
INSERT INTO hidden (id, a, b) VALUES (2, 3, 4);
-- @mysql
SET SESSION sql_generate_invisible_primary_key = ON;
CREATE TABLE unseen (a int, b int);
INSERT INTO unseen VALUES (1, 2), (3, 4);
UPDATE unseen SET b = 5 WHERE a = 1;
