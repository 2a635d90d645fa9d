// A stock client of automerge-repo that does what it is told, a line of JSON at a time.
//
// node client.mjs ws://HOST:PORT/PATH; each answer is a line {"ok": ...} or {"failed": "..."}.

import { createInterface } from "node:readline";
import * as automergeRepo from "@automerge/automerge-repo";
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket";

const { Repo, updateText } = automergeRepo;
const Immutable = automergeRepo.ImmutableString;

const adapter = new WebSocketClientAdapter(process.argv[2], 300);
let metadata = null;
adapter.on("peer-candidate", (peer) => (metadata = peer.peerMetadata));
const repo = new Repo({ network: [adapter] });
const handles = new Map();

const shaped = (values) =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      typeof value === "string" ? new Immutable(value) : value,
    ]),
  );

// Scalars are texts that merge as a whole; what is a letter text stays one.
const plain = (value) =>
  value instanceof Immutable
    ? value.val ?? String(value)
    : value && typeof value === "object" && !(value instanceof Uint8Array)
      ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
      : value;

const read = (handle) => plain(handle.doc() ?? {});

async function until(condition) {
  for (let waited = 0; waited < 20_000; waited += 20) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it did not come about in time");
}

const deeds = {
  async joined() {
    await until(() => metadata);
    return metadata;
  },
  async create({ kind, fields, texts, events }) {
    const handle = repo.create({
      kind: new Immutable(kind),
      fields: shaped(fields ?? {}),
      texts: texts ?? {},
      events: shaped(events ?? {}),
    });
    handles.set(handle.url, handle);
    return handle.url;
  },
  async count({ kind }) {
    const shape = { kind: new Immutable(kind), texts: {}, events: {} };
    repo.create({ ...shape, fields: { birth_year: new automergeRepo.Counter(3) } });
    return true;
  },
  async find({ url }) {
    const handle = await repo.find(url);
    handles.set(url, handle);
    return read(handle);
  },
  async set({ url, field, value }) {
    handles.get(url).change((doc) => (doc.fields[field] = shaped({ value }).value));
    return true;
  },
  async write({ url, text, value }) {
    handles.get(url).change((doc) => updateText(doc, ["texts", text], value));
    return true;
  },
  async event({ url, key, body }) {
    handles.get(url).change((doc) => (doc.events[key] = new Immutable(body)));
    return true;
  },
  async read({ url }) {
    return read(handles.get(url));
  },
  async until({ url, part, name, value }) {
    await until(() => (read(handles.get(url))[part] ?? {})[name] === value);
    return true;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { deed, ...asked } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: await deeds[deed](asked) }));
  } catch (error) {
    console.log(JSON.stringify({ failed: String(error) }));
  }
}
process.exit(0);
