// Shows what only this device holds, and keeps sending: at the start, when the network is back, and now and then.

import { send } from "./api.js";
import { busy, check, say } from "./forms.js";
import { adopt, alone, countOf, list, onNews, read, remove, update } from "./outbox.js";
import { current, unlock, unlockTrusted } from "./safe.js";
import { sendAll } from "./sending.js";
import { t } from "./texts.js";

const RETRY_MS = 5_000;
const box = document.getElementById("outbox");
const isApart = "apart" in document.getElementById("main").dataset;
let user = "";
let reason = "";
let drawn = "";

const STATES = {
  waiting: () => t("Chờ gửi"),
  sending: () => t("Đang gửi"),
  refused: () => t("Máy chủ từ chối"),
  arrived: () => t("Đã đến máy chủ"),
};
const REASONS = {
  unreachable: () => t("Chưa kết nối được với máy chủ của cơ quan; tự gửi khi máy chủ trả lời."),
  "signed-out": () => t("Phiên làm việc đã kết thúc. Đăng nhập để gửi."),
  other: () => t("Người khác đang đăng nhập trên thiết bị này. Đăng nhập bằng tài khoản của bạn để gửi."),
};

function made(tag, values = {}, ...inside) {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...inside.filter(Boolean));
  return element;
}

function named(entry) {
  const { petitions, people = [], held_on } = JSON.parse(entry.body);
  const what = petitions.map((one) => one.title || (one.envelope_number ? t("Tố cáo, phong bì {n}", { n: one.envelope_number }) : ""));
  const day = held_on.split("-").reverse().join("/");
  return [what.filter(Boolean).join("; ") || t("Lượt tiếp"), people.map((one) => one.full_name).join(", "), day].filter(Boolean).join(" · ");
}

function button(text, work) {
  const element = made("button", { type: "button", className: "less", textContent: text });
  element.addEventListener("click", async () => {
    element.disabled = true;
    try {
      await work();
    } catch (problem) {
      say(problem.text || String(problem), "wrong");
    } finally {
      element.disabled = false;
    }
  });
  return element;
}

async function again(id) {
  await alone({}, async () => {
    const who = await current();
    const entry = who && (await read(who, id));
    if (entry?.state === "refused") await update(who, { ...entry, state: "waiting" });
  });
  await push();
}

/** Takes an entry off this device; of what never arrived only after a second press. */
function dropButton(entry) {
  if (entry.state === "arrived") return button(t("Bỏ khỏi danh sách"), () => remove(entry));
  let isSure = false;
  const element = button(t("Xóa khỏi thiết bị"), async () => {
    if (isSure) await remove(entry);
    isSure = true;
    element.textContent = t("Máy chủ không có bản này. Bấm lần nữa để xóa hẳn.");
  });
  return element;
}

function line(entry) {
  const left = entry.files.filter((file) => !file.isSent).length;
  const head = made("p", {}, made("span", { className: `sync ${entry.state}`, textContent: STATES[entry.state]() }), " ", named(entry));
  const parts = [head];
  if (left && entry.state !== "arrived") parts.push(made("small", { textContent: t("{n} tệp chưa gửi", { n: left }) }));
  if (entry.problem) {
    const { message, hint, fields } = entry.problem;
    const text = [message, ...(fields || []).map((field) => field.message), hint].filter(Boolean).join("\n");
    parts.push(made("p", { className: entry.state === "refused" ? "wrong" : "hint", textContent: text }));
  }
  const buttons = made("p", { className: "buttons" });
  if (entry.state === "refused") {
    if (!entry.answer) buttons.append(made("a", { className: "button less", href: `/visits/new?entry=${entry.id}`, textContent: t("Sửa") }));
    buttons.append(button(t("Gửi lại"), () => again(entry.id)), dropButton(entry));
  } else if (entry.state === "arrived") {
    const cases = isApart ? [] : entry.answer.case_ids;
    for (const id of cases) buttons.append(made("a", { className: "button less", href: `/cases/${id}`, textContent: t("Mở vụ việc") }));
    buttons.append(dropButton(entry));
  }
  return made("li", { className: "entry" }, ...parts, buttons.childElementCount ? buttons : null);
}

