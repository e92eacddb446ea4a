// Runs a Python script under Pyodide in plain Node: node run.mjs '{"pyodide": ..., "packages": [...], "mounts": {...}, "script": ..., "arguments": [...]}'
import { pathToFileURL } from "node:url";

const asked = JSON.parse(process.argv[2]);
const { loadPyodide } = await import(pathToFileURL(`${asked.pyodide}/pyodide.mjs`).href);
const python = await loadPyodide({ indexURL: `${asked.pyodide}/`, fullStdLib: false });
const quiet = { messageCallback: () => {} };
await python.loadPackage(asked.packages, quiet);
for (const [inside, outside] of Object.entries(asked.mounts)) {
  python.FS.mkdirTree(inside);
  python.FS.mount(python.FS.filesystems.NODEFS, { root: outside }, inside);
}
python.globals.set("asked", python.toPy(asked));
try {
  await python.runPythonAsync(`
import os, sys, traceback
sys.path[:0] = list(asked["path"])
os.chdir(asked["folder"])
os.environ.update(asked["environment"])
sys.argv = [asked["script"], *asked["arguments"]]
_scope = {"__name__": "__main__", "__file__": asked["script"]}
try:
    with open(asked["script"]) as _file:
        _code = compile(_file.read(), asked["script"], "exec")
    exec(_code, _scope)
    _status = 0
except SystemExit as stopped:
    _status = stopped.code if isinstance(stopped.code, int) else 0 if stopped.code is None else 1
except BaseException:
    traceback.print_exc()
    _status = 1
sys.stdout.flush(), sys.stderr.flush()
`);
  process.exitCode = python.globals.get("_status");
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
process.exit(process.exitCode);
