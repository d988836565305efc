"""asyncpg: simple and prepared statements, cursors, COPY both ways, a transaction, cancel, an error, a large result."""

import asyncio
import io
import ssl
import time

import asyncpg
from common import CA, DATABASE, HOST, LARGE, PASSWORD, PORT, TABLE, USER, Digest, plain, say


async def connect():
    return await asyncpg.connect(
        host=HOST,
        port=PORT,
        database=DATABASE,
        user=USER,
        password=PASSWORD,
        ssl=ssl.create_default_context(cafile=CA),
        timeout=20,
    )


def rows(records):
    return plain([tuple(record) for record in records])


async def prepared(connection, results):
    statement = await connection.prepare("select entry_id, amount_cents, booked_at from public.ledger_entries where entry_id = $1")
    found = []
    for number in range(1, 6):
        found += await statement.fetch(number)
    results["prepared"] = rows(found)
    results["parameters"] = [kind.name for kind in statement.get_parameters()]
    results["arguments"] = rows(await connection.fetch("select $1::text, $2::int[], $3::bytea", "a'b", [1, 2], b"\x00\xff"))
    await connection.executemany(f"insert into {TABLE} (id, label) values ($1, $2)", [(n, f"many {n}") for n in range(-20, 0)])
    results["many"] = rows(await connection.fetch(f"select count(*), sum(id) from {TABLE}"))


async def copy(connection, results):
    text = "".join(f"{n}\trow {n} é\t\\N\t\\\\x{n % 256:02x}\n" for n in range(2000))
    status = await connection.copy_to_table(TABLE.split(".")[1], schema_name="public", source=io.BytesIO(text.encode()))
    out = io.BytesIO()
    await connection.copy_from_query(f"select id, label, bytes from {TABLE} order by id", output=out)
    digest = Digest()
    for line in out.getvalue().splitlines():
        digest.add(line)
    results["copy"] = [status, digest.done()]
    records = [(n, f"binary {n}", None, None) for n in range(5000, 5500)]
    results["copy binary"] = await connection.copy_records_to_table(TABLE.split(".")[1], schema_name="public", records=records)


async def transaction(connection, results):
    try:
        async with connection.transaction():
            await connection.execute(f"update {TABLE} set label = 'gone' where id = 1")
            raise KeyError("roll back")
    except KeyError:
        pass
    async with connection.transaction():
        await connection.execute(f"update {TABLE} set label = 'kept' where id = 2")
        digest = Digest()
        async for record in connection.cursor(f"select id, label from {TABLE} order by id", prefetch=200):
            digest.add(tuple(record))
    results["transaction"] = rows(await connection.fetch(f"select id, label from {TABLE} where id in (1, 2) order by id"))
    results["cursor"] = digest.done()


async def cancel(connection, results):
    start = time.monotonic()
    try:
        await connection.execute("select pg_sleep(25)", timeout=0.7)
        results["cancel"] = "ran to its end"
    except asyncio.TimeoutError:
        results["cancel"] = "cancelled"
    results["after cancel"] = await connection.fetchval("select 'alive'")
    results["cancel in time"] = time.monotonic() - start < 15


async def errors(connection, results):
    codes = []
    for query in ("select * from public.no_such_table", "select 1/0", "selec 1", f"insert into {TABLE} (id) values (2)"):
        for run in (connection.execute, connection.fetch):
            try:
                await run(query)
                codes.append("no error")
            except asyncpg.PostgresError as failure:
                codes.append(failure.sqlstate)
    results["errors"] = codes
    results["after errors"] = await connection.fetchval("select 'alive'")


async def main():
    results = {}
    connection = await connect()
    results["simple"] = await connection.execute("select 1; select 2")
    results["typed"] = rows(await connection.fetch("select 1 as one, 'zwei' as two, null as three"))
    await connection.execute(f"drop table if exists {TABLE}")
    await connection.execute(f"create table {TABLE} (id bigint primary key, label text, at timestamptz, bytes bytea)")
    await prepared(connection, results)
    await copy(connection, results)
    await transaction(connection, results)
    await cancel(connection, results)
    await errors(connection, results)
    digest = Digest()
    for record in await connection.fetch(LARGE):
        digest.add(tuple(record))
    results["large"] = digest.done()
    await connection.execute(f"drop table {TABLE}")
    await connection.close()
    say(results)


asyncio.run(main())
