// The technician's page: tokens for those below, who signs in at outposts, revoking keys.

import { send } from "./api.js";
import { busy, check, closeDialog, openTemplate, say, valuesOf } from "./forms.js";
import { mintId } from "./ids.js";
import { refresh } from "./live.js";
import { t } from "./texts.js";

document.getElementById("main").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-revoke]");
  if (!button) return;
  const form = openTemplate("revoke-form");
  form.querySelector("[data-node-name]").textContent = button.dataset.name;
  const key = mintId();
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      await send("POST", "/revocations", { peer_id: button.dataset.revoke, ...valuesOf(form) }, key);
      closeDialog();
      say(t("Đã thu hồi khóa."));
      await refresh();
    });
  });
});

document.getElementById("main").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-travel]");
  if (!button) return;
  const form = openTemplate("travel-form");
  form.querySelector("[data-node-name]").textContent = button.dataset.name;
  const before = button.dataset.users.split(" ");
  for (const box of form.querySelectorAll("[name=users]")) box.checked = before.includes(box.value);
  const key = mintId();
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    busy(form, async () => {
      const users = [...form.querySelectorAll("[name=users]:checked")].map((box) => box.value);
      await send("POST", `/outposts/${button.dataset.travel}/accounts`, { users }, key);
      closeDialog();
      say(t("Đã ghi."));
      await refresh();
    });
  });
});

document.getElementById("main").addEventListener("click", (event) => {
  if (!event.target.closest("button[data-make-token]")) return;
  const form = openTemplate("token-form");
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      const made = await send("POST", "/tokens", valuesOf(form));
      closeDialog();
      openTemplate("token-shown");
      document.querySelector("#dialog [data-line]").textContent = made.line;
      document.querySelector("#dialog img").src = made.picture;
      await refresh();
    });
  });
});

document.getElementById("main").addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-withdraw]");
  if (!button) return;
  button.disabled = true;
  try {
    await send("DELETE", `/tokens/${button.dataset.withdraw}`);
    say(t("Đã hủy mã."));
  } catch (problem) {
    say(problem.text, "wrong");
  }
  await refresh();
});
