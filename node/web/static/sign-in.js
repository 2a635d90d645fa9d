import { send } from "./api.js";
import { proveDevice } from "./device.js";
import { busy, check } from "./forms.js";
import { canUse, signInWithPasskey } from "./passkeys.js";
import { unlockTrusted } from "./safe.js";
import { t } from "./texts.js";

const SHOWN_MS = 15_000;
const form = document.getElementById("sign-in");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check(form)) return;
  busy(form, async () => {
    // A device that is not paired, or not any more, is told so by the answer to the sign-in.
    if (location.protocol === "https:") await proveDevice().catch((problem) => { if (!problem.code) throw problem; });
    const me = await send("POST", "/sign-in", { user: form.user.value, password: form.password.value });
    await unlockTrusted(me.user, me.name, form.password.value);
    location.assign(form.dataset.next);
  });
});

const passkey = document.getElementById("passkey");
passkey.hidden = !canUse;
passkey.addEventListener("click", () => busy(form, async () => {
  if (await signInWithPasskey()) location.assign(form.dataset.next);
}));

// The link is as it was when the page was made; ask again now and then, so that it stays true.
async function showLink() {
  if (document.visibilityState === "hidden") return;
  const bar = document.getElementById("link");
  const response = await fetch("/sign-in", { credentials: "same-origin" });
  if (response.redirected) location.assign(form.dataset.next);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  bar.innerHTML = page.getElementById("link").innerHTML;
}

setInterval(() => { showLink().catch(() => document.getElementById("link").replaceChildren(t("Không kết nối được với máy chủ của cơ quan."))); }, SHOWN_MS);
document.addEventListener("visibilitychange", () => { showLink().catch(() => {}); });
