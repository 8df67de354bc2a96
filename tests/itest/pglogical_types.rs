//! Every type of value, carried into tables that the program made.

use anyhow::Result;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::pgoutput_values::VALUES;
use crate::support::made::{pair, run, same, stop};

const BOTH: &[Need] = &[Need::Postgres, Need::PostgresBinaries];

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("pglogical_types_every_value_arrives_as_it_is", BOTH, every_value),
        scenario("pglogical_types_users_types_arrive_as_they_are", BOTH, users_types),
    ]
}

/// Types of the reference's table that the decoder's own scenario does not have, with values.
const MORE: &[(&str, &str)] = &[
    ("int4", "-2147483648"),
    ("float4", "'-Infinity'"),
    ("float8", "1e-10"),
    ("numeric", "'Infinity'"),
    ("numeric(5,2)[]", "'{1.50,NULL,-0.10}'"),
    ("varchar", "'no limit'"),
    ("varchar(3)[]", "'{abc,NULL}'"),
    ("char(3)[]", "'{a,bb}'"),
    ("bpchar", "'open  '"),
    ("text COLLATE \"C\"", "'ordered by bytes'"),
    ("text", "E'4 bytes \\U0001F600, a quote '' and a \\\\ backslash'"),
    ("time", "'24:00:00'"),
    ("timetz(2)", "'12:00:00.129-08'"),
    ("timestamp(0)", "'2020-02-03 04:05:06.7'"),
    ("timestamptz(3)[]", "'{2020-02-03 04:05:06.789+00,infinity}'"),
    ("interval day to second(3)", "'1 day 02:03:04.5678'"),
    ("interval(2)", "'1 mon 00:00:01.239'"),
    ("interval year to month", "'1 year 2 mons'"),
    ("bool[]", "'{t,f,NULL}'"),
    ("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"),
    ("inet[]", "'{10.0.0.1,::1}'"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'"),
    ("bit", "B'1'"),
    ("bit varying(7)", "B'1010101'"),
    ("int8range", "'[1,)'"),
    ("numrange", "'(1.5,2.5]'"),
    ("tsrange", "'[2020-01-01,infinity)'"),
    ("daterange[]", "'{\"[2020-01-01,2020-02-01)\",empty}'"),
    ("nummultirange", "'{[1,2),[3,4)}'"),
    ("line", "'{1,2,3}'"),
    ("lseg", "'[(0,0),(1,1)]'"),
    ("path", "'((0,0),(1,1),(2,0))'"),
    ("polygon", "'((0,0),(1,1),(2,0))'"),
    ("circle", "'<(1,2),3>'"),
    ("point[]", "'{\"(1,2)\",\"(3,4)\"}'"),
    ("xid8", "'9'"),
    ("cid", "'3'"),
    ("tid", "'(1,2)'"),
    ("pg_snapshot", "'10:20:10,14'"),
    ("oidvector", "'1 2 3'"),
    ("int2vector", "'1 2 3'"),
    ("aclitem", "'postgres=r/postgres'"),
    ("regtype", "'integer'"),
    ("int[][]", "'{{{1},{2}},{{3},{4}}}'"),
    ("int[]", "'[2:3]={1,2}'"),
    ("json[]", "ARRAY['{\"a\":  1}'::json]"),
];

/// Columns of every type, a row of values for them, and an assignment for each.
pub(crate) fn all_values() -> (String, String, Vec<String>) {
    let known = VALUES.iter().map(|(name, value, _)| (*name, *value));
    let all: Vec<(&str, &str)> = known.chain(MORE.iter().copied()).collect();
    let columns: Vec<_> = all.iter().enumerate().map(|(at, (name, _))| format!("c{at} {name}")).collect();
    let values: Vec<_> = all.iter().map(|(_, value)| *value).collect();
    let sets = all.iter().enumerate().map(|(at, (_, value))| format!("c{at} = {value}")).collect();
    (columns.join(", "), values.join(", "), sets)
}

async fn every_value(ctx: Ctx) -> Result<()> {
    let (columns, values, sets) = all_values();
    let nulls = vec!["NULL"; sets.len()].join(", ");
    let ddl = format!("CREATE TABLE vals (id int PRIMARY KEY, {columns})");
    let pair = pair(&ctx, &ddl).await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = run(&pair).await?;
    same(&pair.origin, &pair.target).await?;
    let insert = format!("INSERT INTO vals VALUES (1, {values}), (2, {nulls}), (3, {values})");
    pair.origin.execute(&insert).await?;
    pair.caught_up().await?;
    pair.same(&["public.vals"]).await?;
    // Into values from nothing, to nothing from values, one by one.
    pair.origin.execute(&format!("UPDATE vals SET {} WHERE id = 2", sets.join(", "))).await?;
    let sets: Vec<_> = (0..sets.len()).map(|at| format!("c{at} = NULL")).collect();
    pair.origin.execute(&format!("UPDATE vals SET {} WHERE id = 3", sets.join(", "))).await?;
    pair.caught_up().await?;
    pair.same(&["public.vals"]).await?;
    stop(process).await
}

/// Types of users in all combinations, with hostile names and labels.
pub(crate) const USERS_TYPES: &str = r#"
    CREATE SCHEMA "Sch ""ema";
    CREATE TYPE "Sch ""ema"."mo'od" AS ENUM ('sad', 'it''s, "quoted"', E'back\\slash', '{}', ' ');
    CREATE DOMAIN posint AS int4 DEFAULT 7 CONSTRAINT "is positive" CHECK (VALUE > 0);
    CREATE DOMAIN small AS posint NOT NULL DEFAULT 3 CHECK (VALUE < 100) CHECK (VALUE <> 50);
    CREATE DOMAIN word AS varchar(9) COLLATE "C";
    CREATE DOMAIN list AS int4[] CHECK (array_length(VALUE, 1) < 9);
    CREATE TYPE pair AS (a posint, b "Sch ""ema"."mo'od"[], c text COLLATE "C", "d e" numeric(5,2));
    CREATE TYPE nested AS (p pair, q pair[], r timestamptz(3));
    CREATE TYPE span AS RANGE (SUBTYPE = numeric);
    CREATE TYPE posspan AS RANGE (SUBTYPE = int8, MULTIRANGE_TYPE_NAME = posspans);
    CREATE TABLE users_types (
        id int PRIMARY KEY, m "Sch ""ema"."mo'od" NOT NULL DEFAULT 'it''s, "quoted"',
        ms "Sch ""ema"."mo'od"[], d posint, s small, w word, l list, ds posint[],
        p pair, ps pair[], n nested, r span, rs span[], x posspans
    );
    CREATE TABLE by_mood (m "Sch ""ema"."mo'od", s small, v text, PRIMARY KEY (m, s));
"#;

async fn users_types(ctx: Ctx) -> Result<()> {
    let pair = pair(&ctx, USERS_TYPES).await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = run(&pair).await?;
    same(&pair.origin, &pair.target).await?;
    let values = r#"
        INSERT INTO users_types VALUES
            (1, 'sad', ARRAY['{}', NULL, E'back\\slash', ' ', 'it''s, "quoted"']::"Sch ""ema"."mo'od"[], 1, 2,
             'word', '{1,2}', '{1,NULL,3}', ROW(1, ARRAY['sad', NULL]::"Sch ""ema"."mo'od"[], E'x,"y" \\ (z)', 1.50),
             ARRAY[ROW(1, NULL, NULL, NULL)::pair, NULL, ROW(2, '{}', '', 0)::pair],
             ROW(ROW(1, NULL, '', 2), ARRAY[ROW(3, NULL, '"', 1)::pair], '2020-01-01 00:00:00.1234+00'),
             '[1.5,2]', ARRAY['empty', '(,3]']::span[], '{[1,2],[5,6]}'),
            (2, DEFAULT, NULL, NULL, 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
        INSERT INTO by_mood VALUES ('sad', 1, 'a'), (E'back\\slash', 2, 'b'), (' ', 3, 'c');
        UPDATE by_mood SET m = 'it''s, "quoted"' WHERE s = 1;
        DELETE FROM by_mood WHERE m = ' ';
        UPDATE users_types SET p.c = 'new', ms[2] = 'sad' WHERE id = 1;
    "#;
    pair.origin.execute(values).await?;
    pair.caught_up().await?;
    pair.same(&["public.users_types", "public.by_mood"]).await?;
    stop(process).await
}
