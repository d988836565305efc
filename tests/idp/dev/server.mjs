// DEVELOPMENT ONLY. Anybody who can reach this server can have a token for anybody.
//
// A stand-in for Microsoft Entra: RS256 access tokens of version 1 and 2, discovery and JWKS at Entra's paths, key
// rotation. It listens on 127.0.0.1, keeps its keys in memory, and asks nobody who they are: `POST /mint` is the login.
// Node's standard library only, so that the demo needs no `npm ci`.
//
//   node server.mjs [--port 0] [--tenant UUID] [--audience api://access-gateway]
//
// It prints one line of JSON, {"port": …, "authority": "http://127.0.0.1:…", "tenant": …}, once it listens.

import { createHash, createHmac, createPublicKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';

const BODY_BYTES_MAX = 256 * 1024;

const options = { port: '0', tenant: '9d1f0000-0000-4000-8000-000000000001', audience: 'api://access-gateway' };
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i].replace(/^--/, '');
  if (!(name in options) || process.argv[i + 1] === undefined) {
    process.stderr.write(`unknown option ${process.argv[i]}\n`);
    process.exit(2);
  }
  options[name] = process.argv[i + 1];
}

const tenant = options.tenant;
let authority = '';

// ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function makeKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
  const kid = createHash('sha256').update(jwk.n).digest('base64url').slice(0, 27);
  return { kid, privateKey, jwk };
}

const published = [makeKey()];
const unpublished = makeKey(); // signs tokens that must be refused
const signer = () => published[published.length - 1];

function jwks(version) {
  return {
    keys: published.map(({ kid, jwk }) => ({
      kty: 'RSA',
      use: 'sig',
      kid,
      x5t: kid,
      n: jwk.n,
      e: jwk.e,
      ...(version === 2 ? { issuer: issuer(2) } : {}),
    })),
  };
}

// ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const issuer = (version, tid = tenant) => (version === 1 ? `${authority}/${tid}/` : `${authority}/${tid}/v2.0`);

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/**
 * Makes an access token.
 *
 * `oid`, `kind` (human | service | agent), `groups` (object ids; `null` leaves the claim out), `roles`, `name`,
 * `version` (1 | 2), `lifetime` in seconds, `tid`, `audience`; `claims` and `header` are laid over the result, a `null`
 * there removes; `signature`: `other-key` | `none` | `hs256` | `corrupt` make tokens that must be refused.
 */
function mint(ask) {
  const now = Math.floor(Date.now() / 1000);
  const version = ask.version === 1 ? 1 : 2;
  const kind = ask.kind ?? 'human';
  const oid = ask.oid ?? randomUUID();
  const tid = ask.tid ?? tenant;
  const client = ask.client ?? '11111111-aaaa-4bbb-8ccc-222222222222';
  const key = ask.signature === 'other-key' ? unpublished : signer();

  const claims = {
    aud: ask.audience ?? options.audience,
    iss: issuer(version, tid),
    iat: now,
    nbf: now,
    exp: now + (ask.lifetime ?? 3600),
    oid,
    sub: createHash('sha256').update(`${oid}|${client}`).digest('base64url'),
    tid,
    uti: randomUUID().replaceAll('-', '').slice(0, 22),
    ver: version === 1 ? '1.0' : '2.0',
  };
  if (ask.groups !== null) claims.groups = ask.groups ?? [];
  if (ask.roles) claims.roles = ask.roles;
  if (version === 1) {
    claims.appid = kind === 'human' ? client : oid;
    claims.appidacr = kind === 'human' ? '0' : '1';
  } else {
    claims.azp = kind === 'human' ? client : oid;
    claims.azpacr = kind === 'human' ? '0' : '1';
  }
  if (kind === 'human') {
    claims.scp = 'access';
    claims.name = ask.name ?? 'A Person';
    claims[version === 1 ? 'upn' : 'preferred_username'] = ask.login ?? 'person@acme.example';
  } else {
    claims.idtyp = 'app';
    if (ask.name) claims.app_displayname = ask.name;
    if (kind === 'agent') claims.xms_act_fct = '3 11';
  }
  const header = { typ: 'JWT', alg: 'RS256', kid: key.kid, ...(version === 1 ? { x5t: key.kid } : {}) };
  overlay(claims, ask.claims);
  overlay(header, ask.header);
  return seal(header, claims, key, ask.signature);
}

function overlay(target, over) {
  for (const [name, value] of Object.entries(over ?? {})) {
    if (value === null) delete target[name];
    else target[name] = value;
  }
}

function seal(header, claims, key, signature) {
  if (signature === 'none') {
    return `${b64({ ...header, alg: 'none' })}.${b64(claims)}.`;
  }
  if (signature === 'hs256') {
    // The classic confusion: a symmetric MAC keyed with the public key that everybody has.
    const input = `${b64({ ...header, alg: 'HS256' })}.${b64(claims)}`;
    const secret = createPublicKey(key.privateKey).export({ type: 'spki', format: 'pem' });
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  }
  const input = `${b64(header)}.${b64(claims)}`;
  const mac = sign('sha256', Buffer.from(input), key.privateKey);
  if (signature === 'corrupt') mac[mac.length - 1] ^= 1;
  return `${input}.${mac.toString('base64url')}`;
}

// ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function discovery(version) {
  const base = version === 1 ? `${authority}/${tenant}` : `${authority}/${tenant}/v2.0`;
  return {
    issuer: issuer(version),
    jwks_uri: version === 1 ? `${authority}/${tenant}/discovery/keys` : `${authority}/${tenant}/discovery/v2.0/keys`,
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/token`,
    response_types_supported: ['code'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
  };
}

const routes = {
  'GET /healthz': () => ({ ok: true }),
  [`GET /${tenant}/v2.0/.well-known/openid-configuration`]: () => discovery(2),
  [`GET /${tenant}/.well-known/openid-configuration`]: () => discovery(1),
  [`GET /${tenant}/discovery/v2.0/keys`]: () => jwks(2),
  [`GET /${tenant}/discovery/keys`]: () => jwks(1),
  'POST /mint': (ask) => ({ access_token: mint(ask), token_type: 'Bearer' }),
  // A new key signs from now on. `{"keep": false}` withdraws the old ones at once.
  'POST /rotate': (ask) => {
    if (ask.keep === false) published.length = 0;
    published.push(makeKey());
    return { kid: signer().kid, published: published.length };
  },
};

async function body(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY_BYTES_MAX) throw new Error('the body is too large');
    parts.push(part);
  }
  return size === 0 ? {} : JSON.parse(Buffer.concat(parts).toString('utf8'));
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url, 'http://127.0.0.1').pathname;
  const route = routes[`${request.method} ${path}`];
  const answer = (status, value) => {
    const text = JSON.stringify(value);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    response.end(text);
  };
  if (!route) {
    answer(404, { error: 'not_found', path });
    return;
  }
  try {
    answer(200, route(request.method === 'POST' ? await body(request) : {}));
  } catch (error) {
    answer(400, { error: 'bad_request', detail: String(error.message) });
  }
});

server.listen(Number(options.port), '127.0.0.1', () => {
  const { port } = server.address();
  authority = `http://127.0.0.1:${port}`;
  process.stdout.write(`${JSON.stringify({ port, authority, tenant })}\n`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
