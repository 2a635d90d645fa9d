// Accounts: made, changed, closed; a one-time password is shown once.

import { send } from "./api.js";
import { busy, check, closeDialog, openTemplate, say, valuesOf } from "./forms.js";
import { refresh } from "./live.js";
import { t } from "./texts.js";

const reads = document.documentElement.lang;
const when = { day: "2-digit", month: "2-digit", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "Asia/Ho_Chi_Minh" };

function whenSent(form, work) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (check(form)) busy(form, work);
  });
}

async function tell(made) {
  closeDialog();
  await refresh();
  const form = openTemplate("told-form");
  form.querySelector("[data-user]").textContent = made.user;
  form.querySelector("[data-password]").textContent = made.password;
  form.querySelector("[data-until]").textContent = new Date(made.until_ms).toLocaleString(reads, when);
}

function add() {
  const form = openTemplate("add-form");
  whenSent(form, async () => tell(await send("POST", "/accounts", valuesOf(form))));
}

function change(row) {
  const form = openTemplate("change-form");
  form.elements.name.value = row.dataset.name;
  form.role.value = row.dataset.role;
  whenSent(form, async () => {
    const { name, role } = valuesOf(form);
    const changed = {};
    if (name !== row.dataset.name) changed.name = name;
    if (role !== row.dataset.role) changed.role = role;
    await send("POST", `/accounts/${row.dataset.user}`, changed);
    closeDialog();
    say(t("Đã lưu."));
    await refresh();
  });
}

function ask(row, title, why, work) {
  const form = openTemplate("sure-form");
  form.querySelector("[data-title]").textContent = title;
  form.querySelector("[data-who]").textContent = `${row.dataset.name} (${row.dataset.user})`;
  form.querySelector("[data-why]").textContent = why;
  whenSent(form, work);
}

function reset(row) {
  ask(
    row,
    t("Cấp lại mật khẩu"),
    t("Mật khẩu cũ, khóa đăng nhập và mọi phiên của người này hết hiệu lực ngay."),
    async () => tell(await send("POST", `/accounts/${row.dataset.user}/password`)),
  );
}

function setActive(row, isActive) {
  ask(
    row,
    isActive ? t("Mở lại tài khoản") : t("Đóng tài khoản"),
    isActive ? t("Người này đăng nhập được trở lại bằng mật khẩu cũ.") : t("Người này bị đăng xuất ngay và không đăng nhập được nữa."),
    async () => {
      await send("POST", `/accounts/${row.dataset.user}`, { is_active: isActive });
      closeDialog();
      say(isActive ? t("Đã mở lại tài khoản.") : t("Đã đóng tài khoản."));
      await refresh();
    },
  );
}

document.getElementById("main").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const row = button?.closest("tr");
  if (!button) return;
  if (button.dataset.open === "add-form") add();
  else if ("change" in button.dataset) change(row);
  else if ("reset" in button.dataset) reset(row);
  else if ("active" in button.dataset) setActive(row, button.dataset.active === "yes");
});
