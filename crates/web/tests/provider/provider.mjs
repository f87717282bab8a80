// An independent OpenID provider on loopback (npm oidc-provider), for the tests only. It asks what デジタル認証アプリ asks of a
// client: private_key_jwt, PKCE S256, state, nonce; and names its issuer in the answer (RFC 9207). Settings come as JSON in
// PROVIDER_SETTINGS: cert, key (PEM files), client (client_id, jwk, redirect_uri), people by account, alg of ID tokens, port.
// Whoever sends the header x-account is logged in as that account without a page. Prints "ready PORT".
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.env.PROVIDER_SETTINGS);
const pair = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: alg,
});

let handle = () => {};
const server = createServer(
  { cert: readFileSync(settings.cert), key: readFileSync(settings.key), minVersion: 'TLSv1.3' },
  (request, response) => handle(request, response),
);
server.listen(settings.port ?? 0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`https://localhost:${port}`, {
    clients: [{
      client_id: settings.client.client_id,
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: settings.client.alg,
      id_token_signed_response_alg: settings.alg,
      jwks: { keys: [settings.client.jwk] },
      redirect_uris: [settings.client.redirect_uri],
      response_types: ['code'],
      grant_types: ['authorization_code'],
    }],
    jwks: { keys: [pair('ec', { namedCurve: 'P-256' }, 'ES256'), pair('rsa', { modulusLength: 2048 }, 'RS256')] },
    clientAuthMethods: ['private_key_jwt'],
    pkce: { methods: ['S256'], required: () => true },
    claims: { openid: ['sub'], name: ['name'], address: ['address'], birthdate: ['birthdate'], gender: ['gender'] },
    findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, ...settings.people[id] }) }),
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    cookies: { keys: ['only for tests'] },
  });
  const callback = provider.callback();
  const interact = async (request, response) => {
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    if (prompt.name === 'login') {
      const login = { accountId: request.headers['x-account'] };
      return provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    const consent = { grantId: await grant.save() };
    return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
  };
  handle = (request, response) => (request.url.startsWith('/interaction/')
    ? interact(request, response).catch((error) => { response.statusCode = 500; response.end(String(error)); })
    : callback(request, response));
  console.log(`ready ${port}`);
});
