// Verifies Cloakroom's tokens with jose.
//
//     node verify.mjs HS256 k1=keys/k1 k2=keys/k2                              the keys that Cloakroom has, by their id
//     node verify.mjs ES256 http://127.0.0.1:9900/.well-known/jwks.json        or EdDSA: the public keys, asked for
//
// Reads the values of X-Session from standard input, one a line, and says `ok {claims}` or `refused: reason`.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const issuer = process.env.ISSUER ?? "cloakroom"; // token.issuer
const audience = process.env.AUDIENCE ?? "app"; // our name in Cloakroom's configuration: [upstreams.app]

/** A function that gives a token's claims, if it is Cloakroom's, for us, and still good. Otherwise it throws. */
export function verifier(algorithm, sources) {
  // Cloakroom says max-age=60. An unknown `kid` is looked for once more, but not more often than every 5 s: otherwise
  // whoever invents one makes us ask with every request.
  const remote = { cacheMaxAge: 60_000, cooldownDuration: 5_000, timeoutDuration: 2_000 };
  const key = algorithm === "HS256" ? keysFromFiles(sources) : createRemoteJWKSet(new URL(sources[0]), remote);
  return async (token) => {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [algorithm], // we choose it, not the token
      issuer,
      audience,
      typ: "session+jwt", // not another kind of token, from the same keys
      clockTolerance: 5,
      requiredClaims: ["exp"],
    });
    return payload;
  };
}

/** A key is the file's bytes, less one newline at the end. */
function keysFromFiles(sources) {
  const keys = new Map();
  for (const source of sources) {
    const cut = source.indexOf("=");
    const bytes = readFileSync(source.slice(cut + 1));
    keys.set(source.slice(0, cut), bytes.at(-1) === 10 ? bytes.subarray(0, -1) : bytes);
  }
  return ({ kid }) => {
    if (!keys.has(kid)) throw new errors.JWKSNoMatchingKey();
    return keys.get(kid);
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const verify = verifier(process.argv[2], process.argv.slice(3));
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      console.log(`ok ${JSON.stringify(await verify(line))}`);
    } catch (error) {
      console.log(`refused: ${error.code ?? error.name}`);
    }
  }
}
