"""A chapter without the model it is about: each cell that needs it says in one sentence how to get it, and the chapter goes on.

An error would stop Run All at the first of these cells, and what needs no model would not run either.
"""

import ast
import builtins
import sys


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
        sentence = f"{str(error)[0].upper()}{str(error)[1:]}."
        if not any(isinstance(one, Skipping) for one in shell.ast_transformers):
            shell.ast_transformers.append(Skipping(shell.user_ns))
        print(sentence)
        return Missing(sentence)


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
    """

    def __init__(self, names):
        self.names = names

    def visit_Module(self, cell):
        """A cell as it will run."""
        used = {node.id for node in ast.walk(cell) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        missing = [self.names[name] for name in sorted(used) if isinstance(self.names.get(name), Missing)]
        if not missing:
            return cell
        kept = [statement for statement in cell.body if isinstance(statement, ast.Import | ast.ImportFrom)]
        left_out = [statement for statement in cell.body if statement not in kept]
        self.names.update(dict.fromkeys(made_by(left_out), missing[0]))
        (said,) = ast.parse(f"print({missing[0].sentence!r})").body
        return ast.fix_missing_locations(ast.Module([*kept, ast.copy_location(said, left_out[0])], cell.type_ignores))


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
