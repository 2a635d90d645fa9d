// Directives: issue, acknowledge, report, finish, withdraw.

import { send } from "./api.js";
import { bindDirectiveForm } from "./directive-form.js";
import { busy, check, closeDialog, openTemplate, say, valuesOf } from "./forms.js";
import { mintId } from "./ids.js";
import { refresh } from "./live.js";
import { t } from "./texts.js";

const main = document.getElementById("main");
const directive = document.querySelector("[data-directive-id]")?.dataset.directiveId;

async function done(text) {
  closeDialog();
  say(text);
  await refresh();
}

const act = (type, values, key) =>
  send("POST", `/directives/${directive}/events`, { event: { type, ...values } }, key);

function openStep(id) {
  const form = openTemplate(id);
  const key = mintId();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      await act(form.dataset.directiveForm, valuesOf(form), key);
      await done(t("Đã ghi."));
    });
  });
}

main.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { open, directiveEvent } = button.dataset;
  if (open === "directive-form") bindDirectiveForm(openTemplate(open), () => done(t("Đã ban hành.")));
  else if (open) openStep(open);
  else if (directiveEvent) {
    button.disabled = true;
    try {
      await act(directiveEvent, {}, mintId());
      await done(t("Đã ghi."));
    } catch (problem) {
      button.disabled = false;
      say(problem.text, "wrong");
    }
  }
});
