// Sends what waits, in the session of the person it belongs to and of nobody else. Runs in pages and in the worker.
// An answer that was lost is asked for again with the same ids and keys, so nothing is doubled.

import { alone, fileContent, list, remove, update } from "./outbox.js";
import { current } from "./safe.js";

// The node or the line is not up to it now; the entry is as good as before.
const LATER = [408, 425, 429];

class Away extends Error {}

async function ask(path, options) {
  let response;
  let body;
  try {
    response = await fetch(`/api/v1${path}`, { credentials: "same-origin", ...options });
    body = await response.json();
  } catch (error) {
    if (response && !response.ok) return { status: response.status, body: {} };
    throw new Away(String(error));
  }
  return { status: response.status, body };
}

const change = (path, key, csrf, body, type) =>
  ask(path, {
    method: "POST",
    headers: { "X-CSRF-Token": csrf, "Idempotency-Key": key, ...(type ? { "Content-Type": type } : {}) },
    body,
  });

/** Notes what the node said no to; returns whether the others may still be tried. */
async function refused(who, entry, { status, body }) {
  const isLater = LATER.includes(status) || status >= 500 || status === 401 || body.code === "csrf_failed";
  entry.state = isLater ? "waiting" : "refused";
  entry.problem = status === 401 ? null : { code: body.code || `http_${status}`, message: body.message || `HTTP ${status}`, hint: body.hint || "", fields: body.fields || [] };
  await update(who, entry);
  return status !== 401;
}

async function sendVisit(who, entry, csrf) {
  if (entry.answer) return null;
  const answer = await change("/visits", `visit ${entry.id}`, csrf, entry.body, "application/json");
  if (answer.status >= 300) return answer;
  entry.answer = answer.body;
  await update(who, entry);
  return null;
}

async function sendFile(who, entry, file, csrf) {
  const form = new FormData();
  form.append("file", new File([await fileContent(who, file.id)], file.name, { type: file.type }));
  const document_ = entry.answer.case_ids[file.place];
  const answer = await change(`/documents/${document_}/attachments`, `file ${file.id}`, csrf, form);
  if (answer.status >= 300) return answer;
  if (answer.body.sha256 !== file.sha256) return { status: 422, body: { code: "file_altered", message: file.name } };
  file.isSent = true;
  await update(who, entry, [file.id]);
  return null;
}

/** What stays of an entry that arrived: enough to know it again. */
function shortened(entry) {
  const { held_on, petitions } = JSON.parse(entry.body);
  const titles = petitions.map(({ title, envelope_number }) => ({ title, envelope_number }));
  return { ...entry, body: JSON.stringify({ held_on, petitions: titles }), state: "arrived", problem: null };
}

async function sendOne(who, entry, csrf) {
  entry.state = "sending";
  await update(who, entry);
  try {
    let no = await sendVisit(who, entry, csrf);
    for (const file of entry.files) if (!no && !file.isSent) no = await sendFile(who, entry, file, csrf);
    if (no) return await refused(who, entry, no);
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    entry.state = "waiting";
    await update(who, entry);
    throw error;
  }
  if (entry.isQuiet) await remove(entry);
  else await update(who, shortened(entry));
  return true;
}

async function sendWaiting() {
  const tried = new Set();
  for (;;) {
    const who = await current();
    if (!who) return "locked";
    const { entries } = await list(who);
    // "sending" was left by a browser that was killed: nobody else holds the lock.
    const next = entries.find(({ id, state }) => (state === "waiting" || state === "sending") && !tried.has(id));
    if (!next) return "idle";
    tried.add(next.id);
    const me = await ask("/me", {});
    if (me.status === 401) return "signed-out";
    if (me.status !== 200) return "unreachable";
    if (me.body.user !== who.user) return "other";
    if (!(await sendOne(who, next, me.body.csrf))) return "signed-out";
  }
}

/** Sends all that waits: "idle", "locked", "signed-out", "other", "unreachable", or "busy" if another tab sends. */
export function sendAll() {
  return alone({ ifAvailable: true }, async (lock) => {
    if (!lock) return "busy";
    try {
      return await sendWaiting();
    } catch (error) {
      if (error instanceof Away) return "unreachable";
      throw error;
    }
  });
}
