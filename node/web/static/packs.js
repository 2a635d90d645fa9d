// The page of packs: hand files over, ask for a pack, watch how far it has come.

import { send, uploadTo } from "./api.js";
import { busy, check } from "./forms.js";
import { refresh } from "./live.js";

const BEAT_MS = 1000;
const [taking, making] = [document.getElementById("take"), document.getElementById("make")];
const bar = document.getElementById("sending");
const isBusy = () => document.getElementById("packs").dataset.busy === "yes";

let watching = false;

async function watch() {
  if (watching) return;
  watching = true;
  await refresh();
  while (isBusy()) {
    await new Promise((done) => setTimeout(done, BEAT_MS));
    await refresh();
  }
  watching = false;
}

taking.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check(taking)) return;
  busy(taking, async () => {
    const form = new FormData();
    for (const file of taking.files.files) form.append("file", file, file.name);
    bar.hidden = false;
    try {
      await uploadTo("/packs/taken", form, "", (part) => { bar.value = part; });
    } finally {
      bar.hidden = true;
    }
    taking.reset();
    watch();
  });
});

making.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check(making)) return;
  busy(making, async () => {
    const { to, files, everything } = making.elements;
    await send("POST", "/packs", { to: to.value, files: files.value, everything: everything.checked });
    watch();
  });
});

if (isBusy()) watch();
