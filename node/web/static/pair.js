// The page on which a device pairs with the node: by the QR code that led here, or by 8 digits.

import { busy, check, showWrong } from "./forms.js";
import { keepDevice, proveDevice } from "./device.js";
import { bytesOf, pair } from "./pairing.js";
import { t } from "./texts.js";

const form = document.getElementById("pair");
const part = (name) => document.querySelector(`[data-part="${name}"]`);
const SITE_DIGITS = 64;
const sentences = {
  pairing_site_foreign: () => t("Đây không phải máy chủ đã hiện mã: khóa của nó khác. Có thể có người đứng giữa. Dừng lại và báo kỹ thuật viên."),
  pairing_node_unproven: () => t("Máy chủ này không biết mã, nên không phải máy đã hiện mã. Dừng lại và báo kỹ thuật viên."),
};

function showOnly(name) {
  for (const each of document.querySelectorAll("[data-part]")) each.hidden = each.dataset.part !== name;
}

function showDigits(digits) {
  document.getElementById("digits").textContent = `${digits.slice(0, 3)} ${digits.slice(3)}`;
  showOnly("digits");
}

async function run(way, secret, site) {
  try {
    const paired = await pair(way, secret, site, showDigits);
    await keepDevice(paired);
    await proveDevice();
    document.getElementById("paired-name").textContent = paired.name;
    showOnly("paired");
  } catch (problem) {
    showOnly("code");
    const known = sentences[problem.code];
    const text = known ? known() : problem.text || t("Ghép thiết bị không thành: {reason}", { reason: String(problem.message || problem) });
    showWrong(form, [], [text]);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check(form)) return;
  const digits = form.code.value.replace(/\D/g, "");
  form.reset();
  busy(form, () => run("code", new TextEncoder().encode(digits), ""));
});

const scanned = location.hash.slice(1);
// The secret must not stay in the address and the history.
history.replaceState(null, "", location.pathname);
if (!isSecureContext || !crypto.subtle) showOnly("unsafe");
else if (/^[0-9a-f]{96}$/.test(scanned)) {
  showOnly("working");
  run("qr", bytesOf(scanned.slice(SITE_DIGITS)), scanned.slice(0, SITE_DIGITS));
} else showOnly("code");
