// TESTS ONLY. A certified OpenID provider (npm `oidc-provider`) shaped like an Entra tenant: issuer `…/<tid>/v2.0`, JWT
// access tokens through resource indicators, client credentials. Nothing of the gateway's own makes these tokens, so a
// mistake that our stand-in and our verifier share shows here.
//
//   node server.mjs CONFIG.json
//
// CONFIG: {"tenant": UUID, "audience": "api://access-gateway", "port": 0,
//          "clients": [{"client_id": …, "client_secret": …, "claims": {…laid over the access token…}}]}
// It prints one line of JSON, {"port", "authority", "issuer", "token_endpoint"}, once it listens.

import { config, serve } from './tenant.mjs';

const byId = new Map(config.clients.map((client) => [client.client_id, client]));

serve({
  kid: 'provider-key-1',
  clients: config.clients.map(({ client_id, client_secret }) => ({
    client_id,
    client_secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'client_secret_post',
  })),
  scopes: ['access'],
  features: { devInteractions: { enabled: false }, clientCredentials: { enabled: true } },
  extraTokenClaims: (_context, token) => byId.get(token.clientId)?.claims ?? {},
});
