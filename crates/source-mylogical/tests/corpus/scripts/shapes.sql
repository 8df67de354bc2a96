-- Shapes with and without a reference system.
CREATE TABLE shapes (id int PRIMARY KEY, g geometry, p point, l linestring, a polygon);
INSERT INTO shapes VALUES (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(10.5 -20)'),
ST_GeomFromText('LINESTRING(0 0,1 1,2 3)'), ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 0),(1 1,2 1,2 2,1 1))')),
(2, ST_GeomFromText('POINT(10 20)', 4326), ST_GeomFromText('POINT(10 20)', 4326), NULL, NULL),
(3, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))', 4326), NULL, NULL, NULL),
(4, ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'), NULL, NULL, NULL),
(5, ST_GeomFromText('MULTIPOINT((1 1),(2 2))', 3857), NULL, NULL, NULL),
(6, ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))'), NULL, NULL, NULL),
(7, NULL, NULL, NULL, NULL);
