-- A database as map applications have them: reference systems of its own, columns of both types, indexes that call
-- PostGIS, a topology.
create extension postgis;
create extension postgis_topology;

insert into spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text) values
    (990001, 'towns', 1, 'towns', '+proj=tmerc +lat_0=0 +lon_0=12 +k=1 +x_0=4500000 +y_0=0 +ellps=bessel +units=m +no_defs'),
    (990002, 'towns', 2, 'towns', '+proj=longlat +datum=WGS84 +no_defs');

create schema towns;
create table towns.place (
    id integer generated always as identity primary key,
    name text not null,
    spot geometry(Point, 4326) not null,
    zone geography(Polygon, 4326),
    square double precision generated always as (st_area(zone)) stored,
    constraint spot_is_valid check (st_isvalid(spot))
);
insert into towns.place (name, spot, zone)
    select 'place ' || n, st_setsrid(st_makepoint(12 + n / 1000.0, 50 + n / 2000.0), 4326),
           st_buffer(st_setsrid(st_makepoint(12 + n / 1000.0, 50), 4326)::geography, 100)
    from generate_series(1, 400) n;
create index place_spot on towns.place using gist (spot);
create index place_zone on towns.place using gist (zone);
-- Built after the rows of spatial_ref_sys that it needs.
create index place_local on towns.place using gist (st_transform(spot, 990001));
create view towns.near as select id, name, st_astext(spot) as spot from towns.place where st_dwithin(spot, st_setsrid(st_makepoint(12, 50), 4326), 0.1);
create materialized view towns.grid as
    select st_snaptogrid(spot, 0.1) as cell, count(*) as places, st_transform(st_centroid(st_collect(spot)), 990001) as centre
    from towns.place group by 1;
create index grid_cell on towns.grid using gist (cell);

select topology.createtopology('streets', 990002);
select topology.topogeo_addlinestring('streets', 'srid=990002;linestring(0 0, 10 0, 10 10, 0 0)');
create table towns.block (id integer primary key);
select topology.addtopogeometrycolumn('streets', 'towns', 'block', 'shape', 'polygon');
insert into towns.block select 1, topology.createtopogeom('streets', 3, 1, '{{1,3}}');
