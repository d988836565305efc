// The console in a real Chromium: sign in, ask, approve as other people, watch live, terminate, replay; then the same
// in dark colours with the keyboard alone. Fails loudly; prints one line for each thing that was seen.
//
//   node run.mjs CONFIG.json
//
// CONFIG: {"url", "issuer", "audience", "postgres": {"port", "ca"}, "psql", "shots", "chromium", "commit"}

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const saw = (what) => process.stdout.write(`ok ${what}\n`);
const browser = await chromium.launch({
  executablePath: config.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const problems = [];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
// What axe finds wrong with a page, with its WCAG 2.1 A and AA rules and its good practices, contrast included.
async function accessible(page, what) {
  const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] }).then((result) =>
    result.violations.map(({ id, nodes }) => \`\${id}: \${nodes.map((node) => node.html.slice(0, 120)).join(' | ')}\`))`);
  assert.deepEqual(found, [], `${what} at ${page.url()}`);
}
// Nothing here waits for ever.
setTimeout(() => {
  process.stderr.write('the run takes too long\n');
  process.exit(1);
}, 270000).unref();

async function open(colorScheme = 'light') {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1100, height: 800 }, locale: 'en-GB' });
  context.setDefaultTimeout(30000);
  const page = await context.newPage();
  page.on('console', (message) => {
    // What the policy of the page forbids is said here.
    const ours = page.url().startsWith(config.url);
    if (ours && message.type() === 'error' && !/40\d|favicon/.test(message.text())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  return { context, page };
}

// Goes to a page. One that shows what has just changed reloads itself, and may do so while one leaves it.
async function visit(page, url) {
  for (let left = 3; ; left -= 1) {
    try {
      return await page.goto(url);
    } catch (error) {
      if (left === 0 || !/interrupted by another navigation|ERR_ABORTED/.test(String(error))) throw error;
    }
  }
}

async function signIn(page, login, keyboard = false) {
  await visit(page, `${config.url}/`);
  await page.waitForURL(/sign-in/);
  if (keyboard) {
    await press(page, 'Sign in with entra');
  } else {
    await page.getByRole('link', { name: /Sign in with/ }).click();
  }
  await page.locator('input[name=login]').fill(login);
  await page.locator('input[name=password]').fill('any');
  await page.locator('input[name=password]').press('Enter');
  // A native client is confirmed each time.
  await page.getByRole('button', { name: 'Continue' }).press('Enter');
  await page.waitForURL((url) => url.origin === new URL(config.url).origin && !url.pathname.startsWith('/sign-in'));
  await page.getByRole('heading', { level: 1 }).waitFor();
}

// Moves with the tabulator until the element of that name has the focus, then presses Enter.
async function press(page, name, key = 'Enter') {
  for (let step = 0; step < 120; step += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      const label = element.labels?.[0]?.textContent ?? element.getAttribute('aria-label') ?? element.textContent ?? '';
      return label.trim();
    }).catch(() => null);
    if (focused === null) {
      // The page is being replaced: the keys go on in the next one.
      await page.waitForLoadState();
      continue;
    }
    if (focused.startsWith(name)) {
      if (key) await page.keyboard.press(key);
      return;
    }
  }
  throw new Error(`the keyboard never reaches “${name}” on ${page.url()}`);
}

