// On the first page the bet answers at once, and the dashboard opens in its place; and where search finds less, it says so.
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

if (location.protocol === "file:" && document.getElementById("search-results")) {
  const told = document.createElement("p");
  told.className = "for-readers";
  told.textContent =
    "These pages were opened as files: the search names the pages that it finds, without the lines. Behind a web server it shows both.";
  document.getElementById("search-results").before(told);
}
