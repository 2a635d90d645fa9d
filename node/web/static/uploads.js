// Uploads with progress; a failed one can be tried again without making a second file.

import { upload } from "./api.js";
import { mintId } from "./ids.js";
import { t } from "./texts.js";

export const BYTES_MAX = 50 * 1024 * 1024;
export const tooLarge = () => t("Tệp lớn hơn 50 MB; quét lại với độ phân giải thấp hơn hoặc chia tệp.");

/** Uploads files to a document one after the other, each with a line in the list. */
export async function uploadAll(list, document_, files, onDone = () => {}) {
  for (const file of files) {
    const line = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = file.name;
    line.append(name);
    list.append(line);
    await uploadOne(line, document_, file, mintId(), onDone);
  }
}

async function uploadOne(line, document_, file, key, onDone) {
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  const said = document.createElement("small");
  line.append(bar, said);
  try {
    if (file.size > BYTES_MAX) throw { text: tooLarge() };
    const stored = await upload(document_, file, key, (part) => { bar.value = part; });
    bar.remove();
    said.textContent = t("Đã lưu. SHA-256 {hash}", { hash: stored.sha256 });
    onDone(stored);
  } catch (problem) {
    bar.remove();
    said.className = "fielderror";
    said.textContent = problem.text || String(problem);
    if (file.size > BYTES_MAX) return;
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = t("Thử lại");
    again.addEventListener("click", () => {
      said.remove();
      again.remove();
      uploadOne(line, document_, file, key, onDone);
    });
    line.append(again);
  }
}
