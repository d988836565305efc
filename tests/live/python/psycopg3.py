"""psycopg 3: simple and prepared statements, pipeline, cursors, COPY both ways, a transaction, cancel, an error, a large result."""

import threading
import time

import psycopg
from common import CA, DATABASE, HOST, LARGE, PASSWORD, PORT, TABLE, USER, Digest, plain, say


def connect():
    return psycopg.connect(
        host=HOST,
        port=PORT,
        dbname=DATABASE,
        user=USER,
        password=PASSWORD,
        sslmode="verify-full",
        sslrootcert=CA,
        connect_timeout=20,
        autocommit=True,
    )


def simple(connection, results):
    results["simple"] = plain(connection.execute("select 1 as one, 'zwei' as two, null as three").fetchall())
    cursor = connection.execute("select 1; select 2; select 'three'")
    several = [cursor.fetchall()]
    while cursor.nextset():
        several.append(cursor.fetchall())
    results["several"] = plain(several)


def table(connection):
    connection.execute(f"drop table if exists {TABLE}")
    connection.execute(f"create table {TABLE} (id bigint primary key, label text, at timestamptz, bytes bytea)")


def prepared(connection, results):
    rows = []
    for number in range(1, 6):
        query = "select entry_id, amount_cents, booked_at from public.ledger_entries where entry_id = %s"
        rows += connection.execute(query, [number], prepare=True).fetchall()
    results["prepared"] = plain(rows)
    cursor = connection.cursor(binary=True)
    cursor.execute("select customer_id, email, created_at from public.customers where customer_id = %b", [7])
    results["binary"] = plain(cursor.fetchall())
    with connection.pipeline():
        cursors = [connection.execute("select %s::int + 1", [number]) for number in range(4)]
        results["pipeline"] = plain([cursor.fetchone() for cursor in cursors])


def copy(connection, results):
    with connection.cursor() as cursor:
        with cursor.copy(f"copy {TABLE} (id, label, bytes) from stdin") as sink:
            for number in range(2000):
                sink.write_row((number, None if number % 5 == 0 else f"row\t{number}\\ é", bytes([number % 256])))
        digest = Digest()
        with cursor.copy(f"copy (select id, label, bytes from {TABLE} order by id) to stdout") as source:
            for row in source.rows():
                digest.add(row)
    results["copy"] = digest.done()
    results["copied"] = plain(connection.execute(f"select count(*), sum(id) from {TABLE}").fetchall())


def transaction(connection, results):
    try:
        with connection.transaction():
            connection.execute(f"update {TABLE} set label = 'gone' where id = 1")
            raise KeyError("roll back")
    except KeyError:
        pass
    with connection.transaction():
        connection.execute(f"update {TABLE} set label = 'kept' where id = 2")
        try:
            with connection.transaction():
                connection.execute(f"delete from {TABLE} where id = 3")
                raise KeyError("to the savepoint")
        except KeyError:
            pass
    query = f"select id, label from {TABLE} where id in (1, 2, 3) order by id"
    results["transaction"] = plain(connection.execute(query).fetchall())


def cursor(connection, results):
    digest = Digest()
    with connection.transaction(), connection.cursor(name="walk") as walk:
        walk.itersize = 500
        walk.execute("select entry_id, note from public.ledger_entries where entry_id <= 2500 order by entry_id")
        for row in walk:
            digest.add(row)
    results["cursor"] = digest.done()


def cancel(connection, results):
    def later():
        time.sleep(0.7)
        connection.cancel_safe(timeout=10)

    thread = threading.Thread(target=later)
    thread.start()
    start = time.monotonic()
    try:
        connection.execute("select pg_sleep(25)")
        results["cancel"] = "ran to its end"
    except psycopg.errors.QueryCanceled as error:
        results["cancel"] = error.sqlstate
    thread.join()
    results["cancel in time"] = time.monotonic() - start < 15
    results["after cancel"] = plain(connection.execute("select 'alive'").fetchone())


def error(connection, results):
    codes = []
    for query in ("select * from public.no_such_table", "select 1/0", "selec 1", f"insert into {TABLE} (id) values (2)"):
        try:
            connection.execute(query)
            codes.append("no error")
        except psycopg.Error as failure:
            codes.append(failure.sqlstate)
    results["errors"] = codes
    results["after errors"] = plain(connection.execute("select 'alive'").fetchone())


def large(connection, results):
    digest = Digest()
    for row in connection.execute(LARGE):
        digest.add(row)
    results["large"] = digest.done()


def main():
    results = {}
    with connect() as connection:
        simple(connection, results)
        table(connection)
        prepared(connection, results)
        copy(connection, results)
        transaction(connection, results)
        cursor(connection, results)
        cancel(connection, results)
        error(connection, results)
        large(connection, results)
        connection.execute(f"drop table {TABLE}")
    say(results)


main()
