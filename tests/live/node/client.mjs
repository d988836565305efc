// node-postgres: simple and prepared statements, COPY both ways, a transaction, cancel, an error, a large result.
// It prints one JSON object, step to result; the Rust side compares a direct run with one through the gateway.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect as dial } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';

const env = process.env;
const TABLE = env.LIVE_TABLE;
const LARGE =
  'select e.entry_id, e.amount_cents, e.note, e.booked_at, o.entry_id as other from public.ledger_entries e ' +
  'join public.ledger_entries o on o.customer_id = e.customer_id where e.entry_id <= 5000 order by 1, 5';

const client = new pg.Client({
  host: env.LIVE_HOST,
  port: Number(env.LIVE_PORT),
  database: env.LIVE_DATABASE,
  user: env.LIVE_USER,
  password: env.LIVE_PASSWORD,
  ssl: { ca: readFileSync(env.LIVE_CA, 'utf8'), servername: 'localhost' },
  connectionTimeoutMillis: 20000,
});

const digest = (parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

async function simple(results) {
  results.simple = (await client.query("select 1 as one, 'zwei' as two, null as three")).rows;
  results.several = (await client.query("select 1 as a; select 'b' as b")).map((one) => one.rows);
}

async function prepared(results) {
  results.prepared = [];
  for (let number = 1; number <= 5; number += 1) {
    const { rows } = await client.query({
      name: 'entry',
      text: 'select entry_id, amount_cents, booked_at from public.ledger_entries where entry_id = $1',
      values: [number],
    });
    results.prepared.push(...rows);
  }
  results.unnamed = (await client.query('select $1::text as a, $2::int[] as b', ["a'b", [1, 2]])).rows;
}

async function copy(results) {
  const rows = Array.from({ length: 2000 }, (_, n) => `${n}\trow ${n} é\t\\N\t\\\\x${(n % 256).toString(16).padStart(2, '0')}\n`);
  const sink = client.query(copyFrom(`copy ${TABLE} from stdin`));
  await pipeline(Readable.from(rows), sink);
  const source = client.query(copyTo(`copy (select id, label, bytes from ${TABLE} order by id) to stdout`));
  const parts = [];
  for await (const part of source) parts.push(part);
  results.copy = { rows: sink.rowCount, sha256: digest([Buffer.concat(parts)]) };
}

async function transaction(results) {
  await client.query('begin');
  await client.query(`update ${TABLE} set label = 'gone' where id = 1`);
  await client.query('rollback');
  await client.query('begin');
  await client.query(`update ${TABLE} set label = $1 where id = $2`, ['kept', 2]);
  await client.query('commit');
  results.transaction = (await client.query(`select id, label from ${TABLE} where id in (1, 2) order by id`)).rows;
}

/** The cancel request of the protocol: its own connection, the key that the server gave this one. */
function sendCancel() {
  const message = Buffer.alloc(16);
  message.writeInt32BE(16, 0);
  message.writeInt32BE(80877102, 4);
  message.writeInt32BE(client.processID, 8);
  message.writeInt32BE(client.secretKey, 12);
  return new Promise((resolve, reject) => {
    const socket = dial(Number(env.LIVE_PORT), env.LIVE_HOST, () => socket.end(message));
    socket.on('error', reject).on('close', resolve).resume();
  });
}

async function cancel(results) {
  const start = Date.now();
  const asleep = client.query('select pg_sleep(25)').then(
    () => 'ran to its end',
    (error) => error.code,
  );
  await new Promise((resolve) => setTimeout(resolve, 700));
  await sendCancel();
  results.cancel = await asleep;
  results.cancelInTime = Date.now() - start < 15000;
  results.afterCancel = (await client.query("select 'alive' as word")).rows;
}

async function errors(results) {
  results.errors = [];
  for (const text of ['select * from public.no_such_table', 'select 1/0', 'selec 1', `insert into ${TABLE} (id) values (2)`]) {
    for (const query of [text, { text, values: [] }, { text, name: `e${results.errors.length}` }]) {
      results.errors.push(await client.query(query).then(() => 'no error', (error) => error.code));
    }
  }
  results.afterErrors = (await client.query("select 'alive' as word")).rows;
}

async function large(results) {
  const { rows } = await client.query(LARGE);
  results.large = { rows: rows.length, sha256: digest(rows.map((row) => JSON.stringify(row))) };
}

const results = {};
await client.connect();
await simple(results);
await client.query(`drop table if exists ${TABLE}`);
await client.query(`create table ${TABLE} (id bigint primary key, label text, at timestamptz, bytes bytea)`);
await prepared(results);
await copy(results);
await transaction(results);
await cancel(results);
await errors(results);
await large(results);
await client.query(`drop table ${TABLE}`);
await client.end();
process.stdout.write(`${JSON.stringify(results)}\n`);
