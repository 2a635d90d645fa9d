// The form of a visit: rows, shortcuts, the sealed form of a denunciation, drafts, saving.

import { Problem, get, send } from "./api.js";
import { busy, complaint, prepare, say, showProblem, showWrong, wrongText } from "./forms.js";
import { mintId } from "./ids.js";
import { push, pushLater } from "./outbox-panel.js";
import * as outbox from "./outbox.js";
import { current, currentHere } from "./safe.js";
import { t } from "./texts.js";
import { BYTES_MAX, tooLarge, uploadAll } from "./uploads.js";

const SAVE_MS = 1_500;
const SEALED = "to_cao";
const form = document.getElementById("visit");
const saved = document.getElementById("saved");
const lists = {
  people: { box: document.getElementById("people"), row: "person-row", name: (n) => t("Người {n}", { n }) },
  petitions: { box: document.getElementById("petitions"), row: "petition-row", name: (n) => t("Đơn {n}", { n }) },
};
const query = new URLSearchParams(location.search);
const draft = query.get("draft") || mintId();
// The page that this browser keeps for when the node is away: it asks the node for nothing.
const isApart = "apart" in document.getElementById("main").dataset;
const entryId = query.get("entry");
let entry = null;
let visit = mintId();
let sealedIds = { id: mintId(), case_id: mintId() };
let isSealed = false;
let isFinished = false;
let timer = 0;
let lastSaved = "";

// Rows

function addRow(kind, values = {}) {
  const list = lists[kind];
  const row = document.getElementById(list.row).content.firstElementChild.cloneNode(true);
  row.dataset.id = values.id || mintId();
  if (kind === "petitions") {
    row.dataset.caseId = values.new_case_id || mintId();
    for (const radio of row.querySelectorAll("[data-radio]")) radio.name = `type ${row.dataset.id}`;
  }
  list.box.append(row);
  prepare(row);
  fill(row, values);
  renumber(kind);
  return row;
}

function renumber(kind) {
  const rows = [...lists[kind].box.children];
  rows.forEach((row, index) => {
    row.querySelector("[data-number]").textContent = lists[kind].name(index + 1);
    row.querySelector("[data-remove]").hidden = rows.length === 1;
  });
}

function fill(row, values) {
  for (const element of row.querySelectorAll("[name]")) {
    const value = values[element.name];
    if (element.dataset.radio) {
      element.checked = values.case_type === element.value;
    } else if (value === undefined || value === null) continue;
    else if (element.type === "checkbox") element.checked = value;
    else element.value = value;
  }
  showHints(row);
  if (values.file_names) {
    row.querySelector(".chooser small").textContent = t("Chọn lại tệp: {names}", { names: values.file_names.join(", ") });
  }
  if (values.kept) {
    row.kept = values.kept;
    row.querySelector(".chooser small").textContent = t("Đã giữ: {names}", { names: values.kept.map((file) => file.name).join(", ") });
  }
  const picker = row.querySelector("[data-case-picker]");
  if (picker && values.joined_id) {
    picker.dataset.id = values.joined_id;
    picker.value = values.joined_text || values.joined_id;
  }
}

/** Shows the remark that belongs to the chosen type. */
function showHints(row) {
  const type = row?.querySelector("[data-radio]:checked")?.value;
  for (const hint of row?.querySelectorAll("[data-when]") || []) hint.hidden = hint.dataset.when !== type;
}

// Reading the form

const text = (name) => form.elements[name].value.trim();
const chosen = (name) => form.querySelector(`[name="${name}"]:checked`)?.value || "";

function put(values, name, value) {
  if (value !== "" && value !== null && value !== undefined) values[name] = value;
}

function rowValues(row) {
  const values = { id: row.dataset.id };
  for (const element of row.querySelectorAll("[name]")) {
    if (element.dataset.radio) {
      if (element.checked) values.case_type = element.value;
    } else if (element.dataset.casePicker !== undefined) continue;
    else if (element.type === "checkbox") values[element.name] = element.checked;
    else if (element.type === "number") put(values, element.name, element.value && Number(element.value));
    else put(values, element.name, element.value.trim());
  }
  return values;
}

function petitionValues(row) {
  const values = rowValues(row);
  const joined = row.querySelector("[data-case-picker]").dataset.id;
  if (joined) return { ...values, case_id: joined, joins_case: true };
  return { ...values, case_id: row.dataset.caseId };
}

