-- Positions of more than one origin.
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1);
-- @mysql
SET gtid_next = 'AUTOMATIC:some_tag';
INSERT INTO t VALUES (2);
SET gtid_next = '01234567-89ab-cdef-0123-456789abcdef:77';
INSERT INTO t VALUES (3);
SET gtid_next = '01234567-89ab-cdef-0123-456789abcdef:a_tag:5';
INSERT INTO t VALUES (4);
SET gtid_next = '01234567-89ab-cdef-0123-456789abcdef:78';
BEGIN;
COMMIT;
SET gtid_next = 'AUTOMATIC';
-- @mariadb
SET gtid_domain_id = 7;
INSERT INTO t VALUES (2);
SET server_id = 99;
INSERT INTO t VALUES (3);
SET gtid_domain_id = 0;
SET gtid_seq_no = 500;
INSERT INTO t VALUES (4);
-- @all
INSERT INTO t VALUES (5);
