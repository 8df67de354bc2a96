-- Bytes: padded ones, every class of length, zeros.
CREATE TABLE fixed (id int PRIMARY KEY, a binary(6), b binary(255), c binary(1), d binary(16));
INSERT INTO fixed VALUES (1, x'010200000000', REPEAT(x'ff', 255), x'00', x'00112233445566778899aabbccddee00'),
(2, '', '', '', ''), (3, x'000000000001', x'01', x'20', x'20'), (4, NULL, NULL, NULL, NULL);
CREATE TABLE variable (id int PRIMARY KEY, a varbinary(10), b varbinary(300), t tinyblob, n blob, m mediumblob, l longblob);
INSERT INTO variable VALUES (1, x'00ff00', REPEAT(x'00', 300), REPEAT(x'01', 255), REPEAT(x'02', 300), REPEAT(x'03', 1000), x'04'),
(2, '', '', '', '', '', ''), (3, NULL, NULL, NULL, NULL, NULL, NULL), (4, x'20', x'2020', x'0a', x'5c', x'27', x'c3a9');
