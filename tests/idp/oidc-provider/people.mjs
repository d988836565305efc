// TESTS ONLY. The certified provider (npm `oidc-provider`) with people who sign in in a browser: authorisation code with
// PKCE and the device flow, JWT access tokens shaped like Entra's v2. Whoever types a login is that person.
//
//   node people.mjs CONFIG.json
//
// CONFIG: {"tenant": UUID, "audience": "api://access-gateway", "port": 0, "secret": "…", "lifetime": 600,
//          "people": {"paula": {"oid": …, "name": …, "groups": […]}}}
// It prints one line of JSON, {"port", "authority", "issuer", "token_endpoint"}, once it listens.

import { config, serve } from './tenant.mjs';

serve({
  kid: 'people-key-1',
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
  // As Entra does: whoever may have one gets one, without a consent of its own.
  issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  pkce: { required: () => true },
  extraTokenClaims: (_context, token) => {
    const person = config.people[token.accountId];
    if (!person) return {};
    const { oid, name, groups } = person;
    return { oid, name, groups, tid: config.tenant, ver: '2.0', scp: 'access', azp: token.clientId };
  },
});
