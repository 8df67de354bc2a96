-- Text in several character sets; trailing blanks, nothing, long ones.
CREATE TABLE texts (id int PRIMARY KEY, a varchar(50) CHARACTER SET utf8mb4, b varchar(50) CHARACTER SET utf8mb3,
c varchar(50) CHARACTER SET latin1, d varchar(50) CHARACTER SET utf16, e varchar(50) CHARACTER SET gbk,
f varchar(50) CHARACTER SET ascii, g varchar(50) CHARACTER SET ucs2, h varchar(50) CHARACTER SET utf32,
i varchar(50) CHARACTER SET sjis, j varchar(50) CHARACTER SET cp1251, k varchar(50) CHARACTER SET big5);
INSERT INTO texts VALUES (1, 'é€😀', 'é€', 'é€ÿ', 'é€😀', '中文', 'plain', 'é€', 'é€😀', '日本', 'Привет', '中文'),
(2, '', '', '', '', '', '', '', '', '', '', ''),
(3, ' a  ', ' a  ', ' a  ', ' a  ', ' a  ', ' a  ', ' a  ', ' a  ', ' a  ', ' a  ', ' a  '),
(4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE chars (id int PRIMARY KEY, a char(10) CHARACTER SET utf8mb4, b char(255) CHARACTER SET utf8mb4,
c char(10) CHARACTER SET latin1, d char(1) CHARACTER SET utf16);
INSERT INTO chars VALUES (1, 'a  ', REPEAT('é', 255), '€', 'x'), (2, '', '', '', ''), (3, NULL, NULL, NULL, NULL),
(4, 'ab', 'short', 'é', '€');
CREATE TABLE longs (id int PRIMARY KEY, v255 varchar(255) CHARACTER SET latin1, v256 varchar(256) CHARACTER SET latin1,
v300 varchar(300) CHARACTER SET utf8mb4, tt tinytext, t text, m mediumtext, l longtext CHARACTER SET latin1);
INSERT INTO longs VALUES (1, REPEAT('x', 255), REPEAT('y', 256), REPEAT('€', 300), REPEAT('t', 255), REPEAT('u', 300),
REPEAT('v', 5000), 'é'), (2, '', '', '', '', '', '', ''), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE odd (id int PRIMARY KEY, t varchar(50));
INSERT INTO odd VALUES (1, 'a\0b'), (2, 'tab\there'), (3, 'quote\'s "and" \\ more'), (4, 'line\nbreak\r');
CREATE TABLE collated (id int PRIMARY KEY, a varchar(20) COLLATE utf8mb4_bin, b varchar(20) COLLATE utf8mb4_general_ci,
c varchar(20) CHARACTER SET binary);
INSERT INTO collated VALUES (1, 'ä', 'ä', 'ä');
-- @mysql
CREATE TABLE newest (id int PRIMARY KEY, a varchar(20) COLLATE utf8mb4_0900_ai_ci, b varchar(20) COLLATE utf8mb4_ja_0900_as_cs);
INSERT INTO newest VALUES (1, 'ä', '日');
-- @mariadb
CREATE TABLE newest (id int PRIMARY KEY, a varchar(20) COLLATE utf8mb4_uca1400_ai_ci,
b varchar(20) COLLATE utf8mb4_uca1400_swedish_as_cs);
INSERT INTO newest VALUES (1, 'ä', 'å');