function openRequest() {
  const request = {
    visit_id: visit,
    held_on: text("held_on"),
    kind: chosen("kind"),
    people: [...lists.people.box.children].map(rowValues),
    petitions: [...lists.petitions.box.children].map(petitionValues),
    statement_recorded: form.elements.statement_recorded.checked,
  };
  for (const name of ["register_number", "place", "statement", "group_name"]) put(request, name, text(name));
  put(request, "people_count", text("people_count") && Number(text("people_count")));
  put(request, "readback", chosen("readback"));
  return request;
}

function sealedRequest() {
  const petition = { ...sealedIds, case_type: SEALED, written: true };
  for (const element of form.querySelectorAll("[data-sealed]")) {
    if (element.type !== "radio" || element.checked) put(petition, element.name, element.value.trim());
  }
  const request = { visit_id: visit, held_on: text("held_on"), kind: chosen("kind"), petitions: [petition] };
  put(request, "register_number", text("register_number"));
  return request;
}

const currentRequest = () => (isSealed ? sealedRequest() : openRequest());

// Drafts: on the node; in this browser, under the user's name, while the node does not answer.
// The number of an identity paper is kept in neither.

function draftBody() {
  const body = currentRequest();
  for (const person of body.people || []) delete person.identity_number;
  for (const [index, petition] of body.petitions.entries()) {
    if (isSealed) continue;
    const row = lists.petitions.box.children[index];
    const files = [...row.querySelector("[data-files]").files].map((file) => file.name);
    if (files.length) petition.file_names = files;
    const picker = row.querySelector("[data-case-picker]");
    petition.new_case_id = row.dataset.caseId;
    if (picker.dataset.id) Object.assign(petition, { joined_id: picker.dataset.id, joined_text: picker.value });
    delete petition.case_id;
    delete petition.joins_case;
  }
  return body;
}

/** Keeps or drops the draft in this browser, sealed to the person; returns whether somebody had unlocked it. */
function keepLocally(body, durability = "strict") {
  return body === null ? outbox.dropDraft(draft) : outbox.keepDraft(currentHere() || current(), draft, body, durability);
}

async function saveDraft() {
  if (isFinished || entry) return;
  const body = draftBody();
  const content = JSON.stringify(body);
  if (content === lastSaved) return;
  try {
    if (isApart) throw null;
    await send("PUT", `/drafts/${draft}`, { body });
    lastSaved = content;
    if (JSON.stringify(draftBody()) === content) await keepLocally(null);
    saved.textContent = t("Đã lưu nháp lúc {time}", { time: new Date().toLocaleTimeString("vi-VN", { hour: "2-digit", minute: "2-digit", timeZone: "Asia/Ho_Chi_Minh" }) });
    if (location.search !== `?draft=${draft}`) history.replaceState(null, "", `/visits/new?draft=${draft}`);
  } catch {
    if (!isApart) timer = setTimeout(saveDraft, 4 * SAVE_MS);
    try {
      const isKept = await keepLocally(body);
      saved.textContent = isKept ? t("Máy chủ không nhận; bản nháp được giữ trong trình duyệt này.") : t("Máy chủ không nhận, và trình duyệt này đang khóa: bản nháp chỉ còn trên trang này.");
    } catch (problem) {
      saved.textContent = t("Máy chủ không nhận, và trình duyệt này không giữ được bản nháp, có thể vì đầy bộ nhớ: bản nháp chỉ còn trên trang này.");
      console.error(problem);
    }
  }
}

async function dropDraft() {
  clearTimeout(timer);
  lastSaved = "";
  await keepLocally(null);
  if (!isApart) await send("DELETE", `/drafts/${draft}`);
}

async function loadDraft() {
  const who = await current();
  if (entryId && who) entry = await outbox.read(who, entryId);
  if (entry) {
    restore(formOf(entry));
    return;
  }
  const local = who && (await outbox.readDraft(who, draft));
  let remote = null;
  if (query.get("draft") && !isApart) {
    try {
      remote = await get(`/drafts/${draft}`);
    } catch (problem) {
      if (problem.status !== 404 && !local) throw problem;
    }
  }
  // A copy in this browser is there only while the node has not taken it: it is the newer one.
  const body = local || remote?.body;
  if (body) restore(body);
  if (local) changed();
}

