// TESTS ONLY. The certified provider (npm `oidc-provider`) with people who sign in in a browser: authorisation code with
// PKCE and the device flow, JWT access tokens shaped like Entra's v2. Whoever types a login is that person.
//
//   node people.mjs CONFIG.json
//
// CONFIG: {"tenant": UUID, "audience": "api://access-gateway", "port": 0, "secret": "…", "lifetime": 600,
//          "people": {"paula": {"oid": …, "name": …, "groups": […]}}}
// It prints one line of JSON, {"port", "authority", "issuer"}, once it listens.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const prefix = `/${config.tenant}/v2.0`;
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signing = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'people-key-1' };
const resource = {
  scope: 'access',
  audience: config.audience,
  accessTokenFormat: 'jwt',
  accessTokenTTL: config.lifetime ?? 600,
  jwt: { sign: { alg: 'RS256' } },
};

function provider(authority) {
  const made = new Provider(`${authority}${prefix}`, {
    jwks: { keys: [signing] },
    clients: [
      {
        client_id: 'console',
        client_secret: config.secret,
        // A native client's loopback redirect may have any port (RFC 8252).
        application_type: 'native',
        grant_types: ['authorization_code'],
        response_types: ['code'],
        redirect_uris: ['http://127.0.0.1/sign-in/callback'],
        token_endpoint_auth_method: 'client_secret_post',
      },
      {
        client_id: 'cli',
        application_type: 'native',
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
        response_types: ['code'],
        redirect_uris: ['http://127.0.0.1/callback'],
        token_endpoint_auth_method: 'none',
      },
    ],
    scopes: ['openid', 'offline_access', 'access'],
    findAccount: (_context, id) =>
      config.people[id] ? { accountId: id, claims: () => ({ sub: id, name: config.people[id].name }) } : undefined,
    // Consent was given when the gateway was registered.
    async loadExistingGrant(context) {
      const { client, session, provider } = context.oidc;
      const known = context.oidc.result?.consent?.grantId || session.grantIdFor(client.clientId);
      if (known) return provider.Grant.find(known);
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid offline_access access');
      grant.addResourceScope(config.audience, 'access');
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => config.audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resource,
      },
    },
    pkce: { required: () => true },
    extraTokenClaims: (_context, token) => {
      const person = config.people[token.accountId];
      if (!person) return {};
      const { oid, name, groups } = person;
      return { oid, name, groups, tid: config.tenant, ver: '2.0', scp: 'access', azp: token.clientId };
    },
    formats: {
      customizers: {
        jwt: (_context, _token, parts) => {
          parts.header = { ...parts.header, typ: 'JWT' };
          delete parts.payload.client_id;
          return parts;
        },
      },
    },
  });
  made.proxy = false;
  return made;
}

let handle = null;
const server = createServer((request, response) => {
  if (handle === null || !request.url.startsWith(`${prefix}/`)) {
    response.writeHead(404).end();
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(prefix.length);
  handle(request, response);
});
server.listen(config.port ?? 0, '127.0.0.1', () => {
  const { port } = server.address();
  const authority = `http://127.0.0.1:${port}`;
  handle = provider(authority).callback();
  process.stdout.write(`${JSON.stringify({ port, authority, issuer: `${authority}${prefix}` })}\n`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
