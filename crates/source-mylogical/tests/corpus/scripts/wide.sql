-- Many columns, many NULLs, and rows that fill more than one event.
CREATE TABLE wide (id int PRIMARY KEY, c1 varchar(10), c2 bigint unsigned, c3 double, c4 date, c5 bit(3), c6
enum('a','b'), c7 int, c8 varchar(10), c9 bigint unsigned, c10 double, c11 date, c12 bit(3), c13 enum('a','b'), c14
int, c15 varchar(10), c16 bigint unsigned, c17 double, c18 date, c19 bit(3), c20 enum('a','b'), c21 int, c22
varchar(10), c23 bigint unsigned, c24 double, c25 date, c26 bit(3), c27 enum('a','b'), c28 int, c29 varchar(10), c30
bigint unsigned, c31 double, c32 date, c33 bit(3), c34 enum('a','b'), c35 int, c36 varchar(10), c37 bigint unsigned,
c38 double, c39 date, c40 bit(3), c41 enum('a','b'), c42 int, c43 varchar(10), c44 bigint unsigned, c45 double, c46
date, c47 bit(3), c48 enum('a','b'), c49 int, c50 varchar(10), c51 bigint unsigned, c52 double, c53 date, c54 bit(3),
c55 enum('a','b'), c56 int, c57 varchar(10), c58 bigint unsigned, c59 double, c60 date, c61 bit(3));
INSERT INTO wide VALUES (1, 'v1', 2000, 3.5, '2024-01-02', b'101', 'b', 7, 'v8', 9000, 10.5, '2024-01-02', b'101',
'b', 14, 'v15', 16000, 17.5, '2024-01-02', b'101', 'b', 21, 'v22', 23000, 24.5, '2024-01-02', b'101', 'b', 28, 'v29',
30000, 31.5, '2024-01-02', b'101', 'b', 35, 'v36', 37000, 38.5, '2024-01-02', b'101', 'b', 42, 'v43', 44000, 45.5,
'2024-01-02', b'101', 'b', 49, 'v50', 51000, 52.5, '2024-01-02', b'101', 'b', 56, 'v57', 58000, 59.5, '2024-01-02',
b'101');
INSERT INTO wide VALUES (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO wide VALUES (3, 'v1', 2000, NULL, '2024-01-02', b'101', NULL, 7, 'v8', NULL, 10.5, '2024-01-02', NULL,
'b', 14, NULL, 16000, 17.5, NULL, b'101', 'b', NULL, 'v22', 23000, NULL, '2024-01-02', b'101', NULL, 28, 'v29', NULL,
31.5, '2024-01-02', NULL, 'b', 35, NULL, 37000, 38.5, NULL, b'101', 'b', NULL, 'v43', 44000, NULL, '2024-01-02',
b'101', NULL, 49, 'v50', NULL, 52.5, '2024-01-02', NULL, 'b', 56, NULL, 58000, 59.5, NULL, b'101');
INSERT INTO wide VALUES (5, 'v1', 2000, 3.5, '2024-01-02', NULL, 'b', 7, 'v8', 9000, NULL, '2024-01-02', b'101', 'b',
14, NULL, 16000, 17.5, '2024-01-02', b'101', NULL, 21, 'v22', 23000, 24.5, NULL, b'101', 'b', 28, 'v29', NULL, 31.5,
'2024-01-02', b'101', 'b', NULL, 'v36', 37000, 38.5, '2024-01-02', NULL, 'b', 42, 'v43', 44000, NULL, '2024-01-02',
b'101', 'b', 49, NULL, 51000, 52.5, '2024-01-02', b'101', NULL, 56, 'v57', 58000, 59.5, NULL, b'101');
UPDATE wide SET c8 = NULL, c61 = NULL;
CREATE TABLE single (a int);
INSERT INTO single VALUES (1), (NULL);
CREATE TABLE large (id int PRIMARY KEY, v varchar(1000));
INSERT INTO large WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30) SELECT n, REPEAT('x',
900) FROM c;
