// Passkeys: making one and asking for one, where the browser and the address allow it.

import { get, send } from "./api.js";

const isAddress = /^[0-9.]+$|^\[/.test(location.hostname);

/** Whether a passkey can be used at this page. */
export const canUse = !isAddress && Boolean(window.PublicKeyCredential?.parseRequestOptionsFromJSON);

/** Lets the person make a passkey and stores it; null if that was called off. */
export async function makePasskey(name, password) {
  const { options } = await get("/me/passkeys/options");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = await calledOff(navigator.credentials.create({ publicKey }));
  if (!credential) return null;
  return send("POST", "/me/passkeys", { name, password, credential: credential.toJSON() });
}

/** Signs in with a passkey; null if that was called off. */
export async function signInWithPasskey() {
  const { options } = await get("/sign-in/passkey");
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await calledOff(navigator.credentials.get({ publicKey }));
  if (!credential) return null;
  return send("POST", "/sign-in/passkey", { credential: credential.toJSON() });
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
