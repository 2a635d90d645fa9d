// Who may read what this browser keeps: each person's entries are sealed with a key of their own, and that key
// with their password, and with what their passkeys derive. Without one of these there is only the name of the
// account, sizes and times.

import { mintId } from "./ids.js";
import { readOf, setSetting, setting, transact } from "./keep.js";

// OWASP's figure for PBKDF2 with SHA-256; a cheap tablet takes about a second.
const ROUNDS = 600_000;
// As long as a session at the node: afterwards the password is asked for again.
const IDLE_MS_MAX = 4 * 3_600_000;
const AGE_MS_MAX = 16 * 3_600_000;
const TOUCH_MS = 60_000;

// Who has unlocked this browser, as this page knows it: what is typed is sealed without asking the database first.
// Whatever changes that, in any tab, makes every page forget it.
let known = null;
const changes = new BroadcastChannel("tiepdan-safe");
changes.addEventListener("message", () => { known = null; });
// A page that the browser had put aside, and shows again, may have missed it.
self.addEventListener("pageshow", (event) => { if (event.persisted) known = null; });

function forget() {
  known = null;
  changes.postMessage("changed");
}

const bytes = (length) => crypto.getRandomValues(new Uint8Array(length));
const encoded = (text) => new TextEncoder().encode(text);

const wrapping = { name: "AES-GCM", length: 256 };

async function passwordLock(password, salt, rounds) {
  // The node takes a password in any Unicode form; so that both agree it is put into one here.
  const secret = await crypto.subtle.importKey("raw", encoded(password.normalize("NFC")), "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: rounds };
  return crypto.subtle.deriveKey(how, secret, wrapping, false, ["wrapKey", "unwrapKey"]);
}

async function passkeyLock(derived, salt) {
  const secret = await crypto.subtle.importKey("raw", derived, "HKDF", false, ["deriveKey"]);
  const how = { name: "HKDF", hash: "SHA-256", salt, info: encoded("tiepdan outbox") };
  return crypto.subtle.deriveKey(how, secret, wrapping, false, ["wrapKey", "unwrapKey"]);
}

const use = ["encrypt", "decrypt"];

async function wrapped(user, key, lock) {
  const iv = bytes(12);
  return { iv, key: await crypto.subtle.wrapKey("raw", key, lock, { name: "AES-GCM", iv, additionalData: encoded(user) }) };
}

/** Returns the key, or null if the lock is another's. */
async function unwrapped(user, { iv, key }, lock, extractable) {
  const how = { name: "AES-GCM", iv, additionalData: encoded(user) };
  try {
    return await crypto.subtle.unwrapKey("raw", key, lock, how, "AES-GCM", extractable, use);
  } catch (error) {
    if (error.name === "OperationError") return null;
    throw error;
  }
}

async function underPassword(user, key, password) {
  const salt = bytes(16);
  return { salt, rounds: ROUNDS, ...(await wrapped(user, key, await passwordLock(password, salt, ROUNDS))) };
}

/** Returns the key in a box, or null if the password does not open it. */
async function openedBy(password, box, extractable = false) {
  return unwrapped(box.user, box, await passwordLock(password, box.salt, box.rounds), extractable);
}

async function boxesOf(user) {
  return (await readOf("boxes", user)).sort((one, other) => (one.id < other.id ? 1 : -1));
}

const putBox = (box) => transact(["boxes"], (all) => all.objectStore("boxes").put(box));
const ownerOf = (box, key) => ({ user: box.user, name: box.name || box.user, box: box.id, key });

async function makeBox(user, password) {
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, use);
  await putBox({ id: mintId(), user, ...(await underPassword(user, key, password)) });
}

/** Opens the newest box of a person that this password opens, {user, name, box, key}, or null; keeps it open. */
export async function unlock(user, password, { isKept = true } = {}) {
  for (const box of await boxesOf(user)) {
    const key = await openedBy(password, box);
    if (key) return isKept ? open(ownerOf(box, key)) : ownerOf(box, key);
  }
  return null;
}

/** Opens the newest box of a person that this passkey opens, or returns null; `derived` is what it derives for us. */
export async function unlockByPasskey(user, credential, derived) {
  for (const box of await boxesOf(user)) {
    for (const one of box.passkeys || []) {
      if (one.credential !== credential) continue;
      const key = await unwrapped(user, one, await passkeyLock(derived, one.salt), false);
      if (key) return open(ownerOf(box, key));
    }
  }
  return null;
}

/** Lets a passkey open the newest box that this password opens. */
export async function addPasskey(user, password, credential, derived) {
  for (const box of await boxesOf(user)) {
    const key = await openedBy(password, box, true);
    if (!key) continue;
    const salt = bytes(16);
    const made = { credential, salt, ...(await wrapped(user, key, await passkeyLock(derived, salt))) };
    await putBox({ ...box, passkeys: [...(box.passkeys || []), made] });
    return;
  }
}

/** After a passkey was given up: it opens nothing here any more. */
export async function dropPasskey(user, credential) {
  for (const box of await boxesOf(user)) {
    const others = (box.passkeys || []).filter((one) => one.credential !== credential);
    await putBox({ ...box, passkeys: others });
  }
}

async function open(who) {
  const now = Date.now();
  await setSetting("open", { ...who, since: now, touched: now });
  forget();
  return who;
}

/** After the node has taken this password: opens the person's box, or makes one for a password that is new. */
export async function unlockTrusted(user, name, password) {
  const found = (await unlock(user, password)) || (await makeBox(user, password).then(() => unlock(user, password)));
  await transact(["boxes"], (all) => {
    const table = all.objectStore("boxes");
    const reading = table.get(found.box);
    reading.onsuccess = () => table.put({ ...reading.result, name });
  });
  return open({ ...found, name });
}

const isOver = ({ since, touched }, now) =>
  now < touched - TOUCH_MS || now - touched > IDLE_MS_MAX || now - since > AGE_MS_MAX;

/** Returns who has unlocked this browser, {user, name, box, key}, or null. */
export async function current() {
  known = (await setting("open")) || null;
  if (!known) return null;
  const who = known;
  const now = Date.now();
  if (isOver(who, now)) {
    await lock();
    return null;
  }
  if (now - who.touched > TOUCH_MS) await setSetting("open", { ...who, touched: now });
  return who;
}

/** Returns the same at once, where this page knows it and nothing has changed, or null. */
export const currentHere = () => (known && !isOver(known, Date.now()) ? known : null);

/** Forgets the key; entries stay, sealed. */
export async function lock() {
  known = null;
  await transact(["settings"], (all) => all.objectStore("settings").delete("open"));
  forget();
}

/** After a change of password at the node: the same key under the new one. */
export async function changePassword(user, old, fresh) {
  for (const box of await boxesOf(user)) {
    const key = await openedBy(old, box, true);
    if (key) await putBox({ ...box, ...(await underPassword(user, key, fresh)) });
  }
}

const bound = (who, row) => encoded(`${who.user} ${who.box} ${row}`);

/** Seals bytes to a person and to the row they stand in. */
export async function sealBytes(who, row, content) {
  const iv = bytes(12);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: bound(who, row) }, who.key, content);
  return { id: row, user: who.user, box: who.box, iv, sealed };
}

export const openBytes = (who, row) =>
  crypto.subtle.decrypt({ name: "AES-GCM", iv: row.iv, additionalData: bound(who, row.id) }, who.key, row.sealed);

export const seal = (who, row, value) => sealBytes(who, row, encoded(JSON.stringify(value)));
export const unseal = async (who, row) => JSON.parse(new TextDecoder().decode(await openBytes(who, row)));
