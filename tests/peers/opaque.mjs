// One step of a client with @serenity-kit/opaque: its name is the argument, its parameters are JSON on standard input.
import { createHash, createHmac, hkdfSync } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const opaque = createRequire(`${process.env.CHIO_PEERS}/package.json`)("@serenity-kit/opaque");
await opaque.ready;
const parameters = JSON.parse(readFileSync(0, "utf8"));

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

// docs/http.md, `session`.
function prove({ sessionKey, origin, session, user, method, target, body, timestamp, nonce }) {
  const info = `chio-session-proof-v1\n${origin}\n${session}\n${user}`;
  const key = Buffer.from(hkdfSync("sha256", Buffer.from(sessionKey, "base64url"), Buffer.alloc(0), info, 32));
  const text = ["chio-session-request-v1", method, origin, target, sha256(body), sha256(session), "", timestamp, nonce, ""];
  const mac = createHmac("sha256", key).update(text.join("\n")).digest("base64url");
  return { authorization: `Bearer ${session}`, "x-ts": timestamp, "x-nonce": nonce, "x-pop": mac };
}

const step = process.argv[2];
const answer = step === "prove" ? prove(parameters) : opaque.client[step](parameters);
process.stdout.write(JSON.stringify(answer ?? null));