/** Lets the node say whether this is the password, as at the sign-in; then it opens this browser. */
async function trust(password) {
  const me = await send("POST", "/sign-in", { user, password });
  // The page goes on in the new session: something may be written on it.
  document.querySelector('meta[name="csrf"]').content = me.csrf;
  await unlockTrusted(me.user, me.name, password);
}

/** Asks for the password that opens what is sealed here; today's, or an earlier one. */
function unlockForm(text) {
  const input = made("input", { type: "password", name: "password", required: true, autocomplete: "current-password" });
  input.setAttribute("aria-label", t("Mật khẩu"));
  const form = made("form", { noValidate: true }, made("p", { textContent: text }), made("div", { className: "search" }, input, made("button", { type: "submit", textContent: t("Mở khóa") })), made("div", { className: "wrong", hidden: true }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    busy(form, async () => {
      const who = await current();
      const opened = await unlock(user, input.value, { isKept: !who });
      if (!opened && (who || isApart)) throw { code: "password_wrong", text: t("Mật khẩu này không mở được gì trên thiết bị này.") };
      if (!opened) await trust(input.value);
      else if (who) await adopt(opened, who);
      input.blur();
      await push();
    });
  });
  return form;
}

async function show() {
  const who = await current();
  const isMine = who?.user === user;
  const { entries, locked } = isMine ? await list(who) : { entries: [], locked: await countOf(user) };
  const open = entries.filter((entry) => entry.state !== "arrived");
  // With the node away, nothing could be kept of what is written on this page.
  const isShut = !isMine && !isApart && document.getElementById("visit") !== null;
  box.hidden = !entries.length && !locked && !isShut;
  // Only what changed is drawn anew, and nothing under the hands of somebody who types a password.
  const facts = JSON.stringify([entries, locked, reason, isMine, isShut]);
  if (facts === drawn || (box.contains(document.activeElement) && document.activeElement.tagName === "INPUT")) return;
  drawn = facts;
  const parts = [];
  if (entries.length) {
    parts.push(made("h2", { textContent: open.length ? t("Chỉ có trên thiết bị này: {n}", { n: open.length }) : t("Không còn gì chỉ có trên thiết bị này") }));
    if (open.length && REASONS[reason]) {
      const said = made("p", { className: "hint", textContent: REASONS[reason]() });
      if (reason !== "unreachable") said.append(" ", made("a", { href: "/sign-in?next=/visits/new", textContent: t("Đăng nhập") }));
      parts.push(said);
    }
    parts.push(made("ul", { className: "plain kept" }, ...entries.map(line)));
  }
  if (locked) {
    const text = isMine ? t("{n} lượt tiếp được khóa bằng mật khẩu trước đây của bạn. Nhập mật khẩu đó để mở.", { n: locked }) : t("{n} lượt tiếp của bạn đang khóa trên thiết bị này. Nhập mật khẩu để mở và gửi.", { n: locked });
    parts.push(unlockForm(text));
  } else if (isShut) {
    parts.push(unlockForm(t("Nơi giữ tạm trên thiết bị này đang khóa: nếu mất máy chủ, lượt tiếp và bản nháp sẽ không giữ lại được. Không phải khóa đăng nhập nào cũng mở được nơi này; hãy nhập mật khẩu để mở.")));
  }
  box.replaceChildren(...parts);
}

let shown = Promise.resolve();
const showAgain = () => { shown = shown.then(show, show); };

/** Sends now what waits. */
export async function push() {
  const state = await sendAll();
  if (state !== "busy") reason = state;
  showAgain();
  return state;
}

async function keepPushing() {
  try {
    if (document.visibilityState !== "hidden") await push();
  } finally {
    setTimeout(keepPushing, RETRY_MS);
  }
}

/** Asks the worker to send even if this page is closed, where the browser can do that. */
export async function pushLater() {
  const registration = await navigator.serviceWorker?.getRegistration();
  // Browsers may forbid it, or have none; pages send by themselves as well.
  await registration?.sync?.register("outbox").catch((error) => console.info("no background sync", error.message));
}

/** Shows the entries of a person and sends them. */
export function startOutbox(who) {
  user = who;
  onNews(showAgain);
  window.addEventListener("online", () => push());
  keepPushing();
}
