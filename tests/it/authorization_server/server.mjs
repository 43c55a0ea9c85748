// A real OAuth 2.0 authorization server (oidc-provider) for the tests: opaque tokens and JWTs by the
// client credentials grant, revocation (RFC 7009), introspection (RFC 7662).
//
// node server.mjs PORT FOLDER: listens on 127.0.0.1:PORT until it is killed. FOLDER is where `npm ci`
// installed what package-lock.json pins.
import { pathToFileURL } from 'node:url';

const port = Number(process.argv[2]);
const installed = `${process.argv[3]}/node_modules/oidc-provider/lib/index.js`;
const { Provider, errors } = await import(pathToFileURL(installed));
const api = 'https://api.example';
const client = (client_id) => ({
  client_id,
  client_secret: 'secret-of-the-tests',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client('service'), client('tripline'), client('stranger')],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    // tripline may revoke the tokens of others, and see whether that took effect; the stranger may
    // only see.
    revocation: {
      enabled: true,
      allowedPolicy: (ctx, client, token) =>
        client.clientId === 'tripline' || token.clientId === client.clientId,
    },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => {
        if (resource !== api) throw new errors.InvalidTarget();
        return { scope: 'read', accessTokenFormat: 'jwt', audience: api };
      },
    },
  },
});
provider.listen(port, '127.0.0.1');
