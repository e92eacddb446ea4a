// How far Python is: its files fetched, its kernel started. On the start page on demand, in a chapter by itself.
"use strict";

const cllm = (() => {
  const root = new URL(".", document.currentScript.src);
  const runtime = new URL("static/pyodide/", root);

  const megabytes = (bytes) => Math.round(bytes / 1e6);

  // Fetch what the kernel will ask for, so that it finds it in the browser's cache; say after each piece how far it is.
  async function fetchPython(say) {
    const sizes = await (await got(new URL("sizes.json", runtime))).json();
    const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    let done = 0;
    for (const name of Object.keys(sizes)) {
      const reader = (await got(new URL(name, runtime))).body.getReader();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        done += piece.value.length;
        if (megabytes(done) > megabytes(done - piece.value.length) || done === total) say(done, total);
      }
    }
  }

  async function got(address) {
    const answer = await fetch(address).catch(() => null);
    if (!answer || !answer.ok) throw new Error(`${address.pathname.split("/").pop()} could not be fetched.`);
    return answer;
  }

  // In a chapter

  const SHEET = `
    #cllm-progress { position: fixed; left: 0; right: 0; bottom: 0; z-index: 10000; display: flex; gap: 1em; align-items: center;
      padding: 0.5em 1em; background: #fff; color: #1b1b1b; border-top: 1px solid #888; font: 14px/1.4 system-ui, sans-serif; }
    #cllm-progress progress { flex: 1; max-width: 30em; accent-color: #0b57b0; }
    @media (prefers-color-scheme: dark) { #cllm-progress { background: #16181b; color: #e8e8e8; } }`;

  // A wheel that turns while Python computes is painted sixty times a second, by the processor where nothing else paints, and
  // Python waits for the processor: beside a start it took a fifth of what the browser spent. It stands still; words say "busy".
  const STILL = ".jp-KernelStatus-spinner { animation: none !important; }";

  const BACK = `
    #cllm-back { position: absolute; top: 0; right: 0; z-index: 10; padding: 0 1em; background: var(--jp-layout-color1);
      color: var(--jp-content-link-color); font: 14px/28px system-ui, sans-serif; text-decoration: underline; }`;

  function addSheet(text) {
    const sheet = document.createElement("style");
    sheet.textContent = text;
    document.head.append(sheet);
  }

  function strip() {
    const made = document.createElement("div");
    made.id = "cllm-progress";
    made.innerHTML = '<span role="status"></span><progress max="1" aria-label="Python is getting ready"></progress><span></span>';
    addSheet(SHEET);
    document.body.append(made);
    const [stage, bar, detail] = made.children;
    return {
      say(words, share, more = "") {
        if (stage.textContent !== words) stage.textContent = words; // a screen reader says it once
        bar.value = share;
        if (detail.textContent !== more) detail.textContent = more;
      },
      end() {
        made.remove();
      },
    };
  }

  function kernelStatus() {
    const shown = window.jupyterapp?.shell?.currentWidget;
    return (shown?.sessionContext ?? shown?.context?.sessionContext)?.session?.kernel?.status;
  }

  // A console that runs code by itself shows what that made, and asks for no more: a prompt would take the focus from it.
  const runsCode = new URLSearchParams(location.search).has("code");
  // How far it is stands above: of a frame in another page the lower end may be out of sight.
  const CONSOLE = `
    .jp-CodeConsole-input, .jp-CodeConsole-split > .lm-SplitPanel-handle, .jp-InputPrompt, .jp-OutputPrompt,
    .jp-OutputArea-promptOverlay { display: none !important; }
    .jp-CodeConsole-content { height: 100% !important; }
    #cllm-progress { inset: 0 0 auto !important; }
    .jp-CodeConsole .jp-Cell-inputWrapper, #jp-bottom-panel { display: none !important; }
    .cllm-panel :focus-visible { outline: 3px solid currentColor !important; outline-offset: 1px; }`;

  // A console shows its lower end; this one is read from above, until the reader moves it.
  function fromAbove() {
    const back = (event) => (event.target.scrollTop = 0);
    addEventListener("scroll", back, true);
    for (const kind of ["pointerdown", "wheel", "keydown", "touchstart"]) {
      addEventListener(kind, () => removeEventListener("scroll", back, true), true);
    }
  }

  // A console takes each Enter for its prompt, also one that is pressed on a button of what it shows.
  function spareEnter(event) {
    if (event.key === "Enter" && event.target.closest?.(".jp-OutputArea-output")) event.stopPropagation();
  }

  // At the first click the console takes the focus, and would scroll: the button would be gone before the click is done.
  const focus = HTMLElement.prototype.focus;
  function focusInPlace(options) {
    focus.call(this, { ...options, preventScroll: true });
  }

  // It is there when the code has shown something; a chapter when its kernel can be asked.
  function isReady() {
    if (runsCode) return document.querySelector(".jp-OutputArea-output");
    return ["idle", "busy"].includes(kernelStatus());
  }

  async function untilReady() {
    const began = performance.now();
    const line = strip();
    let fetching = true;
    const fetched = fetchPython((done, total) => {
      if (fetching) line.say("Fetching Python", done / total, `${megabytes(done)} of ${megabytes(total)} MB`);
    });
    try {
      await fetched;
    } catch (error) {
      line.say(`${error.message} Is the server still running? Load the page again to go on.`, 0);
      return;
    }
    fetching = false;
    while (!isReady()) {
      const seconds = Math.round((performance.now() - began) / 1000);
      line.say("Starting Python, half a minute to a minute; you can read meanwhile", 1, `${seconds} s`); // a bar that moves would slow it
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    document.documentElement.dataset.cllmPython = "ready";
    line.end();
  }

  function fileWarning() {
    document.body.innerHTML =
      '<p role="alert" style="max-width: 40em; margin: 4em auto; font: 18px/1.5 system-ui">This page was opened as a file, and a browser ' +
      "lets no Python run in a file. It needs the small server that came with it: <code>python3 serve.py</code> (Windows: " +
      "<code>py serve.py</code>). Then open the address that it says. Without serve.py, any web server does: <code>python3 -m " +
      'http.server</code> in this folder. <a href="javascript:history.back()">Back</a></p>';
  }

  // On a phone the list of files would leave no room for the chapter.
  async function closeList() {
    const pause = () => new Promise((resolve) => setTimeout(resolve, 200));
    while (!window.jupyterapp?.restored) await pause();
    await window.jupyterapp.restored;
    const shell = window.jupyterapp.shell;
    for (let closed = 0, tries = 0; innerWidth < 760 && closed < 2 && tries < 75; tries++) {
      if (!shell.leftCollapsed) {
        shell.collapseLeft();
        closed += 1; // it opens once more when it has read its folder
      }
      await pause();
    }
  }

  // A way back, to the page that led here where that is the book's own, or to the start page.
  async function addWayBack() {
    while (!document.getElementById("jp-top-panel")) await new Promise((resolve) => setTimeout(resolve, 200));
    addSheet(BACK);
    const led = document.referrer;
    const link = document.createElement("a");
    link.id = "cllm-back";
    link.textContent = "Back to the book";
    link.href = led.startsWith(location.origin) && !led.startsWith(new URL("lab/", root).href) ? led : new URL("index.html", root).href;
    document.getElementById("jp-top-panel").append(link);
  }

  // The address names the chapter that is shown, so that a page that is loaded once more opens it again.
  function nameChapter() {
    const path = window.jupyterapp?.shell?.currentWidget?.context?.path;
    if (path && new URLSearchParams(location.search).get("path") !== path) {
      history.replaceState(null, "", `${location.pathname}?path=${encodeURIComponent(path)}`);
    }
  }

  if (document.body.dataset.notebook) {
    addSheet(STILL);
    if (runsCode) {
      addSheet(CONSOLE);
      document.addEventListener("keydown", spareEnter, true);
      HTMLElement.prototype.focus = focusInPlace;
      fromAbove();
    } else {
      closeList();
      addWayBack();
      setInterval(nameChapter, 1000);
    }
    location.protocol === "file:" ? fileWarning() : untilReady();
  }
  return { fetchPython, megabytes };
})();
