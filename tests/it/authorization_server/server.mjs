// A real OAuth 2.0 authorization server (oidc-provider) for the tests: opaque tokens and JWTs by the
// client credentials grant, authorization codes without a browser, refresh tokens that rotate, revocation
// (RFC 7009), introspection (RFC 7662).
//
// node server.mjs PORT FOLDER [HOOK URL]: listens on 127.0.0.1:PORT until it is killed. FOLDER is where
// `npm ci` installed what package-lock.json pins. HOOK is a module whose `watch` sends events to URL.
import { pathToFileURL } from 'node:url';

const port = Number(process.argv[2]);
const installed = `${process.argv[3]}/node_modules/oidc-provider/lib/index.js`;
const { Provider, errors } = await import(pathToFileURL(installed));
const api = 'https://api.example';
const redirect = 'https://app.example/callback';
const client = (client_id) => ({
  client_id,
  client_secret: 'secret-of-the-tests',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});
const app = {
  ...client('app'),
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: [redirect],
  response_types: ['code'],
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client('service'), client('tripline'), client('stranger'), app],
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
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
// The tests are the proxy before it, and so choose the address of each client.
provider.proxy = true;
// In place of a login in a browser: GET /consent?user=USER answers with a code of the app.
provider.use(async (ctx, next) => {
  if (ctx.path !== '/consent') return next();
  const whose = { accountId: ctx.query.user, clientId: app.client_id };
  const grant = new provider.Grant(whose);
  grant.addOIDCScope('openid offline_access');
  grant.addResourceScope(api, 'read');
  const code = new provider.AuthorizationCode({
    ...whose,
    grantId: await grant.save(),
    redirectUri: redirect,
    resource: api,
    scope: 'openid offline_access read',
  });
  ctx.body = await code.save();
});
if (process.argv[4]) {
  const { watch } = await import(pathToFileURL(process.argv[4]));
  watch(provider, process.argv[5]);
}
provider.listen(port, '127.0.0.1');