/** Returns an entry of the outbox as the form takes it. */
function formOf({ body, files }) {
  const request = JSON.parse(body);
  if (request.petitions[0].case_type === SEALED) return request;
  const petitions = request.petitions.map(({ joins_case, case_id, ...rest }, place) => {
    const kept = files.filter((file) => file.place === place);
    const values = joins_case ? { ...rest, joined_id: case_id } : { ...rest, new_case_id: case_id };
    return kept.length ? { ...values, kept } : values;
  });
  return { ...request, petitions };
}

function restore(body) {
  visit = body.visit_id || visit;
  for (const name of ["held_on", "register_number", "place", "statement", "group_name", "people_count"]) {
    if (body[name] !== undefined) form.elements[name].value = body[name];
  }
  for (const name of ["kind", "readback"]) {
    const radio = form.querySelector(`[name="${name}"][value="${body[name] || ""}"]`);
    if (radio) radio.checked = true;
  }
  form.elements.statement_recorded.checked = Boolean(body.statement_recorded);
  if (body.people_count || body.group_name) showGroup(true);
  const first = body.petitions?.[0];
  if (first?.case_type === SEALED) {
    sealedIds = { id: first.id, case_id: first.case_id };
    for (const element of form.querySelectorAll("[data-sealed]")) {
      if (element.type === "radio") element.checked = element.value === first[element.name];
      else if (first[element.name]) element.value = first[element.name];
    }
    showSealed(true);
    return;
  }
  for (const kind of ["people", "petitions"]) {
    lists[kind].box.replaceChildren();
    for (const values of body[kind] || []) addRow(kind, values);
  }
}

// A denunciation: the rest of the form goes away, and with it what was typed.

function showSealed(on) {
  isSealed = on;
  document.getElementById("sealed").hidden = !on;
  for (const part of form.querySelectorAll("[data-open-only]")) part.hidden = on;
  for (const element of form.querySelectorAll('#sealed [name="envelope_number"], #sealed [name="sealed_ref"]')) {
    element.required = on;
  }
}

function clearOpenPart() {
  for (const kind of ["people", "petitions"]) {
    lists[kind].box.replaceChildren();
    addRow(kind);
  }
  for (const name of ["statement", "place", "group_name", "people_count"]) form.elements[name].value = "";
  form.elements.statement_recorded.checked = false;
  form.querySelector('[name="readback"][value=""]').checked = true;
}

const hasContent = () =>
  [...form.querySelectorAll("[data-open-only] input, [data-open-only] textarea")].some((element) =>
    !["checkbox", "radio", "file"].includes(element.type) && element.value.trim() !== "");

async function askForSeal() {
  clearTimeout(timer);
  if (hasContent()) {
    const dialog = document.getElementById("seal-question");
    dialog.returnValue = "no";
    dialog.showModal();
    await new Promise((resolve) => { dialog.addEventListener("close", resolve, { once: true }); });
    if (dialog.returnValue !== "yes") {
      changed();
      return;
    }
  }
  clearOpenPart();
  showSealed(true);
  form.elements.envelope_number.focus();
  try {
    await dropDraft();
  } catch {
    saved.textContent = t("Máy chủ không nhận; bản nháp được giữ trong trình duyệt này.");
  }
}

// Saving

function elementOf(name) {
  const [kind, index, field] = name.split(".");
  if (isSealed && kind === "petitions") return form.querySelector(`[data-sealed][name="${field}"]`);
  if (lists[kind]) {
    const row = lists[kind].box.children[Number(index || 0)];
    if (!row) return null;
    if (field === "case_type") return row.querySelector("[data-radio]");
    return row.querySelector(`[name="${field || "full_name"}"]`);
  }
  return form.elements[name] instanceof Element ? form.elements[name] : null;
}

