import { send, user } from "./api.js";
import { busy, check } from "./forms.js";
import { changePassword } from "./safe.js";

const form = document.getElementById("password");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const success = document.getElementById("success");
  success.hidden = true;
  if (!check(form)) return;
  busy(form, async () => {
    await send("POST", "/me/password", { old: form.old.value, new: form.new.value });
    await changePassword(user, form.old.value, form.new.value);
    form.reset();
    success.hidden = false;
  });
});
