/* What htmx leaves to do: say when a page that updates itself no longer does, and spare hidden tabs. */
"use strict";
const stale = (yes) => document.documentElement.classList.toggle("stale", yes);
document.addEventListener("htmx:error", () => stale(true));
document.addEventListener("htmx:response:error", () => stale(true));
document.addEventListener("htmx:after:swap", () => stale(false));
document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden) event.preventDefault();
});
