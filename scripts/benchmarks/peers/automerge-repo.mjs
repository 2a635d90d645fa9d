// One end of a link between two stock automerge-repo nodes, one document a case.
//
// node automerge-repo.mjs near|far HOST:PORT [CASES]; both keep their documents in memory only.

import { setImmediate } from "node:timers/promises";

import { ImmutableString, change, free, getLastLocalChange, init } from "@automerge/automerge";
import { Repo, documentIdToBinary, interpretAsDocumentId } from "@automerge/automerge-repo";
import {
  WebSocketClientAdapter,
  WebSocketServerAdapter,
} from "@automerge/automerge-repo-network-websocket";
import { WebSocketServer } from "ws";
import { Expectation, obey, readCases } from "./lines.mjs";

const [end, address, path] = process.argv.slice(2);

// Short fields are replaced as a whole and only the long text merges by letter, as in tiepdan: a
// collaborative text for each field would cost this peer more.
const TEXTS = new Set(["summary"]);
const shaped = (field, value) => (TEXTS.has(field) ? value : new ImmutableString(value));

const bytes = (id) => Buffer.from(id.replaceAll("-", ""), "hex");
const documentId = (id) => interpretAsDocumentId(new Uint8Array(bytes(id)));
const caseId = (documentId) =>
  Buffer.from(documentIdToBinary(documentId))
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");

// The same change at both ends, so that they can start with the same documents.
function firstChange({ id, at_ms, fields }) {
  const options = { time: Math.floor(at_ms / 1000) };
  const document = change(init({ actor: bytes(id).toString("hex") }), options, (draft) => {
    for (const [field, value] of Object.entries(fields)) draft[field] = shaped(field, value);
  });
  const made = getLastLocalChange(document);
  free(document);
  return made;
}

async function load(repo) {
  const handles = new Map();
  for (const item of readCases(path)) {
    handles.set(item.id, repo.import(firstChange(item), { docId: documentId(item.id) }));
    // Without a pause the documents thrown away on the way pile up, and each import gets slower.
    if (handles.size % 10 === 0) await setImmediate();
  }
  return handles;
}

async function near() {
  const repo = new Repo({ network: [] });
  const handles = await load(repo);
  const adapter = new WebSocketClientAdapter(`ws://${address}`);
  let isAdded = false;
  return obey({
    connect() {
      if (isAdded) adapter.connect(adapter.peerId, adapter.peerMetadata);
      else repo.networkSubsystem.addNetworkAdapter(adapter);
      isAdded = true;
    },
    disconnect: () => adapter.disconnect(),
    edit(edits) {
      for (const { id, field, value } of edits) {
        handles.get(id).change((draft) => void (draft[field] = shaped(field, value)));
      }
    },
  });
}

async function far() {
  const [host, port] = address.split(":");
  const server = new WebSocketServer({ host, port: Number(port) });
  const repo = new Repo({ network: [new WebSocketServerAdapter(server)] });
  const known = new Map();
  const expectation = new Expectation((id, field) => known.get(id)?.[field]);
  const see = (id, doc) => {
    const pairs = Object.entries(doc).map(([field, value]) => [field, value.toString()]);
    known.set(id, Object.fromEntries(pairs));
    expectation.look(id);
  };
  const watch = (documentId) => {
    const [id, handle] = [caseId(documentId), repo.handles[documentId]];
    if (handle === undefined || known.has(id)) return;
    known.set(id, {});
    handle.on("heads-changed", ({ doc }) => see(id, doc));
    if (handle.isReady()) see(id, handle.doc());
  };
  // Nothing tells of a document that comes in by itself; it is there once its message is handled.
  repo.networkSubsystem.on("message", async ({ documentId }) => {
    await setImmediate();
    watch(documentId);
  });
  await load(repo);
  return obey({
    expect: (edits) => expectation.expect(edits),
    arrived: () => expectation.arrived,
    contents: () => Object.fromEntries(known),
  });
}

await (end === "near" ? near() : far());
