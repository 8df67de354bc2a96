-- Decimals, floating-point numbers, bits and years.
CREATE TABLE decimals (id int PRIMARY KEY, a decimal(65,30), b decimal(20,0), c decimal(5,2) unsigned, d decimal(1,1),
e decimal(9,9), f decimal(10,0), g decimal(19,9), h decimal);
INSERT INTO decimals VALUES
(1, 99999999999999999999999999999999999.999999999999999999999999999999, 99999999999999999999, 999.99, 0.9, 0.999999999, 9999999999,
9999999999.999999999, 1234567890),
(2, -1e-30, -12345678901234567890, 0, -0.1, -0.000000001, -1, -0.000000001, -1), (3, 0, 0, 0, 0, 0, 0, 0, 0),
(4, 12345.678, 1, 0.01, 0.5, 0.123456789, 1000000000, 1.5, 10), (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE floats (id int PRIMARY KEY, f float, d double);
INSERT INTO floats VALUES (1, 1.1, 1.1), (2, 3.4e38, 1.7976931348623157e308), (3, 1.2345678, 1e22), (4, -0.0, -0.0),
(5, 1e-45, 5e-324), (6, 16777216, 0.1), (7, 1e10, 123456789012345680), (8, NULL, NULL),
(9, -3.4e38, -1.7976931348623157e308);
CREATE TABLE bits (id int PRIMARY KEY, a bit(1), b bit(10), c bit(64), d bit(8), e bit(9));
INSERT INTO bits VALUES (1, b'1', b'1111111111', 18446744073709551615, b'11111111', b'111111111'),
(2, b'0', b'0000000001', 1, b'10', b'100000000'), (3, b'0', b'0', 0, b'0', b'0'), (4, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE years (id int PRIMARY KEY, y year);
INSERT INTO years VALUES (1, '0000'), (2, 1901), (3, 2155), (4, 2024), (5, NULL);
