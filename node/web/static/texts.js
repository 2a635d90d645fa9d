// Texts of the scripts: Vietnamese as written, other languages from the page.

const translated = JSON.parse(document.getElementById("texts").textContent || "{}");

/** Returns a text in the page's language with {values} put in. */
export function t(text, values = {}) {
  return (translated[text] || text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
