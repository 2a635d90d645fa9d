// Who may read what this browser keeps: each person's entries are sealed with a key of their own, and that key
// with their password. Without the password there is only the name of the account, sizes and times.

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

function forget() {
  known = null;
  changes.postMessage("changed");
}

const bytes = (length) => crypto.getRandomValues(new Uint8Array(length));
const encoded = (text) => new TextEncoder().encode(text);

async function passwordKey(password, salt, rounds) {
  // The node takes a password in any Unicode form; so that both agree it is put into one here.
  const secret = await crypto.subtle.importKey("raw", encoded(password.normalize("NFC")), "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: rounds };
  return crypto.subtle.deriveKey(how, secret, { name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
}

const use = ["encrypt", "decrypt"];

async function wrapped(user, key, password) {
  const box = { salt: bytes(16), iv: bytes(12), rounds: ROUNDS };
  const lock = await passwordKey(password, box.salt, box.rounds);
  box.key = await crypto.subtle.wrapKey("raw", key, lock, { name: "AES-GCM", iv: box.iv, additionalData: encoded(user) });
  return box;
}

/** Returns the key in a box, or null if the password does not open it. */
async function unwrapped(box, password, extractable = false) {
  const lock = await passwordKey(password, box.salt, box.rounds);
  const how = { name: "AES-GCM", iv: box.iv, additionalData: encoded(box.user) };
  try {
    return await crypto.subtle.unwrapKey("raw", box.key, lock, how, "AES-GCM", extractable, use);
  } catch (error) {
    if (error.name === "OperationError") return null;
    throw error;
  }
}

async function boxesOf(user) {
  return (await readOf("boxes", user)).sort((one, other) => (one.id < other.id ? 1 : -1));
}

async function makeBox(user, password) {
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, use);
  const box = { id: mintId(), user, ...(await wrapped(user, key, password)) };
  await transact(["boxes"], (all) => all.objectStore("boxes").put(box));
  return box;
}

/** Opens the newest box of a person that this password opens, {user, name, box, key}, or null; keeps it open. */
export async function unlock(user, password, { isKept = true } = {}) {
  for (const box of await boxesOf(user)) {
    const key = await unwrapped(box, password);
    if (!key) continue;
    const who = { user, name: box.name || user, box: box.id, key };
    return isKept ? open(who) : who;
  }
  return null;
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
    const key = await unwrapped(box, old, true);
    if (!key) continue;
    const again = { ...box, ...(await wrapped(user, key, fresh)) };
    await transact(["boxes"], (all) => all.objectStore("boxes").put(again));
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
