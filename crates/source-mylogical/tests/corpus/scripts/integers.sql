-- Every integer type: least, greatest, -1, 0, NULL; changed and removed rows.
CREATE TABLE signed_ones (id int PRIMARY KEY, t tinyint, s smallint, m mediumint, i int, b bigint, f bool);
INSERT INTO signed_ones VALUES (1, -128, -32768, -8388608, -2147483648, -9223372036854775808, 0),
(2, 127, 32767, 8388607, 2147483647, 9223372036854775807, 1), (3, -1, -1, -1, -1, -1, 2), (4, 0, 0, 0, 0, 0, NULL),
(5, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE unsigned_ones (id int unsigned PRIMARY KEY, t tinyint unsigned, s smallint unsigned, m mediumint unsigned,
i int unsigned, b bigint unsigned, z int(8) zerofill);
INSERT INTO unsigned_ones VALUES (0, 0, 0, 0, 0, 0, 0),
(4294967295, 255, 65535, 16777215, 4294967295, 18446744073709551615, 42),
(7, 128, 32768, 8388608, 2147483648, 9223372036854775808, NULL);
CREATE TABLE changed (id int PRIMARY KEY, t tinyint, b bigint unsigned);
INSERT INTO changed VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3);
UPDATE changed SET t = -t, b = 18446744073709551615 - b WHERE id < 3;
UPDATE changed SET t = NULL WHERE id = 2;
UPDATE changed SET id = 30 WHERE id = 3;
DELETE FROM changed WHERE id = 1;
