import { send } from "./api.js";
import { busy, check } from "./forms.js";

const form = document.getElementById("sign-in");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check(form)) return;
  busy(form, async () => {
    await send("POST", "/sign-in", { user: form.user.value, password: form.password.value });
    location.assign(form.dataset.next);
  });
});
