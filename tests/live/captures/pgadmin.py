# What pgAdmin asks when a person browses: its own templates of statements, filled in, one statement a line on standard
# output. Those that the server does not know are left out. `GUARDS_ORDINARY=FILE cargo test -p tests --test it --
# live::guards::no_statement` runs them through the gateway. The templates are pgAdmin's and no part of this repository.
#
#   pip install jinja2 'psycopg[binary]'; pip download --no-deps pgadmin4; unzip pgadmin4-*.whl -d FOLDER
#   python pgadmin.py FOLDER 'host=127.0.0.1 user=postgres dbname=postgres' > statements.txt
import os
import re
import sys

import jinja2
import psycopg

folder, conninfo = sys.argv[1:]
LEFT_OUT = re.compile(r'ppas|pgagent|pga_|pgd_|gpdb|edb|resource_groups|directories')
WANTED = re.compile(
    r'/(nodes?|properties|count|get_\w+|dependents|dependencies|role_dependencies|stats|acl|defacl|coll_stats|version)\.sql$'
)
NUMBERS = {'did': 16384, 'scid': 2200, 'parent_id': 2200, 'lid': 13, 'tsid': 1663, 'last_system_oid': 16383,
           'datlastsysoid': 16383, 'rid': 10, 'idx': 16386}
ROW = ['conn', 'tid', 'cid', 'fnid', 'foid', 'exid', 'trid', 'eid', 'coid', 'doid', 'vid', 'seid', 'oid', 'relid', 'pid',
       'fid', 'fsid', 'umid', 'clid']
WORDS = {'rolname': 'postgres', 'current_user': 'postgres', 'schema': 'public', 'table': 'books', 'name': 'books',
         'typname': 'int4', 'kind': 'r', 'type': 'r', 'catalog_name': 'pg_catalog',
         'data': {'schema': 'public', 'name': 'books'}}


def literal(value, *_):
    if value is None or isinstance(value, jinja2.Undefined):
        return 'NULL'
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def identifier(_, *names):
    return '.'.join(f'"{name}"' if re.search(r'[^a-z0-9_]', str(name)) else str(name) for name in names)


roots = [os.path.join(path, 'templates') for path, folders, _ in os.walk(folder) if 'templates' in folders]
environment = jinja2.Environment(loader=jinja2.FileSystemLoader(roots), extensions=['jinja2.ext.do'])
environment.filters.update(qtLiteral=literal, qtIdent=identifier, qtTypeIdent=identifier,
                           hasAny=lambda row, keys: any(key in row for key in keys))
environment.globals.update(_=str, gettext=str, CATALOGS={'ALL_NAMES': ['pg_catalog', 'information_schema']})
known = set()
with psycopg.connect(conninfo, autocommit=True) as connection:
    for root in sorted(roots):
        for path in sorted(os.path.join(at, file) for at, _, files in os.walk(root) for file in files):
            if not WANTED.search(path) or LEFT_OUT.search(path):
                continue
            try:
                text = environment.get_template(os.path.relpath(path, root))
                sql = text.render(**{name: 16385 for name in ROW}, **NUMBERS, **WORDS)
                sql = re.sub(r'--[^\n]*|/\*.*?\*/', '', sql, flags=re.S)
                sql = ' '.join(sql.split()).rstrip('; ')
                if sql in known or ';' in sql or not re.match('(?i)select|with', sql):
                    continue
                connection.execute('PREPARE asked AS ' + sql)
                connection.execute('DEALLOCATE asked')
            except (jinja2.TemplateError, TypeError, psycopg.Error):
                continue
            known.add(sql)
            print(sql)
