//! The statements that read a catalog snapshot, as the gateway's own account. Every row begins with the word that says
//! what it is; see [`super::Builder::row`]. They read definitions only, never rows of a user's table.

/// Extensions whose routines compute by what they are given alone, and read no table.
macro_rules! harmless_extensions {
    () => {
        "('btree_gin','btree_gist','citext','cube','earthdistance','fuzzystrmatch','hstore','intarray','isn','ltree','pg_trgm',\
         'pgcrypto','seg','unaccent','uuid-ossp')"
    };
}

/// Every part of a snapshot, in one text: PostgreSQL 15 to 18.
///
/// Operators, casts and classes of operators whose code is not SQL but C (languages 12 and 13, which only a superuser may use)
/// compute by what they are given: those of `PostGIS`, say.
///
/// The session's `search_path` is pinned, so that `pg_get_viewdef` and `format_type` qualify whatever it does not show.
pub const TEXT: &str = concat!(
    "\
select 'isolation', pg_catalog.current_setting('transaction_isolation');\
select 'barrier', c.oid from pg_catalog.pg_class c where c.relkind = 'v' \
 and (select pg_catalog.bool_or(o.option_value::pg_catalog.bool) from pg_catalog.pg_options_to_table(c.reloptions) o \
 where o.option_name = 'security_barrier');\
select 'relation', c.oid, n.nspname, c.relname, c.relkind, \
 c.relnamespace = pg_catalog.pg_my_temp_schema(), c.relrowsecurity, c.relispartition, \
 exists (select from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.ev_type <> '1'), \
 exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal), \
 case when c.relkind in ('v', 'm') and n.nspname !~ '^leasehold_.+_(key|v_[0-9a-f]{12})$' then pg_catalog.pg_get_viewdef(c.oid) end \
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
where c.relkind in ('r','p','v','m','f','S','t') and (n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
 or c.oid = 'pg_catalog.pg_attribute'::pg_catalog.regclass or c.relnamespace = pg_catalog.pg_my_temp_schema());\
with recursive base(oid, top, typmod) as (\
 select t.oid, t.oid, -1 from pg_catalog.pg_type t where t.typtype <> 'd' \
 union all select t.oid, t.typbasetype, t.typtypmod from pg_catalog.pg_type t where t.typtype = 'd'), \
bases(oid, top, typmod) as (\
 select oid, top, typmod from base \
 union all select b.oid, t.typbasetype, t.typtypmod from bases b join pg_catalog.pg_type t \
 on t.oid = b.top and t.typtype = 'd') \
select 'column', a.attrelid, a.attnum, a.attname, \
 pg_catalog.format_type(b.top, case when t.typtype = 'd' then b.typmod else a.atttypmod end), \
 bt.typcategory = 'S' and bt.typtype = 'b' and bt.typname <> 'name', a.attgenerated <> '', \
 bt.typcategory in ('A', 'E', 'R', 'S') or bt.typtype in ('e', 'r', 'm') or b.top in (select o.opcintype \
 from pg_catalog.pg_opclass o join pg_catalog.pg_am m on m.oid = o.opcmethod \
 where m.amname in ('btree', 'hash') and o.opcdefault) \
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_type t on t.oid = a.atttypid \
join bases b on b.oid = t.oid join pg_catalog.pg_type bt on bt.oid = b.top and bt.typtype <> 'd' \
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r','p','v','m','f') \
 and (n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
 or c.oid = 'pg_catalog.pg_attribute'::pg_catalog.regclass or c.relnamespace = pg_catalog.pg_my_temp_schema()) \
order by a.attrelid, a.attnum;\
select 'default', f.adrelid, f.adnum from pg_catalog.pg_attrdef f join pg_catalog.pg_attribute a \
 on a.attrelid = f.adrelid and a.attnum = f.adnum where a.attgenerated = '' \
union select 'default', a.attrelid, a.attnum from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid \
 where t.typdefault is not null and a.attnum > 0;\
