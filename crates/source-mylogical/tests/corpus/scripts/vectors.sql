-- @mysql
CREATE TABLE vectors (id int PRIMARY KEY, v vector(3));
INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1, -2.5, 1e-30]')), (2, NULL), (3, STRING_TO_VECTOR('[0, 3.4e38, 1.1]')),
(4, STRING_TO_VECTOR('[1, 2]'));
-- @mariadb 11.8
CREATE TABLE vectors (id int PRIMARY KEY, v vector(3));
INSERT INTO vectors VALUES (1, VEC_FromText('[1, -2.5, 1e-30]')), (2, NULL), (3, VEC_FromText('[0, 3e5, 1.1]'));
