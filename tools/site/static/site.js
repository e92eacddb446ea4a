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
  frame.scrollIntoView({ block: "nearest" }); // START is in it
  frame.focus();
});

// A picture opens over the page, twice as wide as a phone: a finger or the arrow keys move it, Escape closes it.
const pictures = document.querySelectorAll("a.larger");
if (pictures.length && window.HTMLDialogElement) {
  const view = document.createElement("dialog");
  view.className = "picture";
  view.ariaLabel = "The picture, larger";
  view.innerHTML = '<form method="dialog"><span></span><button class="run-button">Close</button></form><div tabindex="0" role="group" aria-label="To be scrolled"><img></div><p></p>';
  document.body.append(view);
  const [image, words, window_, hint] = ["img", "p", "div", "span"].map((name) => view.querySelector(name));
  view.addEventListener("click", (event) => event.target === view && view.close());
  // A phone's way back leads from the picture to the page, and not from the page.
  addEventListener("popstate", () => view.close());
  view.addEventListener("close", () => history.state === "picture" && history.back());
  for (const link of pictures) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab or a window of its own
      event.preventDefault();
      image.src = link.href;
      image.alt = words.textContent = link.querySelector("img").alt;
      view.showModal();
      history.pushState("picture", "");
      window_.scrollTo(0, 0);
      hint.textContent = window_.scrollWidth > window_.clientWidth ? "It goes on at the right." : "";
    });
  }
}

// Sphinx takes Escape for itself, to end the marking of what was searched; what lies over the page needs it to close.
for (const layer of document.querySelectorAll("dialog")) {
  layer.addEventListener("keydown", (event) => event.key === "Escape" && event.stopPropagation());
}

// The theme takes the focus from its buttons when they are pressed: whoever presses them by keyboard would begin anew at the top.
for (const button of document.querySelectorAll(".theme-switch-button, .search-button, .sidebar-toggle")) button.blur = () => {};
const colours = document.querySelector(".theme-switch-container");
colours?.addEventListener("click", (event) => {
  if (event.target.closest(".theme-change-button")) colours.querySelector(".theme-switch-button").focus();
});

// On a narrow screen menu and contents lie over the page: they close by a button, and when a place of the page was chosen.
for (const panel of document.querySelectorAll("dialog[id$='-sidebar-modal']")) {
  const close = document.createElement("button");
  close.className = "close-panel btn";
  close.textContent = "×";
  close.ariaLabel = "Close";
  close.addEventListener("click", () => panel.close());
  panel.append(close);
  panel.addEventListener("click", (event) => event.target.closest("a[href^='#']") && panel.close());
}

// What the search shows of a page begins with its text, not with its buttons; a page without a place in it opens where the word is.
if (typeof Search !== "undefined" && document.getElementById("search-results")) {
  const textOf = Search.htmlToText;
  Search.htmlToText = (page, anchor) => textOf(page.replace(/<div class="bd-header-article[^]*?(?=<article)/, ""), anchor);
  Documentation.addTranslations({
    locale: "en",
    plural_expr: "n != 1",
    messages: {
      "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
        "No page has this. Another form of the word may help, or the glossary, which has many words by several names.",
    },
  });
  document.getElementById("search-results").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    const asked = new URLSearchParams(location.search).get("q");
    if (link && asked && !link.hash) link.href += `#:~:text=${encodeURIComponent(asked)}`;
  });
}

if (location.protocol === "file:" && document.getElementById("search-results")) {
  const told = document.createElement("p");
  told.className = "for-readers";
  told.textContent =
    "These pages were opened as files: the search names the pages that it finds, without the lines. Behind a web server it shows both.";
  document.getElementById("search-results").before(told);
}