function findMissing() {
  const wrong = [];
  const need = (element, message) => {
    if (element.value.trim() === "") wrong.push([element, message]);
  };
  if (!form.elements.held_on.validity.customError) need(form.elements.held_on, t("Chọn ngày tiếp."));
  if (isSealed) {
    need(form.elements.envelope_number, t("Ghi số phong bì."));
    need(form.elements.sealed_ref, t("Ghi mã tham chiếu."));
  } else {
    for (const row of lists.people.box.children) {
      need(row.querySelector('[name="full_name"]'), t("Ghi họ và tên."));
      const kind = row.querySelector('[name="identity_type"]');
      if (row.querySelector('[name="identity_number"]').value.trim()) need(kind, t("Chọn loại giấy tờ."));
    }
    for (const row of lists.petitions.box.children) {
      if (!row.querySelector("[data-radio]:checked")) wrong.push([row.querySelector("[data-radio]"), t("Chọn loại.")]);
      const joined = row.querySelector("[data-case-picker]").dataset.id;
      if (!joined) need(row.querySelector('[name="title"]'), t("Ghi một câu: chuyện gì."));
      const chooser = row.querySelector("[data-files]");
      const large = [...chooser.files].find((file) => file.size > BYTES_MAX);
      if (large) wrong.push([chooser, `${large.name}: ${tooLarge()}`]);
    }
  }
  for (const element of form.querySelectorAll("input, textarea")) {
    if (element.closest("[hidden]") || element.checkValidity() || wrong.some(([known]) => known === element)) continue;
    wrong.push([element, complaint(element)]);
  }
  const order = [...form.querySelectorAll("input, select, textarea")];
  wrong.sort((one, other) => order.indexOf(one[0]) - order.indexOf(other[0]));
  if (wrong.length) showWrong(form, wrong, [wrongText(wrong.length)]);
  return wrong.length > 0;
}

function save() {
  if (!form.dataset.ready || findMissing()) return;
  clearTimeout(timer);
  busy(form, async () => {
    const request = currentRequest();
    const rows = isSealed ? [] : [...lists.petitions.box.children];
    const files = rows.map((row) => [...row.querySelector("[data-files]").files]);
    const kept = rows.flatMap((row, place) => (row.kept || []).map((file) => ({ ...file, place })));
    if (isApart || entry) {
      await keep(request, files, kept);
      return;
    }
    let made;
    try {
      made = await send("POST", "/visits", request, `visit ${visit}`);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.code === "node_unreachable" && (await current())) {
        await keep(request, files, kept);
        return;
      }
      showProblem(form, problem, elementOf);
      await saveDraft();
      return;
    }
    const who = placed(files).length ? await current() : null;
    // Before the page says that it is registered: the files lie on this device until the node has them.
    if (who) await outbox.put(who, visit, JSON.stringify(request), placed(files), { answer: made, isQuiet: true });
    isFinished = true;
    showDone(request, made);
    await sendFiles(who, made, files);
  });
}

const placed = (files) => files.flatMap((chosenFiles, place) => chosenFiles.map((file) => ({ place, file })));

/** Puts the visit into the outbox of this device: under the ids of the form, so that it arrives once. */
async function keep(request, files, kept) {
  const who = await current();
  if (!who) throw new Problem(0, { code: "locked", message: t("Trình duyệt này đã khóa. Mở trang này ở thẻ khác, mở khóa bằng mật khẩu rồi bấm lưu lần nữa.") });
  await navigator.storage?.persist?.();
  await outbox.alone({}, () => outbox.put(who, visit, JSON.stringify(request), placed(files), { kept }));
  isFinished = true;
  showEnd("kept");
  await keepLocally(null);
  await pushLater();
  await push();
}

function showEnd(part) {
  form.hidden = true;
  document.querySelector(".drafts")?.remove();
  saved.textContent = "";
  const done = document.getElementById("done");
  for (const each of done.querySelectorAll("[data-part]")) each.hidden = each.dataset.part !== part;
  done.hidden = false;
  done.focus();
  window.scrollTo(0, 0);
}

const arrived = (file) => Object.assign(document.createElement("li"), { textContent: t("{name}: đã lưu.", { name: file.name }) });

function showDone(request, made) {
  const list = document.getElementById("made");
  made.case_ids.forEach((id, index) => {
    const link = document.createElement("a");
    link.className = "row";
    link.href = `/cases/${id}`;
    link.textContent = request.petitions[index].title || t("Mở vụ việc {n}", { n: index + 1 });
    const line = document.createElement("li");
    line.append(link);
    list.append(line);
  });
  showEnd("made");
  // The node has the visit; a draft of it that stays for a moment can be thrown away by hand.
  dropDraft().catch((problem) => say(problem.text || String(problem), "wrong"));
}

async function sendFiles(who, made, files) {
  const uploads = document.getElementById("uploads");
  if (who) {
    await push();
    if (!(await outbox.read(who, visit))) for (const { file } of placed(files)) uploads.append(arrived(file));
    return;
  }
  for (const [index, chosenFiles] of files.entries()) await uploadAll(uploads, made.case_ids[index], chosenFiles);
}

// Events

function showGroup(on) {
  document.getElementById("group").hidden = !on;
  form.querySelector("[data-show]").setAttribute("aria-expanded", String(on));
}