// A real access token for psql: the command line's own flow, in the same browser.
async function token(page) {
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const redirect = 'http://127.0.0.1:9/callback';
  const query = new URLSearchParams({
    response_type: 'code', client_id: 'cli', redirect_uri: redirect, scope: 'openid access', resource: config.audience,
    code_challenge: challenge, code_challenge_method: 'S256', state: 'x',
  });
  const tab = await page.context().newPage();
  const answered = new Promise((resolve) => {
    tab.on('request', (request) => {
      if (request.url().startsWith(redirect)) resolve(new URL(request.url()).searchParams.get('code'));
    });
  });
  await tab.goto(`${config.issuer}/auth?${query}`);
  await tab.getByRole('button', { name: 'Continue' }).click().catch(() => {});
  const code = await answered;
  await tab.close();
  const answer = await fetch(`${config.issuer}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'authorization_code', client_id: 'cli', code, redirect_uri: redirect, code_verifier: verifier,
      resource: config.audience,
    }),
  });
  const body = await answer.json();
  assert.ok(body.access_token, JSON.stringify(body));
  return body.access_token;
}

function psql(password, statements, connection = 'payments-db') {
  const conninfo = `host=localhost port=${config.postgres.port} dbname=${connection} user=me sslmode=verify-full sslrootcert=${config.postgres.ca}`;
  const child = spawn(config.psql, ['--no-psqlrc', '--dbname', conninfo], {
    env: { ...process.env, PGPASSWORD: password, PGCONNECT_TIMEOUT: '20' },
  });
  let said = '';
  child.stdout.on('data', (data) => { said += data; });
  child.stderr.on('data', (data) => { said += data; });
  const ended = new Promise((resolve) => { child.on('close', (code) => resolve({ code, said })); });
  for (const statement of statements) child.stdin.write(`${statement};\n`);
  child.stdin.end();
  return { child, ended, said: () => said };
}

const shot = (page, name) => page.screenshot({ path: `${config.shots}/${name}.png` });
const main = (page) => page.locator('main');

async function ask(page, reason) {
  await visit(page, `${config.url}/`);
  await page.getByText(/ledger-read/).first().click();
  const form = page.locator('form.ask').filter({ has: page.locator('input[name=via][value=ledger-read]') });
  await form.locator('textarea').fill(reason);
  await form.locator('input[name=ticket]').fill('INC-4712');
  await form.getByRole('button').click();
  await page.waitForURL(/requests\/req_/);
  return page.url().split('/').pop();
}

// By table, by what became of statements, by how it ended, by person; and only what the reader may replay.
async function search(page, other) {
  const rows = () => page.locator('main tbody tr').count();
  const ask = async (fields) => {
    await visit(page, `${config.url}/sessions`);
    for (const [label, value] of Object.entries(fields)) {
      const choice = page.getByRole('combobox', { name: label });
      if (await choice.count()) await choice.selectOption(value);
      else await page.getByLabel(label, { exact: true }).fill(value);
    }
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('heading', { level: 1 }).waitFor();
  };
  const day = new Date().toISOString().slice(0, 10);
  await ask({ Table: 'public.ledger_entries', Who: 'paula', Connection: 'payments-db', From: day, Until: day });
  assert.equal(await rows(), 1);
  await main(page).getByText('from public.ledger_entries').waitFor();
  await shot(page, 'search');
  await accessible(page, 'a search');
  for (const [fields, count] of [
    [{ Table: 'public.customers', 'With a statement': 'denied' }, 1],
    [{ Table: 'public.ledger_entries', 'With a statement': 'denied' }, 0],
    [{ Table: 'public.nothing' }, 0],
    [{ 'Ended by': 'revoked', Connection: 'payments-db' }, 1],
    [{ 'Ended by': 'recorder' }, 0],
    [{ Table: 'public.ledger_entries', Until: '2001-01-01' }, 0],
    [{ Who: 'nobody of that name' }, 0],
  ]) {
    await ask(fields);
    assert.equal(await rows(), count, JSON.stringify(fields));
  }
  await visit(other, `${config.url}/sessions?table=public.ledger_entries`);
  await main(other).getByText('No session that you may see fits.').waitFor();
  saw('sessions are found by table, outcome, end, person and day, by those who may replay them');
}

// Finds the live session, follows it, ends it and replays it, without a pointer.
async function watchInTheDark(dark) {
  const client = psql(await token(dark.page), ["select 'in the dark' as greeting", 'select pg_sleep(60)']);
  const sam = await open('dark');
  await signIn(sam.page, 'sam', true);
  for (let look = 0; look < 20; look += 1) {
    await press(sam.page, 'Sessions');
    await sam.page.waitForURL((url) => url.pathname === '/sessions' && !url.search);
    await press(sam.page, 'Live only', ' ');
    await press(sam.page, 'Search');
    await sam.page.waitForURL(/state=live/);
    if (await sam.page.locator('tbody a').count()) break;
    await sam.page.waitForTimeout(500);
  }
  await press(sam.page, 'ses_');
  await sam.page.getByText('in the dark').first().waitFor();
  await accessible(sam.page, 'a live session in dark colours');
  await press(sam.page, 'Terminate');
  assert.notEqual((await client.ended).code, 0);
  await sam.page.getByText(/Complete\./).waitFor();
  await press(sam.page, 'Timeline', 'Home');
  const shown = () => sam.page.locator('#steps li:not([hidden])').count();
  const [first, all] = [await shown(), await sam.page.locator('#steps li').count()];
  assert.ok(first < all, `${first} of ${all}`);
  await sam.page.keyboard.press('End');
  assert.equal(await shown(), all);
  await shot(sam.page, 'replay-dark');
  await accessible(sam.page, 'a replay in dark colours');
  await sam.context.close();
}

// One statement of a live session waits; another person sees exactly it, and releases it.
async function oneStatement(paula, lena) {
  const sql = "update public.ledger_entries set note = 'seen <b>by</b> two' where entry_id = 3";
  const client = psql(await token(paula), [sql, "select 'the session goes on'"], 'ledger-dev');
  for (let look = 0; look < 40; look += 1) {
    await visit(lena, `${config.url}/`);
    await lena.getByRole('link', { name: 'Approvals' }).click();
    await lena.getByText(/\d+ to decide/).waitFor();
    if (await lena.locator('pre.statement').count()) break;
    await lena.waitForTimeout(500);
  }
  assert.equal(await lena.locator('pre.statement').innerText(), `${sql};`, client.said());
  await main(lena).getByText('update.bounded public.ledger_entries').first().waitFor();
  await shot(lena, 'statement');
  await accessible(lena, 'a statement that waits');
  await visit(paula, `${config.url}/approvals`);
  assert.equal(await paula.getByRole('button', { name: 'Approve' }).count(), 0, 'nobody releases their own');
  assert.doesNotMatch(client.said(), /UPDATE/);
  await lena.getByRole('button', { name: 'Approve' }).click();
  await lena.getByText('0 to decide').waitFor();
  const done = await client.ended;
  assert.equal(done.code, 0, done.said);
  assert.match(done.said, /waits for the approval[^]*UPDATE 1[^]*the session goes on/);
  saw('one statement waits in psql, is shown exactly, and runs once another person releases it');
}

async function policyPage(page) {
  await visit(page, `${config.url}/policy`);
  for (const text of ['Digest', 'Confirmed', 'Who can', config.commit]) await main(page).getByText(text).first().waitFor();
  const newest = main(page).locator('details').first();
  await newest.locator('summary').click();
  await newest.getByText(/^\+ ledger-dev, .*console-proof/).waitFor();
  await newest.getByText('+ grant console-proof').waitFor();
  await main(page).locator('svg path.edge').first().waitFor();
  await page.locator('#what-can input[name=groups]').fill('payments-dev');
  await page.locator('#what-can input[name=on]').fill('payments-db');
  await page.getByRole('button', { name: 'Ask' }).click();
  await page.locator('#what-can').getByText(/1 from group:payments-leads.*teams\/payments\/grants.kdl:\d+/).waitFor();
  await shot(page, 'policy');
  await accessible(page, 'the policy');
  await visit(page, `${config.url}/policy?groups=payments-dev,contractors&on=payments-db`);
  await page.locator('#what-can').getByText(/contractors-regulated/).first().waitFor();
  await visit(page, `${config.url}/policy?connection=payments-db`);
  await main(page).getByText(/payments-db/).first().waitFor();
  saw('the policy page says what changed, who can, what they can, and why not');
}

try {
  const headers = await fetch(`${config.url}/sign-in`);
  const policy = headers.headers.get('content-security-policy');
  assert.match(policy, /script-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
  const html = await headers.text();
  assert.doesNotMatch(html, /<script(?![^>]*src=)|\son\w+=|style="/);
  saw('no inline script, style or handler, and a policy that forbids them');

  const paula = await open();
  await signIn(paula.page, 'paula');
  await main(paula.page).getByText('You hold no window.').waitFor();
  await accessible(paula.page, 'my access');
  const cookies = await paula.context.cookies(config.url);
  const session = cookies.find((cookie) => cookie.name === 'leasehold');
  assert.deepEqual([session.httpOnly, session.sameSite], [true, 'Strict']);
  await shot(paula.page, 'my-access');
  saw('sign-in with code and PKCE; the session cookie is strict');

  const reason = 'customer disputes entry 17 <img src=x onerror=alert(1)>\u202e';
  const id = await ask(paula.page, reason);
  await main(paula.page).getByText('Waiting for people.').waitFor();
  assert.equal(await paula.page.getByRole('button', { name: 'Approve' }).count(), 0);
  assert.equal(await paula.page.locator('main img').count(), 0, 'a reason is text');
  await accessible(paula.page, 'a request');
  saw('a request waits; nobody sees an approve button on their own');

  // A form of another page does not count.
  const forged = await paula.page.evaluate(async (url) => {
    const answer = await fetch(url, { method: 'POST', body: new URLSearchParams({ form: 'guess' }) });
    return answer.status;
  }, `/requests/${id}/withdraw`);
  assert.equal(forged, 403);
  saw('a form without the token of a page is refused');

  const lena = await open();
  await signIn(lena.page, 'lena');
  await lena.page.getByRole('link', { name: 'Approvals' }).click();
  await lena.page.getByText('1 to decide').waitFor();
  await shot(lena.page, 'approvals');
  await accessible(lena.page, 'approvals');
  await lena.page.getByRole('button', { name: 'Approve' }).click();
  await lena.page.getByText('0 to decide').waitFor();
  const sam = await open();
  await signIn(sam.page, 'sam');
  await visit(sam.page, `${config.url}/requests/${id}`);
  await sam.page.getByText('Lena Lead at').waitFor();
  await sam.page.getByRole('button', { name: 'Approve' }).click();
  saw('two other people approve what the page showed');

  await visit(paula.page, `${config.url}/`);
  await paula.page.locator('article.open').first().waitFor();
  await paula.page.locator('article.open time[data-countdown]').filter({ hasText: /min/ }).waitFor();
  await shot(paula.page, 'window');
  const client = psql(await token(paula.page), ["select 'hello from psql' as greeting", 'select count(*) from public.ledger_entries', 'delete from public.customers', 'select pg_sleep(60)']);
  saw('the window is open and counts down; psql connects');

  await visit(sam.page, `${config.url}/sessions?state=live&connection=payments-db`);
  for (let look = 0; look < 20 && (await sam.page.locator('tbody a').count()) === 0; look += 1) {
    await sam.page.waitForTimeout(500);
    await sam.page.reload();
  }
  assert.ok(await sam.page.locator('tbody a').count(), `no live session; psql: ${client.said()}`);
  await sam.page.locator('tbody a').first().click();
  await sam.page.getByText('hello from psql').first().waitFor();
  await sam.page.getByText(/Following/).waitFor();
  await shot(sam.page, 'live');
  await accessible(sam.page, 'a live session');
  saw('another person follows the live session');
  await sam.page.getByRole('button', { name: 'Terminate' }).click();
  const gone = await client.ended;
  assert.notEqual(gone.code, 0);
  assert.match(gone.said, /terminat/i);
  saw('terminating it in the browser ends psql');

  await sam.page.waitForFunction(() => document.querySelector('.state.closed') !== null || (location.reload(), false), null, { polling: 1500 });
  await sam.page.getByText(/Complete\./).waitFor();
  const steps = await sam.page.locator('#steps li').count();
  assert.ok(steps > 3, `${steps} steps`);
  await sam.page.locator('#timeline').fill('0');
  const shown = await sam.page.locator('#steps li:not([hidden])').count();
  assert.ok(shown < steps, `${shown} of ${steps} are shown at the start`);
  await sam.page.locator('#speed').selectOption('16');
  await sam.page.getByRole('button', { name: 'Play' }).click();
  await sam.page.waitForFunction((all) => document.querySelectorAll('#steps li:not([hidden])').length === all, steps);
  await shot(sam.page, 'replay');
  await accessible(sam.page, 'a replay');
  saw('the recording replays along its timeline');

  await search(sam.page, lena.page);
  await oneStatement(paula.page, lena.page);
  await policyPage(sam.page);
  await visit(sam.page, `${config.url}/audit`);
  await main(sam.page).getByText('session.terminated').first().waitFor();
  await accessible(sam.page, 'the audit log');
  await visit(paula.page, `${config.url}/audit`);
  assert.equal(await paula.page.getByText('bundle.activated').count(), 0, 'activations are for operate … policy');
  saw('the audit log shows what each may see');

  await visit(paula.page, `${config.url}/`);
  await paula.page.getByRole('button', { name: 'End now' }).click();
  await paula.page.getByText('returned by').waitFor();

  // The same in dark colours, with the keyboard alone.
  const dark = await open('dark');
  await signIn(dark.page, 'paula', true);
  const background = await dark.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.ok(background.match(/\d+/g).slice(0, 3).every((part) => Number(part) < 64), background);
  await press(dark.page, 'ledger-read');
  await press(dark.page, 'Reason', null);
  await dark.page.keyboard.type('again, by keyboard');
  await press(dark.page, 'Ticket', null);
  await dark.page.keyboard.type('INC-4713');
  await press(dark.page, 'Ask for payments-db');
  await dark.page.waitForURL(/requests\/req_/);
  for (const login of ['lena', 'sam']) {
    const other = await open('dark');
    await signIn(other.page, login, true);
    await press(other.page, 'Approvals');
    await other.page.getByText('1 to decide').waitFor();
    if (login === 'lena') {
      await shot(other.page, 'approvals-dark');
      await accessible(other.page, 'approvals in dark colours');
    }
    await press(other.page, 'Approve');
    await other.page.getByText('0 to decide').waitFor();
    await other.context.close();
  }
  await press(dark.page, 'My access');
  await dark.page.locator('article.open').first().waitFor();
  await shot(dark.page, 'my-access-dark');
  await accessible(dark.page, 'my access in dark colours');
  await watchInTheDark(dark);
  await press(dark.page, 'My access');
  await press(dark.page, 'End now');
  await dark.page.getByText('returned by').waitFor();
  await press(dark.page, 'Sign out');
  await dark.page.waitForURL(/sign-in/);
  saw('the same in dark colours, with the keyboard alone');

  assert.deepEqual(problems, [], 'nothing was forbidden by the pages’ own policy');
  saw('axe finds nothing on any page, and nothing broke the pages’ policy');
} catch (error) {
  process.stderr.write(`${error.stack}\nproblems: ${JSON.stringify(problems)}\n`);
  for (const context of browser.contexts()) {
    for (const page of context.pages()) {
      process.stderr.write(`page ${page.url()}\n${(await page.locator('body').innerText().catch(() => '')).slice(0, 2500)}\n---\n`);
    }
  }
  process.exitCode = 1;
} finally {
  await browser.close();
}
