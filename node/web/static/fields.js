// Dates and files as people here write and choose them, whatever language the browser speaks.
// The browser's own element stays in the form, so that reading and checking it stay the same.

import { t } from "./texts.js";

const pad = (number) => String(number).padStart(2, "0");

/** Reads 24/11/2026, 24-11-26, 24 11 or 24112026; without a year it is the year of `near`. */
export function isoDate(text, near) {
  const parts = /^\d{8}$/.test(text)
    ? [text.slice(0, 2), text.slice(2, 4), text.slice(4)]
    : text.split(/[\s/.-]+/).filter(Boolean);
  if (parts.length < 2 || parts.length > 3 || !parts.every((part) => /^\d+$/.test(part))) return "";
  const [day, month] = parts.map(Number);
  let year = parts.length === 3 ? Number(parts[2]) : Number(near.slice(0, 4));
  if (year < 100) year += 2000;
  const made = new Date(Date.UTC(year, month - 1, day));
  if (year < 1900 || made.getUTCMonth() !== month - 1 || made.getUTCDate() !== day) return "";
  return `${year}-${pad(month)}-${pad(day)}`;
}

const asWritten = (iso) => iso.split("-").reverse().join("/");

/** What a person looks at and types into, for an element of a form. */
export const shownOf = (element) => element.twin || element;

function dressDate(input) {
  const typed = document.createElement("input");
  typed.type = "text";
  typed.inputMode = "numeric";
  typed.autocomplete = "off";
  typed.placeholder = t("ngày/tháng/năm");
  typed.className = "typed";
  if (input.id) {
    typed.id = `${input.id}-typed`;
    for (const label of input.labels) label.htmlFor = typed.id;
  }
  input.tabIndex = -1;
  input.setAttribute("aria-label", t("Chọn ngày trên lịch"));
  input.twin = typed;
  const box = document.createElement("span");
  box.className = "date";
  input.replaceWith(box);
  box.append(typed, input);
  const show = () => { typed.value = input.value ? asWritten(input.value) : ""; };
  const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  Object.defineProperty(input, "value", {
    get() { return value.get.call(this); },
    set(iso) {
      value.set.call(this, iso);
      show();
    },
  });
  const near = document.querySelector('meta[name="today"]')?.content || new Date().toISOString();
  typed.addEventListener("input", () => {
    const iso = isoDate(typed.value.trim(), near);
    value.set.call(input, iso);
    input.setCustomValidity(typed.value.trim() && !iso ? t("Ghi ngày/tháng/năm, ví dụ 05/09/2026.") : "");
  });
  // What was typed stays, also where the focus was taken away before the change is told.
  let isTyped = false;
  typed.addEventListener("change", () => {
    if (input.value) show();
    isTyped = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    isTyped = false;
  });
  for (const name of ["input", "change"]) {
    input.addEventListener(name, () => {
      if (isTyped || document.activeElement === typed) return;
      input.setCustomValidity("");
      show();
    });
  }
  show();
}

function dressFiles(input) {
  const box = document.createElement("span");
  box.className = "chooser";
  const button = document.createElement("span");
  button.className = "button";
  button.textContent = t("Chọn tệp");
  button.setAttribute("aria-hidden", "true");
  const names = document.createElement("small");
  input.replaceWith(box);
  box.append(input, button, names);
  const show = () => {
    names.textContent = [...input.files].map((file) => file.name).join(", ") || t("chưa chọn tệp nào");
  };
  if ("upload" in input.dataset) return;
  input.addEventListener("change", show);
  // The form is empty only after this event.
  input.form?.addEventListener("reset", () => setTimeout(show));
  show();
}

/** Returns the words of an element's label, without its star. */
export function labelOf(element) {
  const entry = element.closest(".entry");
  const words = entry?.querySelector("label, legend, .label");
  if (!words) return "";
  const text = [...words.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
  return text.map((node) => node.textContent).join(" ").trim();
}

/** Dresses the dates and files inside an element that are still as the browser made them. */
export function dress(root) {
  for (const input of root.querySelectorAll('input[type="date"]')) if (!input.twin) dressDate(input);
  for (const input of root.querySelectorAll('input[type="file"]')) {
    if (!input.closest(".chooser")) dressFiles(input);
  }
}