function addAndFocus(kind) {
  addRow(kind).querySelector(kind === "people" ? '[name="full_name"]' : "[data-radio]").focus();
}

form.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.add) addAndFocus(button.dataset.add);
  else if ("remove" in button.dataset) {
    const row = button.closest("[data-row]");
    const kind = lists.people.box.contains(row) ? "people" : "petitions";
    row.remove();
    renumber(kind);
    changed();
  } else if ("show" in button.dataset) showGroup(document.getElementById("group").hidden);
  else if ("seal" in button.dataset) askForSeal();
  else if ("unseal" in button.dataset) showSealed(false);
  else if ("discard" in button.dataset) {
    isFinished = true;
    dropDraft().then(() => location.assign("/"), (problem) => {
      isFinished = false;
      say(problem.text, "wrong");
    });
  }
});

document.addEventListener("click", async (event) => {
  const dropped = event.target.closest("[data-drop-draft]")?.dataset.dropDraft;
  if (!dropped) return;
  try {
    if (!isApart) await send("DELETE", `/drafts/${dropped}`);
    await outbox.dropDraft(dropped);
    document.querySelector(`[data-draft="${dropped}"]`).remove();
    await listLocalDrafts();
  } catch (problem) {
    say(problem.text, "wrong");
  }
});

function changed() {
  clearTimeout(timer);
  if (entry || isFinished) return;
  timer = setTimeout(saveDraft, SAVE_MS);
  // At once: the page may be closed in the middle of a word.
  if (isSealed || hasContent()) keepLocally(draftBody(), "relaxed");
}

form.addEventListener("input", changed);
form.addEventListener("change", (event) => {
  showHints(event.target.closest("[data-row]"));
  changed();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  save();
});
form.addEventListener("keydown", (event) => {
  // Enter in a line goes on to the next field: only the button or Ctrl+Enter saves.
  if (event.key !== "Enter" || event.ctrlKey || event.isComposing) return;
  const element = event.target;
  if (element.tagName !== "INPUT" && element.tagName !== "SELECT") return;
  event.preventDefault();
  const all = [...form.querySelectorAll("input, select, textarea, button")].filter((e) => e.offsetParent && !e.disabled && e.tabIndex >= 0);
  all[all.indexOf(element) + 1]?.focus();
});
document.addEventListener("keydown", (event) => {
  if (form.hidden) return;
  if (event.ctrlKey && event.key === "Enter") {
    event.preventDefault();
    save();
  } else if (event.altKey && !isSealed && event.code === "KeyN") {
    event.preventDefault();
    addAndFocus("people");
  } else if (event.altKey && !isSealed && event.code === "KeyP") {
    event.preventDefault();
    addAndFocus("petitions");
  }
});
/** Lists drafts that only this browser holds: its last letters never reached the node. */
async function listLocalDrafts() {
  document.querySelector(`[data-draft="${draft}"]`)?.remove();
  const who = await current();
  const ids = who ? await outbox.draftIds(who) : [];
  const alone = ids.filter((id) => id !== draft && !document.querySelector(`[data-draft="${id}"]`));
  for (const id of alone) {
    const line = document.getElementById("draft-line").content.firstElementChild.cloneNode(true);
    line.dataset.draft = id;
    line.querySelector("a").href = `/visits/new?draft=${id}`;
    line.querySelector("a").textContent = t("chỉ có trong trình duyệt này");
    line.querySelector("button").dataset.dropDraft = id;
    document.querySelector(".drafts ul").append(line);
  }
  const box = document.querySelector(".drafts");
  const count = box.querySelectorAll("li").length;
  box.hidden = count === 0;
  // What only this browser holds is always in sight, however long the list.
  box.open = alone.length > 0 || (count > 0 && count < 4);
  box.querySelector("b").textContent = count;
}

loadDraft().catch((problem) => say(problem.text || String(problem), "wrong")).finally(() => {
  if (!isSealed) {
    for (const kind of ["people", "petitions"]) if (!lists[kind].box.children.length) addRow(kind);
    // Whoever writes already is not led away; that this browser is locked stays in sight above the form.
    const first = form.querySelector('[name="full_name"]') || form.elements.held_on;
    if (!form.contains(document.activeElement)) first.focus({ preventScroll: !currentHere() });
  }
  listLocalDrafts().catch((problem) => say(String(problem), "wrong"));
  if (entry?.state === "refused" && entry.problem) showProblem(form, entry.problem, elementOf);
  form.dataset.ready = "1";
});
