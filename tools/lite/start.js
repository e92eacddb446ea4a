// The start page: what a file cannot do, and Python's files on demand.
"use strict";

if (location.protocol === "file:") document.getElementById("needs-server").hidden = false;

document.getElementById("fetch").addEventListener("click", async (event) => {
  const [button, said, bar] = [event.target, document.getElementById("fetched"), document.getElementById("bar")];
  button.disabled = true;
  bar.hidden = false;
  said.textContent = "Fetching Python.";
  try {
    await cllm.fetchPython((done, total) => {
      bar.value = done / total;
      button.textContent = `${cllm.megabytes(done)} of ${cllm.megabytes(total)} MB`;
    });
    button.textContent = "Python is here";
    said.textContent = "Fetched: a chapter now opens without waiting for the network.";
  } catch (error) {
    button.textContent = "Try again";
    button.disabled = false;
    said.textContent = `${error.message} Is the server still running?`;
  }
});
