// How the search ranks what it finds. Sphinx's own numbers, but for the glossary: who looks for a word is shown the word's own place
// before the page that it stands on; and a chapter that has it in its title before the library.
var Scorer = {
  score: ([page, , anchor, , score, , kind]) => {
    if (page === "docs/GLOSSARY") return anchor ? score + (kind === "title" ? 60 : 50) : score - 50;
    return page.startsWith("notebooks/") && kind === "title" ? score + 20 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
