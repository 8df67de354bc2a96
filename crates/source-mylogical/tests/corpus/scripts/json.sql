-- @mysql
-- Documents in MySQL's binary form.
CREATE TABLE documents (id int PRIMARY KEY, j json);
INSERT INTO documents VALUES (1, NULL), (2, 'null'), (3, 'true'), (4, 'false'), (5, '0'), (6, '-1'), (7, '32767'),
(8, '-32768'), (9, '65535'), (10, '2147483647'), (11, '-2147483648'), (12, '4294967295'), (13, '9223372036854775807'),
(14, '-9223372036854775808'), (15, '18446744073709551615'), (16, '1.0'), (17, '1.5e300'), (18, '-0.1'),
(19, '"text é 😀"'), (20, '""'), (21, '{}'), (22, '[]'),
(23, '{"b": 1, "a": [true, null, {"c": {}}], "": 2, "ccc": "x", "aa": []}'), (24, '[[[[[]]]]]'),
(25, '"quote \\" slash \\\\ / control \\u0001 \\n \\t"'), (26, '1e22'), (27, '123456789012345678901234567890'),
(28, '[1, 1.0, 1e0, "1"]'), (29, '5e-324'), (30, '{"k": 1.7976931348623157e308}'), (31, '[0.1, 1e-7, 123456789.5, 1e15, 1e16, 1e17]');
INSERT INTO documents VALUES
(40, JSON_OBJECT('d', CAST(1.10 AS decimal(10,2)), 'n', CAST(-1e-30 AS decimal(65,30)), 'big', 99999999999999999999.5)),
(41, JSON_ARRAY(CAST('2024-02-29 12:34:56.000007' AS datetime(6)), CAST('2024-02-29' AS date), CAST('-01:02:03.45' AS time(2)),
CAST('838:59:59' AS time))),
(42, JSON_ARRAY(x'00ff41', CAST('abc' AS binary(5)), b'101', CAST('x' AS char(3)))),
(43, JSON_ARRAY(CAST(1 AS unsigned), CAST(-1 AS signed), TRUE, NULL)),
(44, JSON_OBJECT('t', CAST('2024-02-29 12:34:56' AS datetime), 'y', CAST(2024 AS year))),
(45, JSON_QUOTE(REPEAT('x', 70))), (46, JSON_QUOTE(REPEAT('y', 200))), (47, JSON_QUOTE(REPEAT('z', 20000))),
(48, JSON_OBJECT(REPEAT('k', 300), 1)), (49, CAST(ST_GeomFromText('POINT(1 2)') AS json));
SET SESSION cte_max_recursion_depth = 100000;
INSERT INTO documents SELECT 50, JSON_ARRAYAGG(n)
FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 900) SELECT n FROM c) AS s;
INSERT INTO documents SELECT 51, JSON_ARRAYAGG(REPEAT('v', 60))
FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1200) SELECT n FROM c) AS s;
INSERT INTO documents SELECT 52, JSON_OBJECTAGG(CONCAT('key', n), n * 1000000)
FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) SELECT n FROM c) AS s;
UPDATE documents SET j = JSON_SET(j, '$.b', 2) WHERE id = 23;
