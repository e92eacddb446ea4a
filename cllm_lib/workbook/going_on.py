"""A chapter without what some of its cells need: each of these says in one sentence what is missing, and the chapter goes on.

That is a model that was not fetched, or, in a browser, all that a page cannot have, such as threads. An error would stop Run
All at the first of these cells, and those that need nothing of it would not run either.
"""

import ast
import builtins
import dis
import sys
import types

from cllm_lib.browser import NO_THREADS, NotInABrowser

STANDS_STILL = "a cell that needs more stands still here"


class Missing:
    """What stands where something could not be loaded; `sentence` says how to get it."""

    def __init__(self, sentence):
        self.sentence = sentence

    def __repr__(self):
        return self.sentence


def or_go_on(load, *arguments, **named):
    """Load what a chapter is about, or let the chapter go on without it.

    Parameters
    ----------
    load : callable
        Such as `load_chat_model`.
    *arguments, **named
        Handed on to it.

    Returns
    -------
    object
        What was loaded. In a notebook where it is missing, a :class:`Missing`: a cell that uses it, or a name that such a cell would
        have made, then prints its sentence in place of running.

    Raises
    ------
    FileNotFoundError
        If it is missing, and this is no notebook.
    """
    try:
        return load(*arguments, **named)
    except FileNotFoundError as error:
        shell = _shell()
        if shell is None:
            raise
        _skipping(shell)
        print(_sentence(error))
        return Missing(_sentence(error))


def go_on_in_a_browser():
    """What a browser's page cannot have ends a cell with one sentence in place of an error, and the notebook goes on.

    What the cell had no time to make is :class:`Missing` from then on.
    """
    shell = _shell()
    if shell is not None:
        _skipping(shell)
        shell.set_custom_exc((NotInABrowser, RuntimeError), _told)


def _told(shell, kind, error, traceback, tb_offset=None):
    """Whatever else was raised is shown as ever."""
    if isinstance(error, RuntimeError):
        if "start new thread" not in str(error):
            return shell.showtraceback((kind, error, traceback), tb_offset=tb_offset, running_compiled_code=True)
        error = f"{NO_THREADS}: {STANDS_STILL}"
    print(_sentence(error))
    unmade = _skipping(shell).makes - shell.user_ns.keys()
    shell.user_ns.update(dict.fromkeys(unmade, Missing(_sentence(error))))


def _sentence(error):
    """An error's text as a sentence."""
    return f"{str(error)[0].upper()}{str(error)[1:]}."


def _skipping(shell):
    """The one that looks through a notebook's cells."""
    for one in shell.ast_transformers:
        if isinstance(one, Skipping):
            return one
    shell.ast_transformers.append(Skipping(shell.user_ns))
    return shell.ast_transformers[-1]


def _shell():
    """The notebook's, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


class Skipping(ast.NodeTransformer):
    """Puts a printed sentence in place of a cell that uses what is missing; its imports stay.

    Parameters
    ----------
    names : dict
        The notebook's. Those that the cell would have made become missing as well.

    Attributes
    ----------
    makes : set of str
        The names that the cell makes which was looked at last.
    """

    def __init__(self, names):
        self.names, self.makes = names, set()

    def visit_Module(self, cell):
        """A cell as it will run."""
        self.makes = made_by(cell.body)
        missing = [self.names[name] for name in sorted(needed_by(cell.body)) if isinstance(self.names.get(name), Missing)]
        if not missing:
            return cell
        kept = [statement for statement in cell.body if isinstance(statement, ast.Import | ast.ImportFrom)]
        left_out = [statement for statement in cell.body if statement not in kept]
        self.names.update(dict.fromkeys(made_by(left_out), missing[0]))
        (said,) = ast.parse(f"print({missing[0].sentence!r})").body
        return ast.fix_missing_locations(ast.Module([*kept, ast.copy_location(said, left_out[0])], cell.type_ignores))


def needed_by(statements):
    """The names that statements load before they have made them, as Python compiles them; within functions, those they never make.

    Returns
    -------
    set of str
    """
    code = compile(ast.Module(statements, []), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    at_once, later, made = set(), set(), set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            made.add(step.argval)
        elif step.opname == "LOAD_NAME" and step.argval not in made:
            at_once.add(step.argval)
        elif isinstance(step.argval, types.CodeType):
            later |= _globals_of(step.argval)
    return at_once | (later - made)


def _globals_of(code):
    """The global names that a function loads, those within it too."""
    steps = list(dis.get_instructions(code))
    inner = [_globals_of(step.argval) for step in steps if isinstance(step.argval, types.CodeType)]
    return {step.argval for step in steps if step.opname == "LOAD_GLOBAL"}.union(*inner)


def made_by(statements):
    """The names that statements bind, those within functions and classes left out.

    Returns
    -------
    set of str
    """
    found, left = set(), list(statements)
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            left += ast.iter_child_nodes(node)
    return found - set(dir(builtins))
