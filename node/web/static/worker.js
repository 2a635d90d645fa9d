// The service worker: opens the app without the node, and sends what waits when the browser finds the network again.
// While the node answers, everything comes from the node. `self.shell` is put before this text by the node.

import { setting } from "/static/keep.js";
import { sendAll } from "/static/sending.js";

const PREFIX = "tiepdan-";
const NAME = PREFIX + self.shell.hash;
// A Wi-Fi out of reach swallows packets rather than refusing them.
const PATIENCE_MS = 10_000;
// Pages that came from here take their scripts from here too, so that they fit together.
const apart = new Set();

self.addEventListener("install", (event) => {
  const fetched = self.shell.addresses.map((address) => new Request(address, { cache: "reload", credentials: "omit" }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(fetched)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const drop = async () => {
    for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(drop());
});

async function kept(address) {
  return (await (await caches.open(NAME)).match(address)) || Response.error();
}

async function page(event) {
  const late = new Promise((_, reject) => { setTimeout(reject, PATIENCE_MS, new Error("late")); });
  try {
    return await Promise.race([fetch(event.request), late]);
  } catch {
    apart.add(event.resultingClientId);
    const { pathname } = new URL(event.request.url);
    if (pathname.startsWith("/offline/")) return kept(pathname);
    return kept(`/offline/${(await setting("language")) === "en" ? "en" : "vi"}`);
  }
}

async function file(event) {
  if (apart.has(event.clientId)) return kept(event.request.url);
  try {
    return await fetch(event.request);
  } catch {
    return kept(event.request.url);
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin || pathname.startsWith("/api/")) return;
  if (request.mode === "navigate") event.respondWith(page(event));
  else if (pathname.startsWith("/static/")) event.respondWith(file(event));
});

self.addEventListener("sync", (event) => {
  event.waitUntil(sendAll().then((state) => { if (state === "unreachable") throw new Error(state); }));
});
