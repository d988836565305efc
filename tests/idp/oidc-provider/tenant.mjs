// TESTS ONLY. What both providers of this folder share: an issuer shaped like an Entra tenant's, `…/<tid>/v2.0`, JWT
// access tokens of its own key, and one line of JSON once it listens.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

export const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const prefix = `/${config.tenant}/v2.0`;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** What every access token is for. */
const resource = {
  scope: 'access',
  audience: config.audience,
  accessTokenFormat: 'jwt',
  accessTokenTTL: config.lifetime ?? 600,
  jwt: { sign: { alg: 'RS256' } },
};

function provider(authority, { kid, features, ...rest }) {
  const signing = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid };
  const made = new Provider(`${authority}${prefix}`, {
    ...rest,
    jwks: { keys: [signing] },
    features: {
      ...features,
      resourceIndicators: {
        enabled: true,
        defaultResource: () => config.audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resource,
      },
    },
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

/** Serves a provider of these settings, and says where it is. */
export function serve(settings) {
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
    handle = provider(authority, settings).callback();
    const issuer = `${authority}${prefix}`;
    process.stdout.write(`${JSON.stringify({ port, authority, issuer, token_endpoint: `${issuer}/token` })}\n`);
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
}
