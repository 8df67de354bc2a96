-- @mariadb
-- What only MariaDB has.
CREATE TABLE own (id int PRIMARY KEY, u uuid, a inet4, b inet6, j json);
INSERT INTO own VALUES
(1, '123e4567-e89b-12d3-a456-426655440000', '10.0.0.0', '2001:db8::ff00:42:8329', '{"b": 1.10, "a":  [ ]}'),
(2, '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::', 'null'),
(3, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '[]'),
(4, NULL, NULL, NULL, NULL), (5, '123e4567-e89b-12d3-a456-426655440000', '192.168.1.0', '::ffff:1.2.0.0', '"x"');
CREATE SEQUENCE counter;
SELECT NEXTVAL(counter);
CREATE TABLE packed (id int PRIMARY KEY, t text COMPRESSED, v varbinary(100) COMPRESSED);
INSERT INTO packed VALUES (1, REPEAT('a', 1000), REPEAT('b', 100)), (2, '', NULL);
CREATE TABLE kept (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING;
INSERT INTO kept VALUES (1, 1), (2, 2);
UPDATE kept SET v = 10 WHERE id = 1;
DELETE FROM kept WHERE id = 2;
