// The page while the node does not answer: unlock with the password, then the same form as ever.

import { busy, check, say } from "./forms.js";
import { startOutbox } from "./outbox-panel.js";
import { current, lock, unlock } from "./safe.js";
import { t } from "./texts.js";

const LOOK_MS = 5_000;
const HOURS_AHEAD = 7;
const form = document.getElementById("unlock");
const bar = document.getElementById("link");

// The day at the place, by the clock of this device; what the officer types instead stands.
const today = () => new Date(Date.now() + HOURS_AHEAD * 3_600_000).toISOString().slice(0, 10);

async function start(who) {
  form.hidden = true;
  document.getElementById("who").textContent = who.name;
  document.querySelector("[data-lock]").hidden = false;
  document.getElementById("work").hidden = false;
  document.getElementById("visit").elements.held_on.value = today();
  startOutbox(who.user);
  await import("./register.js");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check(form)) return;
  busy(form, async () => {
    const who = await unlock(form.user.value.trim().toLowerCase(), form.password.value);
    if (!who) throw { code: "password_wrong", text: t("Tên hoặc mật khẩu không đúng, hoặc chưa ai đăng nhập bằng tài khoản này trên thiết bị này khi có máy chủ.") };
    form.reset();
    await start(who);
  });
});

document.querySelector("[data-lock]").addEventListener("click", async () => {
  await lock();
  location.reload();
});

async function look() {
  const answer = await fetch("/api/v1/health").catch(() => null);
  const isBack = Boolean(answer?.ok);
  bar.querySelector("a").hidden = !isBack;
  bar.querySelector(".lamp").className = `lamp ${isBack ? "up" : "cut"}`;
  if (isBack) bar.querySelector(".said").textContent = t("Máy chủ của cơ quan đã trả lời.");
  setTimeout(look, LOOK_MS);
}

look();
const who = await current();
if (who) await start(who).catch((problem) => say(problem.text || String(problem), "wrong"));
else {
  form.hidden = false;
  form.user.focus();
}
