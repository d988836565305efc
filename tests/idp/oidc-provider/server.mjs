// TESTS ONLY. A certified OpenID provider (npm `oidc-provider`) shaped like an Entra tenant: issuer `…/<tid>/v2.0`, JWT
// access tokens through resource indicators, client credentials. Nothing of the gateway's own makes these tokens, so a
// mistake that our stand-in and our verifier share shows here.
//
//   node server.mjs CONFIG.json
//
// CONFIG: {"tenant": UUID, "audience": "api://access-gateway", "port": 0,
//          "clients": [{"client_id": …, "client_secret": …, "claims": {…laid over the access token…}}]}
// It prints one line of JSON, {"port", "authority", "issuer", "token_endpoint"}, once it listens.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const prefix = `/${config.tenant}/v2.0`;
const byId = new Map(config.clients.map((client) => [client.client_id, client]));

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signing = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'provider-key-1' };

function provider(authority) {
  const made = new Provider(`${authority}${prefix}`, {
    jwks: { keys: [signing] },
    clients: config.clients.map(({ client_id, client_secret }) => ({
      client_id,
      client_secret,
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'client_secret_post',
    })),
    scopes: ['access'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => config.audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'access',
          audience: config.audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: config.lifetime ?? 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (_context, token) => byId.get(token.clientId)?.claims ?? {},
    formats: {
      customizers: {
        // Entra's header says JWT, not at+jwt, and its tokens carry no client_id.
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
  const issuer = `${authority}${prefix}`;
  process.stdout.write(`${JSON.stringify({ port, authority, issuer, token_endpoint: `${issuer}/token` })}\n`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
