// Requests about personal data: answering one.

import { send } from "./api.js";
import { busy, check, closeDialog, openTemplate, say, valuesOf } from "./forms.js";
import { mintId } from "./ids.js";
import { refresh } from "./live.js";
import { t } from "./texts.js";

document.getElementById("main").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-answer]");
  if (!button) return;
  const form = openTemplate("answer-form");
  form.querySelector("[data-who]").textContent = button.dataset.name;
  const key = mintId();
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      const answered = { type: "data_answered", request: button.dataset.answer, ...valuesOf(form) };
      await send("POST", `/people/${button.dataset.person}/events`, { event: answered }, key);
      closeDialog();
      say(t("Đã ghi."));
      await refresh();
    });
  });
});
