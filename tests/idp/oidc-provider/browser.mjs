// TESTS ONLY. What somebody does in a browser to sign in at `people.mjs`, without one: follows redirects, keeps cookies,
// fills in the forms of the pages and sends them, until a page has no form any more.
//
//   node browser.mjs LOGIN ADDRESS

const [login, start] = process.argv.slice(2);
const STEPS_MAX = 30;
const jar = new Map();

/** The cookies that an answer sets. Older versions of Node give them as one line, in which dates have commas as well. */
function cookiesOf(headers) {
  if (typeof headers.getSetCookie === 'function') return headers.getSetCookie();
  return (headers.get('set-cookie') ?? '').split(/,\s*(?=[^;,\s=]+=)/).filter(Boolean);
}

async function visit(url, form) {
  const origin = new URL(url).origin;
  const cookies = [...(jar.get(origin) ?? new Map())].map(([name, value]) => `${name}=${value}`).join('; ');
  const answer = await fetch(url, {
    method: form ? 'POST' : 'GET',
    redirect: 'manual',
    headers: { cookie: cookies, ...(form ? { 'content-type': 'application/x-www-form-urlencoded' } : {}) },
    body: form,
  });
  const held = jar.get(origin) ?? new Map();
  for (const cookie of cookiesOf(answer.headers)) {
    const [name, ...value] = cookie.split(';')[0].split('=');
    held.set(name, value.join('='));
  }
  jar.set(origin, held);
  return answer;
}

const attribute = (tag, name) => new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1].replaceAll('&amp;', '&');

/** The form of a page, filled in; nothing where there is none. */
function filled(html, url) {
  const form = /<form[^>]*>([\s\S]*?)<\/form>/.exec(html);
  if (!form) return null;
  const fields = new URLSearchParams();
  for (const [input] of form[1].matchAll(/<input[^>]*>/g)) {
    const name = attribute(input, 'name');
    if (name) fields.set(name, { login, password: 'any' }[name] ?? attribute(input, 'value') ?? '');
  }
  const code = new URL(start).searchParams.get('user_code');
  if (fields.has('user_code') && code) fields.set('user_code', code);
  return { to: new URL(attribute(form[0], 'action') ?? url, url).href, body: fields };
}

let url = start;
let body;
for (let step = 0; step < STEPS_MAX; step += 1) {
  const answer = await visit(url, body);
  const to = answer.headers.get('location');
  const html = to ? '' : await answer.text();
  const form = to ? { to: new URL(to, url).href } : filled(html, url);
  if (!form) {
    process.stdout.write(`${answer.status} ${html.replace(/<style[\s\S]*?<\/style>|<[^>]*>|\s+/g, ' ').trim()}\n`);
    process.exit(answer.ok ? 0 : 1);
  }
  ({ to: url, body } = form);
}
process.stderr.write('the sign-in never ends\n');
process.exit(1);
