// The device's side of pairing (docs/PROTOCOL.md, section 13), with a key that no script can read out.

import { get, send } from "./api.js";
import { begin, join } from "./spake2.js";

const encoder = new TextEncoder();
const ECDSA = { name: "ECDSA", namedCurve: "P-256" };
const POLL_MS = 700;
// As long as the technician has to confirm.
const POLLS_MAX = (5 * 60_000) / POLL_MS;
const SIGNING = { name: "ECDSA", hash: "SHA-256" };

export const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export const bytesOf = (text) => Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/** Something that ends a pairing on this side; `code` names its sentence. */
export class PairingProblem extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

async function proofOf(secret, side, digest) {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, join([encoder.encode(`${side}\n`), digest])));
}

async function digestOf(parts) {
  const framed = parts.map((part) => join([Uint8Array.of(part.length >> 8, part.length & 255), part]));
  return sha256(join([encoder.encode("tiepdan pairing v1\n"), ...framed]));
}

/**
 * Pairs this browser. `secret` is 16 bytes of a QR code or 8 digits, `site` the fingerprint of the QR code or "".
 * `show` is told the six digits to compare; returns what to keep once the technician has confirmed.
 */
export async function pair(way, secret, site, show) {
  const keys = await crypto.subtle.generateKey(ECDSA, false, ["sign", "verify"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", keys.publicKey));
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const commitment = await sha256(join([encoder.encode("tiepdan pairing commitment v1\n"), point, nonce]));
  const offer = way === "qr" ? (await sha256(join([encoder.encode("tiepdan pairing offer v1\n"), secret]))).slice(0, 8) : new Uint8Array();
  const spake = way === "code" ? await begin(secret, encoder.encode("tiepdan device"), encoder.encode("tiepdan node")) : null;
  const message = spake ? spake.message : new Uint8Array();
  const greeting = await send("POST", "/pairings/hello", { way, offer: hex(offer), commitment: hex(commitment), spake: hex(message) });
  if (site && greeting.site !== site) throw new PairingProblem("pairing_site_foreign");
  const known = spake ? await spake.finish(bytesOf(greeting.spake)) : secret;
  const parts = [encoder.encode(way), offer, commitment, message];
  parts.push(...[greeting.site, greeting.peer_id, greeting.nonce, greeting.spake].map(bytesOf), point, nonce);
  const digest = await digestOf(parts);
  const signed = join([encoder.encode("tiepdan pairing device v1\n"), digest]);
  const answer = await send("POST", "/pairings/proof", {
    id: greeting.id,
    point: hex(point),
    nonce: hex(nonce),
    proof: hex(await proofOf(known, "device", digest)),
    signature: hex(await crypto.subtle.sign(SIGNING, keys.privateKey, signed)),
  });
  if (answer.proof !== hex(await proofOf(known, "node", digest))) throw new PairingProblem("pairing_node_unproven");
  const number = new DataView((await proofOf(known, "digits", digest)).buffer).getBigUint64(0);
  show(String(number % 1_000_000n).padStart(6, "0"));
  const device = hex((await sha256(join([encoder.encode("tiepdan device v1\n"), point]))).slice(0, 16));
  const own = { key: keys.privateKey, device, site: greeting.site };
  const outcome = await outcomeOf(greeting.id, own);
  return { ...own, name: outcome.name, certificate: outcome.certificate };
}

async function outcomeOf(id, own) {
  for (let left = POLLS_MAX; ; left -= 1) {
    try {
      const outcome = await get(`/pairings/${id}/outcome`);
      if (outcome.state === "paired") return outcome;
      if (outcome.state === "refused") throw Object.assign(new PairingProblem(outcome.reason_code), { text: [outcome.reason, outcome.hint].filter(Boolean).join("\n") });
    } catch (problem) {
      // A node that restarted knows no pairings any more, but whom it let in before.
      if (problem.code === "pairing_unknown") return proveKey(own);
      // The technician may be confirming while the network is away for a moment.
      if (problem.code !== "node_unreachable" || left === 0) throw problem;
    }
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
  }
}

/** Proves the key of a device, which gives this browser its cookie; returns what the node says of it. */
export async function proveKey(own) {
  const { challenge, site } = await send("POST", "/device/challenge");
  // A node with another site's key gets no signature of ours.
  if (site !== own.site) throw new PairingProblem("pairing_site_foreign");
  const signed = join([encoder.encode("tiepdan device proof v1\n"), bytesOf(site), bytesOf(challenge)]);
  const signature = hex(await crypto.subtle.sign(SIGNING, own.key, signed));
  return send("POST", "/device/proof", { device: own.device, challenge, signature });
}
