-- @server --binlog-rows-query-log-events=ON
-- @mysql
-- Statement texts beside rows.
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1) /* said */;
SET SESSION binlog_rows_query_log_events = OFF;
INSERT INTO t VALUES (2);