select 'rule', r.ev_class, r.ev_type, pg_catalog.pg_get_ruledef(r.oid) from pg_catalog.pg_rewrite r \
join pg_catalog.pg_class c on c.oid = r.ev_class join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
where r.ev_type <> '1' and c.relkind in ('r','p','v') and (n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
 or c.relnamespace = pg_catalog.pg_my_temp_schema());\
select 'inherits', i.inhrelid, i.inhparent from pg_catalog.pg_inherits i;\
select distinct 'derives', r.ev_class, d.refobjid from pg_catalog.pg_rewrite r \
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid \
 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.ev_class;\
select 'index', i.indrelid, i.indisprimary, i.indisunique or i.indisexclusion, i.indkey::pg_catalog.text, \
 coalesce((select pg_catalog.string_agg(distinct d.refobjsubid::pg_catalog.text, ' ') from pg_catalog.pg_depend d \
 where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = i.indexrelid \
 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = i.indrelid and d.refobjsubid > 0), ''), \
 i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null, \
 pg_catalog.concat_ws(', ', pg_catalog.pg_get_expr(i.indpred, i.indrelid), pg_catalog.pg_get_expr(i.indexprs, i.indrelid)), \
 i.indisclustered, i.indnkeyatts \
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indrelid \
join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_';\
select distinct 'analysed', s.stxrelid, d.refobjsubid from pg_catalog.pg_statistic_ext s join pg_catalog.pg_depend d \
 on d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass and d.objid = s.oid and d.refobjid = s.stxrelid \
 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass where s.stxexprs is not null;\
select 'common', s.stxrelid, pg_catalog.string_agg(distinct d.refobjsubid::pg_catalog.text, ' ') from pg_catalog.pg_statistic_ext s \
 join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass and d.objid = s.oid \
 and d.refobjid = s.stxrelid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
 where 'm' = any (s.stxkind) group by s.oid, s.stxrelid;\
select 'serial', d.objid, d.refobjid, d.refobjsubid from pg_catalog.pg_depend d \
join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S' \
 where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = d.classid and d.refobjsubid > 0 \
union select 'serial', d.refobjid, f.adrelid, f.adnum from pg_catalog.pg_attrdef f join pg_catalog.pg_depend d \
 on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = f.oid \
 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
join pg_catalog.pg_class c on c.oid = d.refobjid and c.relkind = 'S';\
select 'constraint', k.contype, k.conrelid, coalesce(pg_catalog.array_to_string(k.conkey, ' '), ''), \
 k.confrelid, coalesce(pg_catalog.array_to_string(k.confkey, ' '), ''), k.convalidated \
from pg_catalog.pg_constraint k where k.contype in ('c', 'f', 'x') and k.conrelid <> 0 \
 and pg_catalog.to_jsonb(k) ->> 'conenforced' is distinct from 'false';\
select distinct 'generated', d.objid, d.objsubid, d.refobjsubid from pg_catalog.pg_depend d \
join pg_catalog.pg_attribute a on a.attrelid = d.objid and a.attnum = d.objsubid and a.attgenerated <> '' \
where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = d.classid \
 and d.objid = d.refobjid and d.refobjsubid > 0 \
union select 'generated', f.adrelid, f.adnum, d.refobjsubid from pg_catalog.pg_attrdef f \
join pg_catalog.pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum and a.attgenerated <> '' \
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = f.oid \
 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = f.adrelid and d.refobjsubid > 0 \
 and d.refobjsubid <> f.adnum;\
