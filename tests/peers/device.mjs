// A device whose key is made by WebCrypto, with nothing of ours: it enrols, and signs requests.
//
//   node device.mjs ORIGIN TOKEN-FILE METHOD PATH [BODY]
//
// It prints what was answered: to the enrolment, to a first request, to the same sent again, and to it with another path.
import { readFile } from 'node:fs/promises'

const [origin, tokenFile, method, path, body] = process.argv.slice(2)
const token = (await readFile(tokenFile, 'utf8')).trim()
const { subtle } = globalThis.crypto
const utf8 = (text) => new TextEncoder().encode(text)
const base64url = (bytes) => Buffer.from(bytes).toString('base64url')
const sha256 = async (bytes) => new Uint8Array(await subtle.digest('SHA-256', bytes))
const hex = async (bytes) => Buffer.from(await sha256(bytes)).toString('hex')

const keys = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
const { crv, kty, x, y } = await subtle.exportKey('jwk', keys.publicKey)
const jwk = { crv, kty, x, y }
const sign = async (text) => base64url(await subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, keys.privateKey, utf8(text)))

const post = (where, json) => fetch(origin + where, {
  method: 'POST', body: JSON.stringify(json), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
})

const given = await (await post('/device/challenge')).json()
const thumbprint = base64url(await sha256(utf8(JSON.stringify(jwk))))
const text = ['chio-device-enrollment-v1', origin, given.iss, given.sub, given.session, given.challenge, thumbprint]
const enrolled = await post('/device/enroll', { challenge: given.challenge, jwk, name: 'webcrypto', signature: await sign(text.join('\n')) })
const device = await enrolled.json()

async function headers(nonce) {
  const at = String(Math.floor(Date.now() / 1000))
  const covered = ['chio-device-request-v1', method, origin, path, await hex(utf8(body ?? '')), await hex(utf8(token)), device.device_id, at, nonce, '']
  return {
    authorization: `Bearer ${token}`, 'x-device-id': device.device_id, 'x-pop-timestamp': at, 'x-pop-nonce': nonce,
    'x-pop-signature': await sign(covered.join('\n')),
  }
}
const send = (signed, where = path) => fetch(origin + where, { method, body, headers: signed })

let signed = await headers(crypto.randomUUID())
let first = await send(signed)
// Right after a start: once more, with a nonce that begins with the one that is given.
if (first.status === 401 && /use_nonce/.test(first.headers.get('www-authenticate'))) {
  signed = await headers(`${first.headers.get('dpop-nonce')}.${crypto.randomUUID()}`)
  first = await send(signed)
}
const again = await send(signed)
const elsewhere = await send(signed, path + '1')
console.log(JSON.stringify({
  enrolled: enrolled.status, device: device.device_id, first: first.status, again: (await again.json()).code,
  elsewhere: (await elsewhere.json()).code,
}))
