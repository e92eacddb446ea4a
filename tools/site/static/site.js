// The bet on the first page answers at once; and where search finds less, it says so.
"use strict";

const bet = document.getElementById("bet");
if (bet) {
  bet.addEventListener("change", (event) => {
    for (const said of bet.querySelectorAll("#answer p")) said.hidden = said.dataset.for !== event.target.value;
  });
}

if (location.protocol === "file:" && document.getElementById("search-results")) {
  const told = document.createElement("p");
  told.className = "for-readers";
  told.textContent =
    "These pages were opened as files: the search names the pages that it finds, without the lines. Behind a web server it shows both.";
  document.getElementById("search-results").before(told);
}
