// The technician's page: revoking the key of a node below.

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
