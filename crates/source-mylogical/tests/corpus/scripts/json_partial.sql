-- @mysql
-- Edits of documents in place of documents.
SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
CREATE TABLE documents (id int PRIMARY KEY, a int, j json, k json);
INSERT INTO documents VALUES
(1, 1, JSON_OBJECT('a', REPEAT('x', 100), 'b', JSON_ARRAY(1, 2, 3), 'c', JSON_OBJECT('d', REPEAT('y', 100))),
'{"p": "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"}'),
(2, 1, JSON_OBJECT('a', REPEAT('x', 100), 'b', JSON_ARRAY(1, 2, 3)), NULL),
(3, 1, JSON_OBJECT('t', CAST('2024-02-29 12:34:56' AS datetime), 'n', CAST(1.10 AS decimal(10,2)), 'x', x'00ff', 's',
REPEAT('z', 100)), '[]'),
(4, 1, JSON_ARRAY(REPEAT('a', 50), REPEAT('b', 50), JSON_ARRAY(REPEAT('c', 50))), '{}');
UPDATE documents SET j = JSON_REPLACE(j, '$.a', 'short') WHERE id = 1;
UPDATE documents SET j = JSON_SET(j, '$.new', JSON_OBJECT('e', 1.5)) WHERE id = 1;
UPDATE documents SET j = JSON_REMOVE(j, '$.b[0]') WHERE id = 1;
UPDATE documents SET j = JSON_SET(j, '$.b[5]', 'appended') WHERE id IN (1, 2);
UPDATE documents SET j = JSON_SET(JSON_REMOVE(j, '$.c.d'), '$.c.e', CAST(2.50 AS decimal(10,2)), '$.a', NULL),
k = JSON_SET(k, '$.p', 'r'), a = 2 WHERE id = 1;
UPDATE documents SET j = JSON_REPLACE(j, '$.s', CAST('01:02:03' AS time)), k = JSON_SET(k, '$[0]', 1) WHERE id = 3;
UPDATE documents SET id = 40, j = JSON_SET(j, '$[1]', 1) WHERE id = 4;
UPDATE documents SET j = JSON_SET(j, '$[2][1]', 'deep') WHERE id = 40;
UPDATE documents SET j = JSON_SET(j, '$."odd key é"', 1) WHERE id = 2;
UPDATE documents SET j = '{"whole": "document"}' WHERE id = 2;
UPDATE documents SET a = 9;
UPDATE documents SET j = NULL WHERE id = 3;
SET SESSION binlog_row_value_options = '';
UPDATE documents SET j = JSON_SET(j, '$.whole', 'full') WHERE id = 2;
