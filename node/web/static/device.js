// The key of this device, kept by the browser where no script can read it out, and the proof that it is here.

import { send } from "./api.js";
import { SIGNING, bytesOf, hex } from "./pairing.js";
import { join } from "./spake2.js";

const STORE = "device";

function request(work) {
  return new Promise((resolve, reject) => {
    work.onsuccess = () => resolve(work.result);
    work.onerror = () => reject(work.error);
  });
}

async function store(mode) {
  const opening = indexedDB.open("tiepdan-device", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await request(opening);
  const transaction = database.transaction(STORE, mode);
  transaction.oncomplete = () => database.close();
  return transaction.objectStore(STORE);
}

/** Keeps what pairing gave; there is one identity a browser. */
export const keepDevice = async (paired) => request((await store("readwrite")).put(paired, "self"));

/** Returns what pairing gave, or undefined. */
export const knownDevice = async () => request((await store("readonly")).get("self"));

/** Proves the key of this device to the node, which gives a cookie for it; false if it was never paired. */
export async function proveDevice() {
  const own = await knownDevice();
  if (!own) return false;
  const { challenge, site } = await send("POST", "/device/challenge");
  // A node with another site's key gets no signature of ours.
  if (site !== own.site) return false;
  const signed = join([new TextEncoder().encode("tiepdan device proof v1\n"), bytesOf(site), bytesOf(challenge)]);
  const signature = hex(await crypto.subtle.sign(SIGNING, own.key, signed));
  const answer = await send("POST", "/device/proof", { device: own.device, challenge, signature });
  if (answer.certificate !== own.certificate) await keepDevice({ ...own, certificate: answer.certificate });
  return true;
}
