// How the programs at the ends of the line are told what to do: a JSON line in, a JSON line out.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** Obeys `{"NAME": ARGUMENT}` lines, one after the other, until standard input ends. */
export async function obey(commands) {
  console.log("null");
  for await (const line of createInterface({ input: process.stdin })) {
    const [[name, argument]] = Object.entries(JSON.parse(line));
    const answer = await commands[name](argument);
    console.log(JSON.stringify(answer ?? null));
  }
  process.exit(0);
}

export function readCases(path) {
  if (!path) return [];
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

/** Waits for expected values; `value(id, field)` reads what is here now. */
export class Expectation {
  constructor(value) {
    this.value = value;
    this.missing = new Map();
    this.arrived = Promise.resolve();
  }

  expect(edits) {
    this.missing = new Map(edits.map((edit) => [edit.id, edit]));
    this.arrived = new Promise((resolve) => (this.resolve = resolve));
  }

  look(id) {
    const edit = this.missing.get(id);
    if (edit === undefined || this.value(id, edit.field) !== edit.value) return;
    this.missing.delete(id);
    if (this.missing.size === 0) this.resolve();
  }
}
