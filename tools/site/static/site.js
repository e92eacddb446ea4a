// On the first page the bet answers at once, and the dashboard opens in its place; pictures open larger; the theme's buttons
// keep the focus; and where search finds less, it says so.
"use strict";

const bet = document.getElementById("bet");
if (bet) {
  bet.addEventListener("change", (event) => {
    for (const said of bet.querySelectorAll("#answer p")) said.hidden = said.dataset.for !== event.target.value;
  });
}

// The link opens the dashboard on a page of its own; the first time it comes into this page instead.
document.querySelector("#dashboard a")?.addEventListener("click", (event) => {
  if (event.target.parentElement.querySelector("iframe")) return;
  event.preventDefault();
  const frame = document.createElement("iframe");
  frame.title = "The training dashboard";
  frame.src = event.target.href + (document.documentElement.dataset.theme === "dark" ? "&theme=JupyterLab%20Dark" : "");
  event.target.textContent = "Open it on a page of its own";
  event.target.after(frame);
  frame.focus();
});

// A picture opens over the page, twice as wide as a phone: a finger or the arrow keys move it, Escape closes it.
const pictures = document.querySelectorAll("a.larger");
if (pictures.length && window.HTMLDialogElement) {
  const view = document.createElement("dialog");
  view.className = "picture";
  view.ariaLabel = "The picture, larger";
  view.innerHTML = '<form method="dialog"><button class="run-button">Close</button></form><div tabindex="0" role="group" aria-label="To be scrolled"><img></div><p></p>';
  document.body.append(view);
  const [image, words] = [view.querySelector("img"), view.querySelector("p")];
  view.addEventListener("click", (event) => event.target === view && view.close());
  for (const link of pictures) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab or a window of its own
      event.preventDefault();
      image.src = link.href;
      image.alt = words.textContent = link.querySelector("img").alt;
      view.showModal();
    });
  }
}

// The theme takes the focus from its buttons when they are pressed: whoever presses them by keyboard would begin anew at the top.
for (const button of document.querySelectorAll(".theme-switch-button, .search-button, .sidebar-toggle")) button.blur = () => {};
const colours = document.querySelector(".theme-switch-container");
colours?.addEventListener("click", (event) => {
  if (event.target.closest(".theme-change-button")) colours.querySelector(".theme-switch-button").focus();
});

if (location.protocol === "file:" && document.getElementById("search-results")) {
  const told = document.createElement("p");
  told.className = "for-readers";
  told.textContent =
    "These pages were opened as files: the search names the pages that it finds, without the lines. Behind a web server it shows both.";
  document.getElementById("search-results").before(told);
}
