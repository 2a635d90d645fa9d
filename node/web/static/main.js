// Runs on every page, before the page's own script: the live bar, signing out, when files go, the demo's switch,
// the installed app.

import { send, user } from "./api.js";
import { dress } from "./fields.js";
import { say } from "./forms.js";
import { setSetting } from "./keep.js";
import { startLive } from "./live.js";
import { startOutbox } from "./outbox-panel.js";
import { current, lock } from "./safe.js";
import { t } from "./texts.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  try {
    if ("signOut" in button.dataset) {
      await send("POST", "/sign-out");
      await lock();
      location.assign("/sign-in");
    } else if ("cut" in button.dataset) {
      button.disabled = true;
      const link = await send("POST", "/link/cut", { cut: button.dataset.cut === "true" });
      say(link.state === "cut" ? t("Đã ngắt liên kết.") : t("Đã nối lại liên kết."));
    } else if ("files" in button.dataset) {
      button.disabled = true;
      const link = await send("POST", "/link/files", { now: button.dataset.files === "true" });
      say(link.files.is_early ? t("Tệp được gửi ngay.") : t("Tệp sẽ gửi theo giờ đã đặt."));
    } else if ("print" in button.dataset) window.print();
  } catch (problem) {
    button.disabled = false;
    say(problem.text || String(problem), "wrong");
  }
});

/** Installs the worker, and lets nobody go on with what another person unlocked. */
async function install() {
  await setSetting("language", document.documentElement.lang);
  if (user && (await current())?.user !== user) await lock();
  if (user) startOutbox(user);
  await navigator.serviceWorker?.register("/worker.js", { type: "module" });
}

dress(document);
if (user) startLive();
install();
