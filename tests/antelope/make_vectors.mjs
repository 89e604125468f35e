// Writes vectors-wharfkit.json: keys and signatures by @wharfkit/antelope, an implementation that shares no code
// with nodeos, cleos or keosd. The private keys in the file are made for it and are worth nothing.
//
//   cd $(mktemp -d) && npm install @wharfkit/antelope@1.2.0
//   cp <repo>/tests/antelope/make_vectors.mjs . && node make_vectors.mjs > <repo>/tests/antelope/vectors-wharfkit.json
//
// It is copied because node looks for packages beside the script.

import {createHash} from 'node:crypto'
import {Checksum256, PrivateKey} from '@wharfkit/antelope'

const KEYS_PER_CURVE = 40

function makeKey(curve, number) {
  const key = PrivateKey.generate(curve)
  const publicKey = key.toPublic()
  const signatures = ['a', 'b'].map((part) => {
    const digest = createHash('sha256').update(`${curve} ${number} ${part}`).digest('hex')
    const signature = key.signDigest(Checksum256.from(digest))
    if (!signature.recoverDigest(Checksum256.from(digest)).equals(publicKey)) {
      throw new Error(`${publicKey} is not what its own signature recovers to`)
    }
    return {digest, signature: String(signature)}
  })
  const legacy = curve === 'K1' ? publicKey.toLegacyString() : null
  return {curve, private: String(key), public: String(publicKey), legacy, signatures}
}

const keys = ['K1', 'R1'].flatMap((curve) => Array.from({length: KEYS_PER_CURVE}, (_, n) => makeKey(curve, n)))
console.log(JSON.stringify({made_by: 'make_vectors.mjs with @wharfkit/antelope 1.2.0', keys}, null, 1))
