-- Names that need quotes, and the same name in two databases.
CREATE TABLE `we``ird "t" é` (`select` int PRIMARY KEY, `a b` int, `x``y` int, `q"q` int, `ünï` int);
INSERT INTO `we``ird "t" é` VALUES (1, 2, 3, 4, 5);
CREATE TABLE `aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg`
(`aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg` int PRIMARY KEY);
INSERT INTO `aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg` VALUES (1);
CREATE TABLE same_name (id int PRIMARY KEY);
INSERT INTO same_name VALUES (1);
CREATE DATABASE `corpus two`;
CREATE TABLE `corpus two`.same_name (id int PRIMARY KEY);
INSERT INTO `corpus two`.same_name VALUES (2);
UPDATE same_name AS a, `corpus two`.same_name AS b SET a.id = 10, b.id = 20;
