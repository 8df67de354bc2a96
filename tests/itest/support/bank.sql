-- A workload whose every state describes itself: each transaction leaves its number and a digest of all tables in
-- "clock", so whoever reads the tables in one statement can tell whether they show a state that the source had.
CREATE TABLE clock (id int PRIMARY KEY, n int8 NOT NULL, state text NOT NULL);
CREATE TABLE accounts (id int PRIMARY KEY, owner int NOT NULL, balance int8 NOT NULL, note text);
CREATE TABLE parents (id int8 PRIMARY KEY, owner int NOT NULL, children int NOT NULL);
CREATE TABLE children (id int8 PRIMARY KEY, owner int NOT NULL, parent int8 NOT NULL REFERENCES parents, body text);
CREATE TABLE docs (id int8 PRIMARY KEY, owner int NOT NULL, version int NOT NULL, body text);
ALTER TABLE docs ALTER body SET STORAGE EXTERNAL;
CREATE TABLE bulk (id int8 PRIMARY KEY, owner int NOT NULL, body text);
CREATE SEQUENCE ids;

-- Stable: it sees what the statement sees that calls it.
CREATE FUNCTION state() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws(' ',
        (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM public.accounts t),
        (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM public.parents t),
        (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM public.children t),
        (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM public.docs t),
        (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM public.bulk t))
$$;

-- The last step of every transaction. Whoever waits for the row goes on after the other has committed, so numbers are
-- in the order of the commits although the changes before them interleave.
CREATE FUNCTION tick() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    UPDATE clock SET n = n + 1;
    UPDATE clock SET state = state();
END $$;

-- Larger than a page, and it does not compress.
CREATE FUNCTION text_out_of_line() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 100)
$$;

-- Each writer has rows of its own, so that writers only meet at the clock.
CREATE FUNCTION act(what int, w int) RETURNS void LANGUAGE plpgsql AS $$ DECLARE a int8; b int8; BEGIN
    SELECT id INTO a FROM accounts WHERE owner = w ORDER BY random() LIMIT 1;
    SELECT id INTO b FROM accounts WHERE owner = w AND id <> a ORDER BY random() LIMIT 1;
    CASE what
    WHEN 0 THEN -- a transfer
        UPDATE accounts SET balance = balance - 7 WHERE id = a;
        UPDATE accounts SET balance = balance + 7 WHERE id = b;
    WHEN 1 THEN -- many rows
        UPDATE accounts SET note = md5(random()::text) WHERE owner = w;
    WHEN 2 THEN -- keys change
        UPDATE accounts SET id = id + 100000 WHERE id = a;
    WHEN 3 THEN -- keys are exchanged
        UPDATE accounts SET id = -1 - w WHERE id = a;
        UPDATE accounts SET id = a WHERE id = b;
        UPDATE accounts SET id = b WHERE id = -1 - w;
    WHEN 4 THEN -- a family comes
        INSERT INTO parents VALUES (nextval('ids'), w, 3) RETURNING id INTO a;
        INSERT INTO children SELECT nextval('ids'), w, a, i FROM generate_series(1, 3) i;
    WHEN 5 THEN -- a family goes
        SELECT id INTO a FROM parents WHERE owner = w ORDER BY random() LIMIT 1;
        DELETE FROM children WHERE parent = a;
        DELETE FROM parents WHERE id = a;
    WHEN 6 THEN -- a child moves to a new family, and the old one goes
        SELECT id INTO a FROM parents WHERE owner = w ORDER BY random() LIMIT 1;
        INSERT INTO parents SELECT nextval('ids'), w, children FROM parents WHERE id = a RETURNING id INTO b;
        UPDATE children SET parent = b WHERE parent = a;
        DELETE FROM parents WHERE id = a;
    WHEN 7 THEN -- long values
        INSERT INTO docs VALUES (nextval('ids'), w, 1, text_out_of_line());
        DELETE FROM docs WHERE owner = w AND id NOT IN (SELECT id FROM docs WHERE owner = w ORDER BY id DESC LIMIT 12);
    WHEN 8 THEN -- long values are not sent again, with the same key and another
        UPDATE docs SET version = version + 1 WHERE owner = w AND id % 3 = 0;
        UPDATE docs SET id = nextval('ids'), version = -version
            WHERE id = (SELECT id FROM docs WHERE owner = w ORDER BY random() LIMIT 1);
    WHEN 9 THEN -- they change, and become NULL
        UPDATE docs SET body = CASE WHEN id % 2 = 0 THEN text_out_of_line() END WHERE owner = w AND id % 4 < 2;
    WHEN 10 THEN -- a row goes and comes back
        WITH gone AS (DELETE FROM accounts WHERE id = a RETURNING *)
            UPDATE accounts SET balance = balance + (SELECT balance FROM gone) - 1 WHERE id = b;
        INSERT INTO accounts VALUES (a, w, 1, NULL);
    WHEN 11 THEN -- a large transaction
        DELETE FROM bulk WHERE owner = w;
        INSERT INTO bulk SELECT nextval('ids'), w, repeat('x', 100) FROM generate_series(1, 400);
        UPDATE bulk SET body = 'y' WHERE owner = w AND id % 5 = 0;
    END CASE;
END $$;

INSERT INTO clock VALUES (1, 0, '');
INSERT INTO accounts SELECT i, i % 4, 1000 FROM generate_series(1, 80) i;
UPDATE clock SET state = state();
