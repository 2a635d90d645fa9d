// Passkeys: making one and asking for one, where the browser and the address allow it.

import { get, send, user } from "./api.js";
import { addPasskey, dropPasskey, unlockByPasskey, unlockTrusted } from "./safe.js";

const isAddress = /^[0-9.]+$|^\[/.test(location.hostname);

/** Whether a passkey can be used at this page. */
export const canUse = !isAddress && Boolean(window.PublicKeyCredential?.parseRequestOptionsFromJSON);

// What a passkey derives for the outbox (WebAuthn's extension "prf"), where it can: 32 bytes that leave neither the
// device nor this page.
const DERIVE = { prf: { eval: { first: new TextEncoder().encode("tiepdan outbox 1") } } };

const derivedBy = (credential) => credential.getClientExtensionResults().prf?.results?.first || null;

/** What the node is told: nothing of what the passkey derives. */
function told(credential) {
  const { clientExtensionResults, ...rest } = credential.toJSON();
  return { ...rest, clientExtensionResults: {} };
}

/** Many passkeys derive only when they are asked for, and not yet when they are made. */
async function askToDerive(credential) {
  if (!credential.getClientExtensionResults().prf?.enabled) return null;
  const publicKey = {
    challenge: crypto.getRandomValues(new Uint8Array(16)),
    allowCredentials: [{ type: "public-key", id: credential.rawId }],
    userVerification: "required",
    extensions: DERIVE,
  };
  const asked = await calledOff(navigator.credentials.get({ publicKey }));
  return asked && derivedBy(asked);
}

/** Lets the person make a passkey, stores it, and lets it open the outbox if it can; null if that was called off. */
export async function makePasskey(name, password) {
  const { options } = await get("/me/passkeys/options");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  publicKey.extensions = DERIVE;
  const credential = await calledOff(navigator.credentials.create({ publicKey }));
  if (!credential) return null;
  const stored = await send("POST", "/me/passkeys", { name, password, credential: told(credential) });
  const derived = derivedBy(credential) || (await askToDerive(credential));
  if (derived) {
    const me = await get("/me");
    await unlockTrusted(me.user, me.name, password);
    await addPasskey(me.user, password, credential.id, derived);
  }
  return stored;
}

/** Signs in with a passkey, and opens the outbox if the passkey can; null if that was called off. */
export async function signInWithPasskey() {
  const { options } = await get("/sign-in/passkey");
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  publicKey.extensions = DERIVE;
  const credential = await calledOff(navigator.credentials.get({ publicKey }));
  if (!credential) return null;
  const me = await send("POST", "/sign-in/passkey", { credential: told(credential) });
  const derived = derivedBy(credential);
  if (derived) await unlockByPasskey(me.user, credential.id, derived);
  return me;
}

/** Gives up a passkey, at the node and in this browser. */
export async function giveUpPasskey(credential) {
  await send("DELETE", `/me/passkeys/${credential}`);
  await dropPasskey(user, credential);
}

async function calledOff(promise) {
  try {
    return await promise;
  } catch (error) {
    // The browser's own dialog has said already what is wrong.
    if (error instanceof DOMException) return null;
    throw error;
  }
}
