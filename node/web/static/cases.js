// Filters: an untouched one stays out of the address, and a choice is applied at once.

const form = document.getElementById("filters");

function apply() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value && !(name === "order" && value === "changed")) query.set(name, value);
  }
  location.assign(`/cases${query.size ? `?${query}` : ""}`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  apply();
});
form.addEventListener("change", (event) => {
  if (event.target.tagName === "SELECT") apply();
});
