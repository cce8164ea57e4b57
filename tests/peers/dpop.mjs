// RFC 9449 by other people's code: an issuer and three clients.
//
//   node dpop.mjs issuer FOLDER ALG ISS           writes issuer.json and jwks.json
//   node dpop.mjs call FOLDER LIBRARY ALG ISS AUD METHOD URL
//
// A call prints what was answered: the status of a first request, that of another one with another proof, and that of the
// other one sent again as it was.
import { createRequire } from 'node:module'
import { readFile, writeFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'

const require = createRequire(pathToFileURL(process.env.CHIO_PEERS + '/package.json'))
const load = async (name) => import(pathToFileURL(require.resolve(name)))
const jose = await load('jose')

const [command, folder, ...rest] = process.argv.slice(2)

if (command === 'issuer') {
  const [alg, iss] = rest
  const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await jose.exportJWK(publicKey)), alg, use: 'sig', kid: iss }
  await writeFile(`${folder}/jwks.json`, JSON.stringify({ keys: [jwk] }))
  await writeFile(`${folder}/issuer.json`, JSON.stringify({ ...(await jose.exportJWK(privateKey)), alg, kid: iss }))
  process.exit(0)
}

const [library, alg, iss, aud, method, url] = rest
const issuer = JSON.parse(await readFile(`${folder}/issuer.json`, 'utf8'))

async function token(publicKey) {
  const jkt = await jose.calculateJwkThumbprint(await jose.exportJWK(publicKey))
  return new jose.SignJWT({ scope: 'orders.read orders.write', cnf: { jkt }, client_id: 'c' })
    .setProtectedHeader({ alg: issuer.alg, kid: issuer.kid, typ: 'at+jwt' })
    .setIssuer(iss).setAudience(aud).setSubject('alice').setJti(crypto.randomUUID())
    .setIssuedAt().setExpirationTime('5m')
    .sign(await jose.importJWK(issuer, issuer.alg))
}

const body = method === 'POST' ? '{"item":"tea"}' : undefined
const send = (accessToken, proof) =>
  fetch(url, { method, body, headers: { authorization: `DPoP ${accessToken}`, dpop: proof, 'content-type': 'application/json' } })

// A request whose proof is made by `make(nonce)`, and made again with the nonce that the server asks for.
async function retried(accessToken, make) {
  let proof = await make(undefined)
  let answer = await send(accessToken, proof)
  const nonce = answer.headers.get('dpop-nonce')
  if (answer.status === 401 && nonce && /use_dpop_nonce/.test(answer.headers.get('www-authenticate'))) {
    await answer.body?.cancel()
    proof = await make(nonce)
    answer = await send(accessToken, proof)
  }
  return { answer, proof }
}

let first, other, again, text
if (library === 'oauth4webapi') {
  const oauth = await load('oauth4webapi')
  const keys = await oauth.generateKeyPair(alg, { extractable: true })
  const accessToken = await token(keys.publicKey)
  const DPoP = oauth.DPoP({ client_id: 'c' }, keys)
  const proofs = []
  const options = {
    DPoP,
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: (url, options) => {
      proofs.push(new Headers(options.headers).get('dpop'))
      return fetch(url, options)
    },
  }
  const ask = async () => {
    const request = () => oauth.protectedResourceRequest(accessToken, method, new URL(url), new Headers({ 'content-type': 'application/json' }), body, options)
    const status = (error) => error.status ?? error.cause?.status ?? error.response?.status ?? String(error)
    try {
      return await request()
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) return { status: status(error), text: async () => '' }
      return await request().catch((error) => ({ status: status(error), text: async () => '' }))
    }
  }
  first = (await ask()).status
  const second = await ask()
  other = second.status
  text = await second.text()
  again = (await send(accessToken, proofs.at(-1))).status
} else {
  let make, accessToken
  if (library === 'dpop') {
    const dpop = await load('dpop')
    const keys = await dpop.generateKeyPair(alg, { extractable: true })
    accessToken = await token(keys.publicKey)
    make = (nonce) => dpop.generateProof(keys, url, method, nonce, accessToken)
  } else {
    const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true })
    accessToken = await token(publicKey)
    const ath = jose.base64url.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(accessToken))))
    const jwk = await jose.exportJWK(publicKey)
    make = (nonce) =>
      new jose.SignJWT({ htm: method, htu: url, ath, ...(nonce && { nonce }) })
        .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk }).setJti(crypto.randomUUID()).setIssuedAt().sign(privateKey)
  }
  first = (await retried(accessToken, make)).answer.status
  const { answer, proof } = await retried(accessToken, make)
  other = answer.status
  text = await answer.text()
  again = (await send(accessToken, proof)).status
}
console.log(JSON.stringify({ first, other, again, text }))
