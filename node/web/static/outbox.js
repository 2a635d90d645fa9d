// Visits that only this device holds. An entry says what to send and how far that got; its files lie beside it.
// States: waiting, sending, refused (with the node's reason), arrived.

import { mintId } from "./ids.js";
import { readOf, readOne, transact } from "./keep.js";
import { openBytes, seal, sealBytes, unseal } from "./safe.js";

const news = new BroadcastChannel("tiepdan-outbox");
const listeners = new Set();
news.addEventListener("message", () => { for (const each of listeners) each(); });

/** Calls back when an entry changed, here or in another tab or in the worker. */
export const onNews = (listener) => listeners.add(listener);

function tell() {
  news.postMessage("changed");
  for (const each of listeners) each();
}

/** One at a time in this browser: whoever sends or edits holds it. */
export const alone = (options, work) => navigator.locks.request("tiepdan-outbox", options, work);

async function hash(content) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function sealFile(who, place, file) {
  const content = await file.arrayBuffer();
  const id = mintId();
  const facts = { id, place, name: file.name, type: file.type, size: content.byteLength, sha256: await hash(content), isSent: false };
  return [facts, await sealBytes(who, id, content)];
}

/**
 * Keeps a visit. `files` are [{place, file}], place being the index of the petition; `kept` are the facts of files
 * that an earlier version of the entry holds; `answer` is the node's, if it has the visit already; an entry that is
 * quiet leaves the list when it arrives.
 */
export async function put(who, id, body, files, { kept = [], answer = null, isQuiet = false } = {}) {
  const fresh = [];
  for (const { place, file } of files) fresh.push(await sealFile(who, place, file));
  const facts = [...kept, ...fresh.map(([fact]) => fact)];
  const entry = { id, body, files: facts, answer, isQuiet, state: "waiting", problem: null };
  const row = await seal(who, id, entry);
  const earlier = await readOne("entries", id);
  const left = earlier ? (await unseal(who, earlier)).files.filter((file) => !kept.some((one) => one.id === file.id)) : [];
  await transact(["entries", "files"], (all) => {
    const table = all.objectStore("files");
    for (const file of left) table.delete(file.id);
    for (const [, sealed] of fresh) table.put(sealed);
    all.objectStore("entries").put(row);
  });
  tell();
}

/** Returns {entries, locked}: what this person can read, oldest first, and how many need an earlier password. */
export async function list(who) {
  const rows = await readOf("entries", who.user);
  const own = rows.filter((row) => row.box === who.box);
  const entries = await Promise.all(own.map((row) => unseal(who, row)));
  entries.sort((one, other) => (one.id < other.id ? -1 : 1));
  return { entries, locked: rows.length - own.length };
}

export const countOf = async (user) => (await readOf("entries", user)).length;

export async function read(who, id) {
  const row = await readOne("entries", id);
  return row && row.user === who.user && row.box === who.box ? unseal(who, row) : null;
}

/** Stores an entry as it now is; `done` are ids of files that the node has. */
export async function update(who, entry, done = []) {
  const row = await seal(who, entry.id, entry);
  await transact(["entries", "files"], (all) => {
    for (const id of done) all.objectStore("files").delete(id);
    all.objectStore("entries").put(row);
  });
  tell();
}

export async function fileContent(who, id) {
  return openBytes(who, await readOne("files", id));
}

/** Takes an entry off this device, because the person said so. */
export async function remove(entry) {
  await transact(["entries", "files"], (all) => {
    for (const file of entry.files) all.objectStore("files").delete(file.id);
    all.objectStore("entries").delete(entry.id);
  });
  tell();
}

/** Moves what an earlier password opens under today's key; all of it or nothing. */
export async function adopt(earlier, who) {
  if (earlier.box === who.box) return;
  const moved = { entries: [], files: [], drafts: [] };
  for (const table of Object.keys(moved)) {
    for (const row of await readOf(table, who.user)) {
      if (row.box === earlier.box) moved[table].push(await sealBytes(who, row.id, await openBytes(earlier, row)));
    }
  }
  await transact(Object.keys(moved), (all) => {
    for (const [table, rows] of Object.entries(moved)) for (const row of rows) all.objectStore(table).put(row);
  });
  tell();
}

// Drafts of the form while the node does not take them.

// Sealing takes a moment, and a later state may be sealed sooner: states are numbered as they are asked for.
let asked = 0;
const newest = new Map();

/**
 * Keeps a draft, unless a later state of it was kept or it was dropped; returns whether anybody has unlocked this.
 * `whose` is who, or a promise of it. "strict" outlasts a power cut, "relaxed" the page and the browser, and is quicker.
 */
export async function keepDraft(whose, id, body, durability) {
  const turn = (asked += 1);
  const who = await whose;
  if (!who) return false;
  const row = await seal(who, id, body);
  if (turn < (newest.get(id) || 0)) return true;
  newest.set(id, turn);
  const put = (all) => {
    all.objectStore("drafts").put(row);
    all.commit();
  };
  await transact(["drafts"], put, "readwrite", durability);
  return true;
}

export async function readDraft(who, id) {
  const row = await readOne("drafts", id);
  return row && row.user === who.user && row.box === who.box ? unseal(who, row) : null;
}

export function dropDraft(id) {
  newest.set(id, (asked += 1));
  return transact(["drafts"], (all) => all.objectStore("drafts").delete(id));
}

export const draftIds = async (who) =>
  (await readOf("drafts", who.user)).filter((row) => row.box === who.box).map((row) => row.id);
