// Reading forms, showing what is wrong with them, dialogs.

import { get } from "./api.js";
import { dress, labelOf, shownOf } from "./fields.js";
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
  for (const element of form.querySelectorAll("[aria-invalid]")) clearField(element);
  const box = form.querySelector(".wrong");
  if (box) box.hidden = true;
}

function clearField(element) {
  element.removeAttribute("aria-invalid");
  const note = document.getElementById(element.getAttribute("aria-describedby"));
  if (note?.className === "fielderror") {
    note.remove();
    element.removeAttribute("aria-describedby");
  }
}

let notes = 0;

function markField(element, message) {
  const shown = shownOf(element);
  const note = document.createElement("span");
  note.className = "fielderror";
  note.id = `wrong-${(notes += 1)}`;
  note.textContent = message;
  shown.setAttribute("aria-invalid", "true");
  shown.setAttribute("aria-describedby", note.id);
  (shown.closest(".entry") || shown.parentElement).append(note);
  const folded = shown.closest("details");
  if (folded) folded.open = true;
}

// A mark goes away as soon as its field is touched: it no longer tells what is there now.
document.addEventListener("input", (event) => {
  const entry = event.target.closest?.(".entry");
  const wrong = entry?.querySelectorAll("[aria-invalid]") || [];
  for (const element of wrong) clearField(element);
  const form = entry?.closest("form");
  if (wrong.length && !form?.querySelector("[aria-invalid]")) clearProblems(form);
});

function nameOf(element) {
  const row = element.closest("[data-row]")?.querySelector("[data-number]")?.textContent;
  return [row, labelOf(element)].filter(Boolean).join(", ");
}

// Into the middle of the page: what sticks to its edges must not cover the field.
function goTo(element) {
  shownOf(element).focus({ preventScroll: true });
  shownOf(element).scrollIntoView({ block: "center" });
}

/** Shows what is wrong: beside each field, and in one list above the buttons that leads to them. */
export function showWrong(form, wrong, lines) {
  clearProblems(form);
  for (const [element, message] of wrong) markField(element, message);
  const box = form.querySelector(".wrong");
  const text = lines.filter(Boolean).join("\n");
  if (box && (text || wrong.length > 1)) {
    box.replaceChildren(text);
    if (wrong.length > 1) {
      const list = document.createElement("ul");
      for (const [element, message] of wrong) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "quiet";
        button.textContent = `${nameOf(element)}: ${message}`;
        button.addEventListener("click", () => goTo(element));
        const line = document.createElement("li");
        line.append(button);
        list.append(line);
      }
      box.append(list);
    }
    box.hidden = false;
  }
  if (wrong.length) goTo(wrong[0][0]);
  else box?.scrollIntoView({ block: "nearest" });
}

/** Shows the answer of the node to a form. */
export function showProblem(form, problem, find = (name) => form.querySelector(`[name="${name}"]`)) {
  const wrong = [];
  const unplaced = [];
  for (const entry of problem.fields || []) {
    const element = find(entry.field);
    if (element) wrong.push([element, entry.message]);
    else if (entry.message !== problem.message) unplaced.push(entry.message);
  }
  showWrong(form, wrong, [problem.text || problem.message, ...unplaced]);
}

/** Says in our words what the browser finds wrong with an element. */
export function complaint(element) {
  const { validity } = element;
  if (validity.customError) return element.validationMessage;
  if (validity.valueMissing) return t("Chưa nhập.");
  if (element.type === "date") {
    return validity.rangeOverflow ? t("Ngày này chưa đến.") : t("Ngày này đã qua.");
  }
  if (validity.badInput) return t("Phải là số.");
  if (validity.rangeUnderflow) return t("Nhỏ nhất là {n}.", { n: element.min });
  if (validity.rangeOverflow) return t("Lớn nhất là {n}.", { n: element.max });
  if (validity.tooShort) return t("Ít nhất {n} ký tự.", { n: element.minLength });
  if (validity.tooLong) return t("Nhiều nhất {n} ký tự.", { n: element.maxLength });
  return element.title || t("Chưa đúng dạng.");
}

export const wrongText = (count) => t("Còn mục chưa đúng: {n}.", { n: count });

/** Tells what the browser itself finds wrong; returns whether the form may be sent. */
export function check(form) {
  clearProblems(form);
  const wrong = [...form.querySelectorAll("input, select, textarea")]
    .filter((element) => !element.checkValidity())
    .map((element) => [element, complaint(element)]);
  if (wrong.length) showWrong(form, wrong, wrong.length > 1 ? [wrongText(wrong.length)] : []);
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
  const first = dialog.querySelector("input:not([type=hidden]):not([tabindex='-1']), select, textarea");
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
  dress(root);
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
  const messages = document.getElementById("messages");
  for (const earlier of messages.querySelectorAll(".right")) earlier.remove();
  messages.append(line);
  setTimeout(() => line.remove(), kind === "wrong" ? 12_000 : 5_000);
}
