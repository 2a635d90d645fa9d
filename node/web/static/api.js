// Requests to the node. Every failure becomes a Problem with a stable code and a sentence.

import { t } from "./texts.js";

export class Problem extends Error {
  constructor(status, body) {
    super(body.message);
    this.status = status;
    this.code = body.code;
    this.hint = body.hint || "";
    this.fields = body.fields || [];
    this.retryAfter = body.retry_after_s;
  }

  /** What a person reads: the sentence, and below it what to do. */
  get text() {
    return this.hint ? `${this.message}\n${this.hint}` : this.message;
  }
}

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content || "";
export const user = meta("user");
export const documentId = meta("document");

function unreachable() {
  return new Problem(0, {
    code: "node_unreachable",
    message: t("Không kết nối được với máy chủ của cơ quan."),
    hint: t("Kiểm tra mạng nội bộ; những gì đã nhập vẫn còn trên trang này."),
  });
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    body = { code: `http_${response.status}`, message: t("Máy chủ trả lời không hiểu được.") };
  }
  if (response.status === 401 && body.code === "sign_in_needed" && location.pathname !== "/sign-in") {
    body.hint = t("Mở trang đăng nhập ở thẻ khác, đăng nhập rồi thử lại.");
  }
  return new Problem(response.status, body);
}

/** Sends JSON and returns the JSON answered; `key` makes a repeated request harmless. */
export async function send(method, path, body, key) {
  const headers = { "X-CSRF-Token": meta("csrf") };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  let response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    throw unreachable();
  }
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

export const get = (path) => send("GET", path);

/** Uploads a file to a document with progress from 0 to 1, and returns what was stored. */
export function upload(document_, file, key, onProgress) {
  const form = new FormData();
  form.append("file", file, file.name);
  return uploadTo(`/documents/${document_}/attachments`, form, key, onProgress);
}

/** Sends a form with files, with progress from 0 to 1, and returns the JSON answered. */
export function uploadTo(path, form, key, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1${path}`);
    request.setRequestHeader("X-CSRF-Token", meta("csrf"));
    if (key) request.setRequestHeader("Idempotency-Key", key);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      let body = {};
      try {
        body = JSON.parse(request.responseText);
      } catch {
        body = { code: `http_${request.status}`, message: t("Máy chủ trả lời không hiểu được.") };
      }
      if (request.status < 300) resolve(body);
      else reject(new Problem(request.status, body));
    });
    request.addEventListener("error", () => reject(unreachable()));
    request.send(form);
  });
}
