// The own account: password, sessions, passkeys, the office key.

import { send, user } from "./api.js";
import { busy, check, openTemplate, say } from "./forms.js";
import { canUse, giveUpPasskey, makePasskey } from "./passkeys.js";
import { changePassword } from "./safe.js";
import { t } from "./texts.js";

const form = document.getElementById("password");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const success = document.getElementById("success");
  success.hidden = true;
  if (!check(form)) return;
  busy(form, async () => {
    await send("POST", "/me/password", { old: form.old.value, new: form.new.value });
    await changePassword(user, form.old.value, form.new.value);
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

const passkeys = document.getElementById("passkeys");
if (passkeys) passkeys.hidden = !canUse;

passkeys?.addEventListener("click", (event) => {
  if ("addPasskey" in event.target.dataset) addPasskey();
  else if ("drop" in event.target.dataset) dropPasskey(event.target.closest("li"));
});

function addPasskey() {
  const asked = openTemplate("passkey-form");
  asked.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(asked)) return;
    busy(asked, async () => {
      if (await makePasskey(asked.elements.name.value.trim(), asked.password.value)) location.reload();
    });
  });
}

async function dropPasskey(line) {
  try {
    await giveUpPasskey(line.dataset.passkey);
    line.remove();
    say(t("Đã bỏ khóa đăng nhập."));
  } catch (problem) {
    say(problem.text || String(problem), "wrong");
  }
}
