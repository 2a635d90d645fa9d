// The key of this device, kept by the browser where no script can read it out, and the proof that it is here.

import { proveKey } from "./pairing.js";

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
  const answer = await proveKey(own);
  if (answer.certificate !== own.certificate) await keepDevice({ ...own, certificate: answer.certificate });
  return true;
}