select 'policy', p.polrelid, case when d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass then d.refobjid end, \
 d.refobjsubid from pg_catalog.pg_policy p join pg_catalog.pg_depend d \
 on d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = p.oid and d.refclassid in \
 ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass) \
 where d.refclassid <> 'pg_catalog.pg_operator'::pg_catalog.regclass or not exists \
 (select from pg_catalog.pg_depend b join pg_catalog.pg_extension e on e.oid = b.refobjid \
 where b.classid = d.refclassid and b.objid = d.refobjid and b.deptype = 'e' \
 and e.extname in ",
    harmless_extensions!(),
    ");\
select distinct 'names', r.ev_class, d.refobjid from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d \
 on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid and d.refobjid >= 16384 \
 and d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass \
union select 'names', p.polrelid, d.refobjid from pg_catalog.pg_policy p join pg_catalog.pg_depend d \
 on d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = p.oid and d.refobjid >= 16384 \
 and d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass;\
select 'indexed', n.nspname, c.relname, i.indrelid from pg_catalog.pg_index i \
 join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema';\
select 'volatile', 'operator', o.oprname from pg_catalog.pg_operator o join pg_catalog.pg_proc p on p.oid = o.oprcode \
where o.oid >= 16384 and p.oid >= 16384 and p.provolatile = 'v';\
with recursive within(inner_type, outer_type) as materialized (\
 select t.typelem, t.oid from pg_catalog.pg_type t where t.typelem <> 0 \
 union all select t.typbasetype, t.oid from pg_catalog.pg_type t where t.typbasetype <> 0 \
 union all select a.atttypid, t.oid from pg_catalog.pg_type t join pg_catalog.pg_attribute a on a.attrelid = t.typrelid \
 where not a.attisdropped and t.oid >= 16384 \
 union all select r.rngsubtype, r.rngtypid from pg_catalog.pg_range r \
 union all select r.rngsubtype, r.rngmultitypid from pg_catalog.pg_range r), \
cast_to(oid) as (select k.casttarget from pg_catalog.pg_cast k join pg_catalog.pg_proc p on p.oid = k.castfunc \
 where p.oid >= 16384 and p.provolatile = 'v' \
 union select w.outer_type from cast_to c join within w on w.inner_type = c.oid), \
checked(oid) as (select k.contypid from pg_catalog.pg_constraint k \
 join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and d.objid = k.oid \
 left join pg_catalog.pg_operator o on d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and o.oid = d.refobjid \
 join pg_catalog.pg_proc p on p.oid = case when d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass then d.refobjid else o.oprcode end \
 and p.oid >= 16384 and p.provolatile = 'v' \
 where k.contypid <> 0 and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass) \
 union select w.outer_type from checked c join within w on w.inner_type = c.oid) \
select 'volatile', 'type', t.typname, t.oid from cast_to c join pg_catalog.pg_type t on t.oid = c.oid \
union all select 'volatile', 'made', t.typname, t.oid from checked c join pg_catalog.pg_type t on t.oid = c.oid;\
select 'along', k.confrelid, k.conrelid, k.confdeltype, k.confupdtype from pg_catalog.pg_constraint k \
where k.contype = 'f' and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'));\
select 'partitioned', p.partrelid, p.partattrs::pg_catalog.text from pg_catalog.pg_partitioned_table p;\
select 'routine', n.nspname, p.proname, \
 exists (select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid \
 where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e' \
 and e.extname in ",
    harmless_extensions!(),
    "), \
 p.pronargs > 0 and p.pronargs - p.pronargdefaults <= 1 and (t.typtype <> 'c' or not exists (select from pg_catalog.pg_attribute a \
 where a.attrelid = t.typrelid and a.attname = p.proname and a.attnum > 0 and not a.attisdropped)), \
 p.prosecdef, p.prokind, p.provolatile, \
 exists (select from pg_catalog.pg_operator o where o.oprcode = p.oid), \
 pg_catalog.pg_get_function_identity_arguments(p.oid) \
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
left join pg_catalog.pg_type t on t.oid = p.proargtypes[0] \
where p.oid >= 16384 and n.nspname !~ '^pg_t';\
select 'versions', coalesce(pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', p.oid, p.xmin), ',' order by p.oid)), '') \
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
where p.oid >= 16384 and n.nspname !~ '^pg_t';\
select 'stands', s.relation, pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', s.what, s.row, s.version), ',' \
 order by s.what, s.row, s.version)) from (\
 select f.adrelid, 'default', f.oid, f.xmin::pg_catalog.text from pg_catalog.pg_attrdef f \
 union all select k.conrelid, 'constraint', k.oid, k.xmin::pg_catalog.text from pg_catalog.pg_constraint k where k.contype in ('c', 'f') \
 union all select k.confrelid, 'along', k.oid, k.xmin::pg_catalog.text from pg_catalog.pg_constraint k \
 where k.contype = 'f' and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd')) \
 union all select t.tgrelid, 'trigger', t.oid, t.xmin::pg_catalog.text from pg_catalog.pg_trigger t where not t.tgisinternal \
 union all select p.polrelid, 'policy', p.oid, p.xmin::pg_catalog.text from pg_catalog.pg_policy p \
 union all select c.oid, 'whose', c.relowner, pg_catalog.concat_ws(' ', c.relforcerowsecurity, c.reloptions) from pg_catalog.pg_class c \
 where c.oid >= 16384 and (c.relkind = 'v' or c.relrowsecurity)) s(relation, what, row, version) \
