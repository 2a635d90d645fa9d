// The own account: password, sessions.

import { send } from "./api.js";
import { busy, check, say } from "./forms.js";
import { t } from "./texts.js";

const form = document.getElementById("password");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const success = document.getElementById("success");
  success.hidden = true;
  if (!check(form)) return;
  busy(form, async () => {
    await send("POST", "/me/password", { old: form.old.value, new: form.new.value });
    if (form.dataset.must === "yes") location.assign("/");
    form.reset();
    success.hidden = false;
  });
});

const key = document.getElementById("office-key");

key?.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check(key)) return;
  busy(key, async () => {
    await send("POST", "/office-key", { passphrase: key.passphrase.value });
    location.reload();
  });
});

document.querySelector("[data-end-others]")?.addEventListener("click", async (event) => {
  event.target.disabled = true;
  try {
    const { ended } = await send("POST", "/me/sessions/end");
    say(t("Đã kết thúc {n} phiên khác.", { n: ended }));
    event.target.remove();
    for (const row of document.querySelectorAll("#sessions tbody tr")) {
      if (!row.querySelector("strong")) row.remove();
    }
  } catch (problem) {
    event.target.disabled = false;
    say(problem.text || String(problem), "wrong");
  }
});
