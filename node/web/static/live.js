// Keeps the page true: the state of the link, who holds the record, and what changed meanwhile.

import { documentId } from "./api.js";
import { t } from "./texts.js";

const shows = document.querySelector('meta[name="shows"]')?.content;
let source = null;
let digest = document.querySelector('meta[name="digest"]')?.content;
let badge = "";
let refreshing = false;
let wanted = false;

/** Fetches this page again and swaps the parts that differ; forms that are open stay as they are. */
export async function refresh() {
  if (refreshing) {
    wanted = true;
    return;
  }
  refreshing = true;
  try {
    const response = await fetch(location.href, { credentials: "same-origin" });
    if (!response.ok || response.redirected) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.querySelector(`[data-live="${part.dataset.live}"]`);
      if (fresh && fresh.outerHTML !== part.outerHTML && !part.contains(document.activeElement)) {
        part.replaceWith(document.importNode(fresh, true));
      } else if (fresh && part.contains(document.activeElement) && fresh.outerHTML !== part.outerHTML) {
        swapKeepingFocus(part, document.importNode(fresh, true));
      }
    }
    document.dispatchEvent(new Event("refreshed"));
  } catch {
    // The stream says by itself that the node cannot be reached.
    return;
  } finally {
    refreshing = false;
    if (wanted) {
      wanted = false;
      refresh();
    }
  }
}

function swapKeepingFocus(part, fresh) {
  const all = [...part.querySelectorAll("a, button, input, select, textarea")];
  const at = all.indexOf(document.activeElement);
  part.replaceWith(fresh);
  const again = [...fresh.querySelectorAll("a, button, input, select, textarea")][at];
  if (again) again.focus({ preventScroll: true });
}

function onStatus(event) {
  const news = JSON.parse(event.data);
  const bar = document.getElementById("link");
  if (bar.dataset.shown !== news.bar) {
    bar.innerHTML = news.bar;
    bar.dataset.shown = news.bar;
  }
  if (news.document) {
    badge = news.document.badge;
    showBadge();
  }
  if (digest !== news.digest) refresh().then(showBadge);
  digest = news.digest;
}

function showBadge() {
  const place = documentId && document.querySelector(`[data-sync-of="${documentId}"]`);
  if (place && badge && place.innerHTML !== badge) place.innerHTML = badge;
}

function onLost() {
  if (source.readyState === EventSource.OPEN) return;
  const bar = document.getElementById("link");
  const line = document.createElement("span");
  line.className = "said";
  line.textContent = t("Không kết nối được với máy chủ của cơ quan. Đang thử lại…");
  const lamp = document.createElement("span");
  lamp.className = "lamp cut";
  bar.replaceChildren(lamp, line);
  delete bar.dataset.shown;
  if (source.readyState === EventSource.CLOSED) {
    source = null;
    setTimeout(listen, 3_000);
  }
}

function listen() {
  if (source || document.visibilityState === "hidden") return;
  source = new EventSource(`/api/v1/news?document=${documentId}${shows === "devices" ? "&devices=true" : ""}`);
  source.addEventListener("status", onStatus);
  source.addEventListener("signed-out", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("error", onLost);
}

/** Starts listening. A hidden page stops: a browser opens only six connections to one node. */
export function startLive() {
  listen();
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") {
      source?.close();
      source = null;
    } else listen();
  });
}
