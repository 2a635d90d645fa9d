// What this browser keeps between visits to the node: one database, its tables, one transaction at a time.

const NAME = "tiepdan-outbox";
const TABLES = { boxes: "id", entries: "id", files: "id", drafts: "id", settings: "name" };
let connection = null;

function opened() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => {
      for (const [table, keyPath] of Object.entries(TABLES)) {
        const store = opening.result.createObjectStore(table, { keyPath });
        if (table !== "settings") store.createIndex("user", "user");
      }
    };
    opening.onsuccess = () => {
      const forget = () => { connection = null; };
      opening.result.onclose = forget;
      opening.result.onversionchange = () => {
        forget();
        opening.result.close();
      };
      resolve(opening.result);
    };
    opening.onerror = () => reject(opening.error);
  });
}

/** Returns the database; it stays open, as opening it takes longer than to write what was typed. */
async function database() {
  connection ??= opened();
  try {
    return await connection;
  } catch (error) {
    connection = null;
    throw error;
  }
}

/** Runs work(transaction) and returns the result of the request that it returns, once all of it is durable. */
export async function transact(tables, work, mode = "readwrite", durability = "strict") {
  const open = await database();
  return new Promise((resolve, reject) => {
    // "strict": the power may go the moment after "kept on this device" is shown.
    const transaction = open.transaction(tables, mode, { durability });
    const request = work(transaction);
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

export const readOne = (table, key) => transact([table], (all) => all.objectStore(table).get(key), "readonly");
export const readOf = (table, user) =>
  transact([table], (all) => all.objectStore(table).index("user").getAll(user), "readonly");
export const setting = async (name) => (await readOne("settings", name))?.value;
export const setSetting = (name, value) => transact(["settings"], (all) => all.objectStore("settings").put({ name, value }));
