// What every panel of the workbook has in the page, beside its widgets: names for the handles of sliders, which have none of
// their own for a screen reader, and a sentence when the kernel is gone, for nothing that is pressed then is heard. And what a
// button makes is brought into view, where the page ends above it.

const DEAD = "This panel is dead: its kernel was restarted. Run this cell again.";
const SILENT =
  "No answer yet: Python is busy, and hears you when it is done. If its kernel was restarted, it hears nothing: run this cell again.";

/** Give each handle the name of its slider, and in place of a stop's number the words beside it. */
export function nameHandles(panel) {
  for (const handle of panel.querySelectorAll(".noUi-handle")) {
    const slider = handle.closest(".widget-inline-hbox");
    const [label, readout] = [".widget-label", ".widget-readout"].map((name) => slider?.querySelector(name)?.textContent);
    if (label) handle.setAttribute("aria-label", label);
    if (readout) handle.setAttribute("aria-valuetext", readout);
  }
}

function render({ model, el }) {
  let asked = 0;
  let timer = null;
  let awaited = false;
  let pressed = null;
  const sentence = document.createElement("div");
  sentence.setAttribute("role", "alert");
  sentence.style.fontWeight = "bold";
  sentence.hidden = true;
  el.append(sentence);

  function say(words) {
    if (sentence.textContent === words) return;
    sentence.textContent = words;
    sentence.hidden = !words;
  }

  function ask(event) {
    awaited ||= event.target.closest(".cllm-draws") !== null;
    pressed = event.target.closest("button");
    if (!pressed || timer !== null) return;
    asked += 1;
    model.send({ asked });
    timer = setTimeout(() => {
      timer = null;
      if (sentence.textContent !== DEAD) say(SILENT);
    }, model.get("patience"));
  }

  function hear() {
    clearTimeout(timer);
    timer = null;
    say("");
  }

  // START cannot be pressed twice: who pressed it by keyboard goes on beside it, and not at the top of the page.
  function keepFocus(panel) {
    const elsewhere = document.activeElement !== pressed && panel.contains(document.activeElement);
    if (!pressed?.disabled || elsewhere) return;
    const beside = pressed.parentElement.querySelector("button:not(:disabled)");
    if (beside === null) return; // it comes a moment later
    pressed = null;
    beside.focus({ preventScroll: true });
  }

  function bringIntoView(drawn) {
    if (!awaited || !drawn.every((one) => one.querySelector("svg, p"))) return; // once all of it is there: what comes later would push it
    awaited = false;
    for (const one of drawn) one.scrollIntoView({ block: "nearest" });
  }

  const observer = new MutationObserver(() => {
    const panel = el.closest(".cllm-panel");
    if (panel === null) return;
    nameHandles(panel);
    keepFocus(panel);
    bringIntoView([...panel.querySelectorAll(".cllm-drawn")]);
    if (panel.classList.contains("jupyter-widgets-disconnected")) say(DEAD);
  });

  const MOVES = ["pointerdown", "keydown"]; // whoever does something since is not brought back
  const forget = () => (pressed = null);
  for (const kind of MOVES) document.addEventListener(kind, forget, true);

  let panel = null;
  const waiting = setInterval(() => {
    panel = el.closest(".cllm-panel"); // not before both are in the page
    if (panel === null) return;
    clearInterval(waiting);
    nameHandles(panel);
    observer.observe(panel, { attributes: true, attributeFilter: ["class", "disabled"], subtree: true, childList: true, characterData: true });
    panel.addEventListener("click", ask);
  }, 100);

  model.on("msg:custom", hear);
  return () => {
    clearInterval(waiting);
    clearTimeout(timer);
    observer.disconnect();
    for (const kind of MOVES) document.removeEventListener(kind, forget, true);
    panel?.removeEventListener("click", ask);
    model.off("msg:custom", hear);
  };
}

export default { render };
