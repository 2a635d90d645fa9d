// Reading forms, showing what is wrong with them, dialogs.

import { get } from "./api.js";
import { t } from "./texts.js";

/** Returns the values of the elements with data-shape; empty ones are left out. */
export function valuesOf(form) {
  const values = {};
  for (const element of form.querySelectorAll("[data-shape]")) {
    if (element.dataset.shape === "check") values[element.name] = element.checked;
    else if (element.value.trim() === "") continue;
    else if (element.dataset.shape === "number") values[element.name] = Number(element.value);
    else values[element.name] = element.dataset.id || element.value.trim();
  }
  return values;
}

export function clearProblems(form) {
  for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  for (const element of form.querySelectorAll(".fielderror")) element.remove();
  const box = form.querySelector(".wrong");
  if (box) box.hidden = true;
}

export function markField(element, message) {
  element.setAttribute("aria-invalid", "true");
  const note = document.createElement("span");
  note.className = "fielderror";
  note.textContent = message;
  (element.closest(".entry") || element.parentElement).append(note);
  const folded = element.closest("details");
  if (folded) folded.open = true;
}

/** Shows a problem in its form: beside the fields where that is known, else above the buttons. */
export function showProblem(form, problem, find = (name) => form.querySelector(`[name="${name}"]`)) {
  clearProblems(form);
  let first = null;
  const unplaced = [];
  for (const entry of problem.fields || []) {
    const element = find(entry.field);
    if (element) {
      markField(element, entry.message);
      first ??= element;
    } else unplaced.push(`${entry.field}: ${entry.message}`);
  }
  const box = form.querySelector(".wrong");
  if (box) {
    box.textContent = [problem.text || problem.message, ...unplaced].join("\n");
    box.hidden = false;
    if (!first) box.scrollIntoView({ block: "nearest" });
  }
  if (first) first.focus();
}

/** Tells what the browser itself finds wrong; returns whether the form may be sent. */
export function check(form) {
  clearProblems(form);
  const wrong = [...form.querySelectorAll("input, select, textarea")].filter((e) => !e.checkValidity());
  for (const element of wrong) markField(element, element.validationMessage);
  if (wrong.length) wrong[0].focus();
  return wrong.length === 0;
}

/** Runs one request at a time for a form; a second press of the button is not a second request. */
export async function busy(form, work) {
  if (form.dataset.busy) return;
  form.dataset.busy = "1";
  const buttons = [...form.querySelectorAll("button")];
  buttons.forEach((button) => { button.disabled = true; });
  try {
    await work();
  } catch (problem) {
    if (!("code" in problem)) throw problem;
    buttons.forEach((button) => { button.disabled = false; });
    showProblem(form, problem);
  } finally {
    delete form.dataset.busy;
    buttons.forEach((button) => { button.disabled = false; });
  }
}

/** Opens the page's dialog with a form and returns the form. */
export function openDialog(content) {
  const dialog = document.getElementById("dialog");
  dialog.replaceChildren(content);
  prepare(dialog);
  dialog.showModal();
  const first = dialog.querySelector("input:not([type=hidden]), select, textarea");
  (first || dialog.querySelector("button")).focus();
  return dialog.querySelector("form");
}

export function closeDialog() {
  document.getElementById("dialog")?.close();
}

export function openTemplate(id) {
  return openDialog(document.getElementById(id).content.cloneNode(true));
}

/** Gives life to what forms have in common: closing, offices, case pickers. */
export function prepare(root) {
  for (const button of root.querySelectorAll("[data-close]")) button.addEventListener("click", closeDialog);
  for (const select of root.querySelectorAll("[data-office]")) {
    const name = select.form?.querySelector('[name="to_office"]');
    select.addEventListener("change", () => {
      if (name && select.value) name.value = select.selectedOptions[0].textContent;
    });
  }
  for (const input of root.querySelectorAll("[data-case-picker]")) pickCase(input);
}

/** Turns an input into a search for a case; the id of the chosen one is kept in data-id. */
export function pickCase(input) {
  const box = document.createElement("div");
  box.className = "picker";
  input.replaceWith(box);
  const list = document.createElement("ul");
  list.hidden = true;
  list.setAttribute("role", "listbox");
  box.append(input, list);
  let timer = 0;
  const choose = (item) => {
    input.dataset.id = item.dataset.id;
    input.value = item.textContent;
    list.hidden = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const search = async () => {
    if (!input.value.trim()) return;
    const found = await get(`/cases?size=8&text=${encodeURIComponent(input.value)}`);
    list.replaceChildren(...found.cases.map((line) => {
      const item = document.createElement("li");
      item.dataset.id = line.id;
      item.setAttribute("role", "option");
      item.textContent = [line.title, line.people, line.register_number].filter(Boolean).join(" · ");
      item.addEventListener("mousedown", () => choose(item));
      return item;
    }));
    if (!found.cases.length) {
      const none = document.createElement("li");
      none.textContent = t("Không tìm thấy.");
      list.append(none);
    }
    list.hidden = false;
  };
  input.addEventListener("input", () => {
    delete input.dataset.id;
    clearTimeout(timer);
    timer = setTimeout(() => search().catch(() => { list.hidden = true; }), 250);
  });
  input.addEventListener("blur", () => { list.hidden = true; });
  input.addEventListener("keydown", (event) => {
    const items = [...list.querySelectorAll("[data-id]")];
    if (list.hidden || !items.length) return;
    const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = (at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length;
      items.forEach((item, index) => item.setAttribute("aria-selected", String(index === next)));
      items[next].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      choose(items[at]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      list.hidden = true;
    }
  });
}

/** Says something at the foot of the page for a while. */
export function say(text, kind = "right") {
  const line = document.createElement("p");
  line.className = kind;
  line.textContent = text;
  document.getElementById("messages").append(line);
  setTimeout(() => line.remove(), kind === "wrong" ? 12_000 : 5_000);
}
