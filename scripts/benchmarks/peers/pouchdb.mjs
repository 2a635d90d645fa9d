// One end of a link between PouchDB and a server of the CouchDB protocol, one document a case.
//
// node pouchdb.mjs near|far HOST:PORT [CASES]; databases lie in the working directory.

import express from "express";
import serve from "express-pouchdb";
import PouchDB from "pouchdb";
import { Expectation, obey, readCases } from "./lines.mjs";

const [end, address, path] = process.argv.slice(2);
const BATCH = 1000;

// The same revision at both ends, so that they can start with the same documents.
async function load(database) {
  const documents = readCases(path).map(({ id, fields }) => ({
    _id: id,
    _rev: `1-${id.replaceAll("-", "")}`,
    ...fields,
  }));
  for (let start = 0; start < documents.length; start += BATCH) {
    await database.bulkDocs(documents.slice(start, start + BATCH), { new_edits: false });
  }
}

async function near() {
  const database = new PouchDB("near");
  await load(database);
  let replication;
  return obey({
    connect() {
      replication = database.replicate.to(`http://${address}/far`, { live: true, retry: true });
    },
    disconnect() {
      const ended = new Promise((resolve) => replication.on("complete", resolve));
      replication.cancel();
      return ended.then(() => null);
    },
    async edit(edits) {
      const { rows } = await database.allDocs({
        keys: edits.map(({ id }) => id),
        include_docs: true,
      });
      await database.bulkDocs(
        rows.map(({ doc }, at) => ({ ...doc, [edits[at].field]: edits[at].value })),
      );
    },
  });
}

async function far() {
  const [host, port] = address.split(":");
  const database = new PouchDB("far");
  await load(database);
  const known = new Map();
  const expectation = new Expectation((id, field) => known.get(id)?.[field]);
  database
    .changes({ live: true, since: "now", include_docs: true })
    .on("change", ({ id, doc }) => {
      known.set(id, doc);
      expectation.look(id);
    });
  const app = express();
  app.use("/", serve(PouchDB, { mode: "minimumForPouchDB", inMemoryConfig: true }));
  await new Promise((resolve) => app.listen(Number(port), host, resolve));
  return obey({
    expect: (edits) => expectation.expect(edits),
    arrived: () => expectation.arrived,
    contents: () =>
      Object.fromEntries([...known].map(([id, { _id, _rev, ...fields }]) => [id, fields])),
  });
}

await (end === "near" ? near() : far());
