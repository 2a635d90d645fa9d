// The page of a case: record an event, edit with base, settle, choose, attach, direct, split.

import { documentId, send } from "./api.js";
import { mintId } from "./ids.js";
import { busy, check, closeDialog, openDialog, openTemplate, say, valuesOf } from "./forms.js";
import { bindDirectiveForm } from "./directive-form.js";
import { refresh } from "./live.js";
import { t } from "./texts.js";
import { uploadAll } from "./uploads.js";

const main = document.getElementById("main");

async function done(text) {
  closeDialog();
  say(text);
  await refresh();
}

// The version that was on the page when the form opened: what came later must not be passed over.
const shown = (name) => document.querySelector('[data-live="head"]').dataset[name].split(" ").filter(Boolean);

function openEvent(type, chosen = "") {
  const form = openTemplate(`form-${type}`);
  const [key, follows] = [mintId(), shown("tips")];
  if (chosen) form.querySelector('[name="chosen"]').value = chosen;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      const body = { event: { type, ...valuesOf(form) } };
      if (type !== "noted" && type !== "settled") body.follows = follows;
      await send("POST", `/cases/${documentId}/events`, body, key);
      await done(t("Đã ghi."));
    });
  });
}

async function openEdit(id) {
  const response = await fetch(`/documents/${id}/form`, { credentials: "same-origin" });
  if (!response.ok) {
    say(t("Không mở được biểu mẫu; thử lại."), "wrong");
    return;
  }
  const holder = document.createElement("template");
  holder.innerHTML = await response.text();
  const form = openDialog(holder.content);
  const key = mintId();
  const initial = new Map([...form.querySelectorAll("[data-part]")].map((e) => [e, e.value]));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      const body = { base: form.dataset.heads.split(" ").filter(Boolean), fields: {}, texts: {} };
      for (const [element, before] of initial) {
        if (element.value === before) continue;
        const number = element.dataset.shape === "number";
        const empty = element.value.trim() === "";
        body[element.dataset.part][element.name] = number ? (empty ? null : Number(element.value)) : element.value;
      }
      await send("POST", `/documents/${id}/fields`, body, key);
      await done(t("Đã lưu."));
    });
  });
}

async function choose(button) {
  const { choose: field, value } = button.dataset;
  button.disabled = true;
  try {
    const body = { base: shown("heads"), fields: { [field]: value } };
    await send("POST", `/documents/${button.dataset.document}/fields`, body, mintId());
    await done(t("Đã chọn."));
  } catch (problem) {
    button.disabled = false;
    say(problem.text, "wrong");
  }
}

async function unseal(button, path, name) {
  button.disabled = true;
  try {
    const opened = await send("POST", path);
    button.replaceWith(Object.assign(document.createElement("code"), { textContent: opened[name] }));
  } catch (problem) {
    button.disabled = false;
    say(problem.text, "wrong");
  }
}

function takeRequest(button) {
  const form = openTemplate("asks-form");
  form.querySelector("[data-who]").textContent = button.dataset.name;
  const key = mintId();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      const asked = { type: "data_requested", ...valuesOf(form) };
      await send("POST", `/people/${button.dataset.asks}/events`, { event: asked }, key);
      await done(t("Đã ghi."));
    });
  });
}

function openSplit() {
  const form = openTemplate("split-form");
  const rows = form.querySelector("[data-children]");
  const add = () => {
    const row = document.getElementById("split-child").content.cloneNode(true);
    row.querySelector("[data-row]").dataset.id = mintId();
    row.querySelector("[data-number]").textContent = t("Nội dung {n}", { n: rows.children.length + 1 });
    rows.append(row);
  };
  add();
  add();
  form.querySelector("[data-add-child]").addEventListener("click", add);
  const key = mintId();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      const children = [...rows.querySelectorAll("[data-row]")].map((row) => ({
        id: row.dataset.id,
        case_type: row.querySelector('[name="case_type"]').value,
        title: row.querySelector('[name="title"]').value,
        summary: row.querySelector('[name="summary"]').value,
      }));
      await send("POST", `/cases/${documentId}/split`, { children }, key);
      await done(t("Đã tách."));
    });
  });
}

main.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { action, edit, settle, open } = button.dataset;
  if (action) openEvent(action);
  else if (edit) openEdit(edit);
  else if (settle) openEvent("settled", settle);
  else if (button.dataset.choose) choose(button);
  else if (button.dataset.reveal) unseal(button, `/people/${button.dataset.reveal}/identity`, "number");
  else if (button.dataset.asks) takeRequest(button);
  else if (button.dataset.openReference) unseal(button, `/cases/${button.dataset.openReference}/reference`, "reference");
  else if (open === "split-form") openSplit();
  else if (open === "directive-form") bindDirectiveForm(openTemplate(open), () => done(t("Đã ban hành.")));
});

main.addEventListener("change", async (event) => {
  const input = event.target;
  if (!input.dataset.upload) return;
  const files = [...input.files];
  input.value = "";
  await uploadAll(document.getElementById("uploads"), input.dataset.upload, files, () => refresh());
});
