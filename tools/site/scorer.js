// How the search ranks what it finds. Sphinx's own numbers, but for the glossary: who looks for a word is shown the word's own place
// before the page that it stands on, and no page twice because of it.
var Scorer = {
  score: ([page, , anchor, , score, , kind]) =>
    page !== "docs/GLOSSARY" ? score : !anchor ? score - 50 : score + (kind === "title" ? 60 : 50),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
