// The technician's page of devices: pair one, compare the digits, revoke.

import { get, send } from "./api.js";
import { busy, check, closeDialog, openTemplate, say, valuesOf } from "./forms.js";
import { refresh } from "./live.js";
import { t } from "./texts.js";

const POLL_MS = 700;
const grouped = (text, size) => text.match(new RegExp(`.{1,${size}}`, "g")).join(" ");

function openPairing() {
  const form = openTemplate("pair-form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    busy(form, async () => watch(form, await send("POST", "/pairings", valuesOf(form))));
  });
}

// One pairing from its code to the technician's answer; what the page shows is what the node says.
function watch(form, begun) {
  let shown = begun;
  const dialog = form.closest("dialog");
  const part = (name) => form.querySelector(`[data-part="${name}"]`);
  const isOver = () => shown.state === "confirmed" || shown.state === "refused";
  const show = () => {
    const name = { open: shown.way, greeted: "greeted", proven: "digits", confirmed: "done", refused: "refused" }[shown.state];
    for (const each of form.querySelectorAll("[data-part]")) each.hidden = each.dataset.part !== name;
    if (shown.picture) {
      part("qr").querySelector("img").src = shown.picture;
      part("qr").querySelector("[data-link]").textContent = shown.link;
    }
    if (shown.code) part("code").querySelector("output").textContent = grouped(shown.code, 4);
    if (shown.digits) part("digits").querySelector("output").textContent = grouped(shown.digits, 3);
    part("refused").querySelector("p").textContent = [shown.reason, shown.hint].filter(Boolean).join("\n");
    const left = form.querySelector("[data-left]");
    left.hidden = isOver();
    left.textContent = t("Còn {n} giây", { n: shown.seconds_left });
  };
  const follow = async () => {
    while (dialog.open && form.isConnected && !isOver()) {
      await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
      try {
        if (!isOver()) shown = await get(`/pairings/${shown.id}`);
        show();
      } catch (problem) {
        say(problem.text, "wrong");
        return;
      }
    }
  };
  form.querySelector("[data-confirm]").addEventListener("click", () => busy(form, async () => {
    shown = await send("POST", `/pairings/${shown.id}/confirmed`);
    show();
    await refresh();
  }));
  form.querySelector("[data-refuse]").addEventListener("click", () => busy(form, async () => {
    await send("DELETE", `/pairings/${shown.id}`);
    shown = await get(`/pairings/${shown.id}`);
    show();
  }));
  // Whoever closes the dialog does not let the device in.
  dialog.addEventListener("close", () => {
    if (!isOver()) send("DELETE", `/pairings/${shown.id}`).catch((problem) => say(problem.text, "wrong"));
  }, { once: true });
  show();
  follow();
}

async function revoke(button) {
  button.disabled = true;
  try {
    await send("POST", `/devices/${button.dataset.revokeDevice}/revoked`);
    say(t("Đã thu hồi thiết bị {name}.", { name: button.dataset.name }));
    await refresh();
  } catch (problem) {
    button.disabled = false;
    say(problem.text, "wrong");
  }
}

document.getElementById("main").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.open === "pair-form") openPairing();
  else if (button.dataset.revokeDevice) revoke(button);
});
document.getElementById("dialog")?.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) closeDialog();
});