where s.relation >= 16384 group by s.relation;\
select 'shared', coalesce(pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', s.what, s.row, s.version), ',' \
 order by s.what, s.row)), '') from (\
 select 'check', k.oid, k.xmin from pg_catalog.pg_constraint k where k.contypid <> 0 and k.oid >= 16384 \
 union all select 'domain', t.oid, t.xmin from pg_catalog.pg_type t where t.typtype = 'd' and t.oid >= 16384 \
 union all select 'cast', k.oid, k.xmin from pg_catalog.pg_cast k where k.oid >= 16384 \
 union all select 'operator', o.oid, o.xmin from pg_catalog.pg_operator o where o.oid >= 16384) s(what, row, version);\
select 'operator', o.oprname from pg_catalog.pg_operator o join pg_catalog.pg_proc p on p.oid = o.oprcode \
where o.oid >= 16384 and p.prolang not in (12, 13) and not exists \
 (select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid \
 where d.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass and d.objid = o.oid and d.deptype = 'e' \
 and e.extname in ",
    harmless_extensions!(),
    ");\
select distinct 'compared', coalesce(c.relation, 0), o.opcname, p.oid from pg_catalog.pg_opclass o \
join pg_catalog.pg_amproc m on m.amprocfamily = o.opcfamily and m.amproc >= 16384 \
join pg_catalog.pg_proc p on p.oid = m.amproc and p.prolang not in (12, 13) \
left join (select i.indrelid, i.indclass from pg_catalog.pg_index i \
 union all select d.partrelid, d.partclass from pg_catalog.pg_partitioned_table d) c(relation, classes) on o.oid = any (c.classes) \
where o.oid >= 16384;\
select 'provisioned', c.oid, d.description from pg_catalog.pg_class c \
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname ~ '^leasehold_.+_(key|v_[0-9a-f]{12})$' \
join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objoid = c.oid \
 and d.objsubid = 0 where c.relkind = 'v';\
select distinct 'runs', r.ev_class from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d \
 on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid and d.refobjid >= 16384 \
 and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass) \
join pg_catalog.pg_class c on c.oid = r.ev_class join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
where r.ev_type = '1' and n.nspname !~ '^leasehold_.+_(key|v_[0-9a-f]{12})$' and not exists \
 (select from pg_catalog.pg_depend b join pg_catalog.pg_extension e on e.oid = b.refobjid \
 where b.classid = d.refclassid and b.objid = d.refobjid and b.deptype = 'e' \
 and e.extname in ",
    harmless_extensions!(),
    ");\
with recursive made(source, target, asked) as (\
 select k.castsource, k.casttarget, k.castcontext = 'e' from pg_catalog.pg_cast k \
 join pg_catalog.pg_proc p on p.oid = k.castfunc and p.prolang not in (12, 13) where k.oid >= 16384 and p.oid >= 16384 and not exists (select from pg_catalog.pg_depend d join pg_catalog.pg_extension e \
 on e.oid = d.refobjid where d.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass and d.objid = k.oid and d.deptype = 'e' \
 and e.extname in ",
    harmless_extensions!(),
    ")), \
within(inner_type, outer_type) as materialized (\
 select t.typelem, t.oid from pg_catalog.pg_type t where t.typelem <> 0 \
 union all select t.typbasetype, t.oid from pg_catalog.pg_type t where t.typbasetype <> 0 \
 union all select a.atttypid, t.oid from pg_catalog.pg_type t join pg_catalog.pg_attribute a on a.attrelid = t.typrelid \
 where not a.attisdropped \
 union all select r.rngsubtype, r.rngtypid from pg_catalog.pg_range r \
 union all select r.rngsubtype, r.rngmultitypid from pg_catalog.pg_range r), \
held(oid, own) as (select t.oid, t.oid >= 16384 from made m join pg_catalog.pg_type t on t.oid in (m.source, m.target) \
 and (t.oid >= 16384 or m.source < 16384 and m.target < 16384) \
 union select w.outer_type, h.own from held h join within w on w.inner_type = h.oid) \
select 'cast', a.attrelid::pg_catalog.text, '' from held h join pg_catalog.pg_attribute a on a.atttypid = h.oid and a.attnum > 0 \
 where h.own \
union select 'cast', t.typrelid::pg_catalog.text, '' from held h join pg_catalog.pg_type t on t.oid = h.oid and t.typrelid <> 0 \
 where h.own \
union select 'cast', '0', '' from made m where m.source < 16384 and m.target < 16384 and not m.asked \
union select 'type', t.typname::pg_catalog.text, (case when h.own then t.oid else 0 end)::pg_catalog.text \
 from held h join pg_catalog.pg_type t on t.oid = h.oid;\
with recursive uses(class, object, routine) as (\
 select d.classid, d.objid, p.oid from pg_catalog.pg_depend d \
 left join pg_catalog.pg_operator o on d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and o.oid = d.refobjid \
 join pg_catalog.pg_proc p on p.oid = case when d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass then d.refobjid else o.oprcode end \
 where d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass) \
 and d.classid in ('pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass, \
 'pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_class'::pg_catalog.regclass, \
 'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, \
 'pg_catalog.pg_event_trigger'::pg_catalog.regclass) and p.oid >= 16384 \
 and not exists (select from pg_catalog.pg_depend b join pg_catalog.pg_extension e on e.oid = b.refobjid \
 where b.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and b.objid = p.oid and b.deptype = 'e' \
 and e.extname in ",
    harmless_extensions!(),
    ") \
 union select c.class, c.object, p.oid from (\
 select 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, i.indclass from pg_catalog.pg_index i \
 union all select 'pg_catalog.pg_class'::pg_catalog.regclass, d.partrelid, d.partclass from pg_catalog.pg_partitioned_table d) \
 c(class, object, classes) join pg_catalog.pg_opclass o on o.oid = any (c.classes) and o.oid >= 16384 \
 join pg_catalog.pg_amproc m on m.amprocfamily = o.opcfamily join pg_catalog.pg_proc p on p.oid = m.amproc and p.oid >= 16384 \
 and p.prolang not in (12, 13) and not exists (select from pg_catalog.pg_depend b join pg_catalog.pg_extension e on e.oid = b.refobjid \
 where b.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and b.objid = p.oid and b.deptype = 'e' \
 and e.extname in ",
    harmless_extensions!(),
    ")), \
holds(oid, routine) as (select o.opcintype, p.oid from pg_catalog.pg_opclass o join pg_catalog.pg_amproc m \
 on m.amprocfamily = o.opcfamily join pg_catalog.pg_proc p on p.oid = m.amproc and p.oid >= 16384 and p.prolang not in (12, 13) \
 where o.opcdefault and o.oid >= 16384 \
 union select k.contypid, u.routine from uses u join pg_catalog.pg_constraint k on k.oid = u.object \
 where u.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.contypid <> 0 \
 union select t.oid, u.routine from uses u join pg_catalog.pg_type t on t.oid = u.object and t.typtype in ('d', 'r') \
 where u.class = 'pg_catalog.pg_type'::pg_catalog.regclass \
 union select o.oid, h.routine from holds h join lateral (\
 select t.oid from pg_catalog.pg_type t where t.typelem = h.oid or t.typbasetype = h.oid \
 or exists (select from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.atttypid = h.oid and not a.attisdropped) \
 or exists (select from pg_catalog.pg_range r where r.rngsubtype = h.oid and t.oid in (r.rngtypid, r.rngmultitypid) \
 or r.rngtypid = h.oid and t.oid = r.rngmultitypid) \
 union all select k.contypid from pg_catalog.pg_depend d join pg_catalog.pg_constraint k on k.oid = d.objid and k.contypid <> 0 \
 where d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and d.refobjid = h.oid \
 and d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass) o on true), \
applied(class, object, routine) as (select u.class, u.object, u.routine from uses u \
 union select d.classid, d.objid, h.routine from holds h join pg_catalog.pg_depend d \
 on d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.refobjid = h.oid \
 where d.classid in ('pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass, \
 'pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_class'::pg_catalog.regclass, \
 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)) \
select 'written', t.tgrelid::pg_catalog.text, case when t.tgdeferrable then 'deferred' else 'trigger' end, u.routine::pg_catalog.text from applied u join pg_catalog.pg_trigger t \
 on u.class = 'pg_catalog.pg_trigger'::pg_catalog.regclass and t.oid = u.object where not t.tgisinternal \
union select 'written', '0', 'event', u.routine::pg_catalog.text from uses u join pg_catalog.pg_event_trigger e \
 on u.class = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass and e.oid = u.object where e.evtenabled <> 'D' and e.evtevent <> 'login' \
union select 'written', k.conrelid::pg_catalog.text, 'constraint', u.routine::pg_catalog.text from applied u join pg_catalog.pg_constraint k \
 on u.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = u.object where k.conrelid <> 0 \
union select 'written', f.adrelid::pg_catalog.text, 'default', u.routine::pg_catalog.text from applied u join pg_catalog.pg_attrdef f \
 on u.class = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and f.oid = u.object \
union select 'written', i.indrelid::pg_catalog.text, 'index', u.routine::pg_catalog.text from applied u join pg_catalog.pg_index i \
 on u.class = 'pg_catalog.pg_class'::pg_catalog.regclass and i.indexrelid = u.object \
union select 'written', t.relid::pg_catalog.oid::pg_catalog.text, 'partition', u.routine::pg_catalog.text from applied u \
 join pg_catalog.pg_partitioned_table p on u.class = 'pg_catalog.pg_class'::pg_catalog.regclass and p.partrelid = u.object \
 cross join lateral pg_catalog.pg_partition_tree(p.partrelid) t \
union select 'written', s.stxrelid::pg_catalog.text, 'statistics', u.routine::pg_catalog.text from applied u join pg_catalog.pg_statistic_ext s \
 on u.class = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass and s.oid = u.object \
union select 'written', a.attrelid::pg_catalog.text, 'type', h.routine::pg_catalog.text from holds h join pg_catalog.pg_attribute a \
 on a.atttypid = h.oid and a.attnum > 0 and not a.attisdropped \
union select 'checked', t.oid::pg_catalog.text, t.typname::pg_catalog.text, h.routine::pg_catalog.text from holds h join pg_catalog.pg_type t on t.oid = h.oid \
union select 'body', p.oid::pg_catalog.text, l.lanname::pg_catalog.text, case when p.prosqlbody is null and pg_catalog.length(p.prosrc) <= 65536 \
 and (p.proconfig is null or p.proconfig <@ array['search_path=pg_catalog', 'search_path=public', \
 'search_path=pg_catalog, pg_temp', 'search_path=public, pg_temp']) then p.prosrc end \
 from (select routine from uses union select routine from holds) u join pg_catalog.pg_proc p on p.oid = u.routine \
 join pg_catalog.pg_language l on l.oid = p.prolang;\
select 'extension', e.extname, e.extversion from pg_catalog.pg_extension e"
);

/// Rows that are read at the most.
pub const ROWS_MAX: usize = 400_000;
