"""Solutions with one slip in them: what a check compares a wrong answer with, and what tests hand to the checks."""

import ast
import copy
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Slip:
    """One step away from a solution.

    Attributes
    ----------
    kind : str
        Such as "sign" or "axis".
    right, wrong : str
        What the solution has, and what stands there instead; `wrong` is empty where a line was left out.
    source : str
        The whole solution with the slip in it.
    """

    kind: str
    right: str
    wrong: str
    source: str

    def __str__(self):
        if not self.wrong:
            return f"it does what the solution does without its line `{self.right}`."
        return f"it does what the solution does with `{self.wrong}` in place of `{self.right}` ({self.kind})."


def slips(source) -> Iterator[Slip]:
    """All that is one step away from a piece of Python, a step at a time."""
    tree = ast.parse(textwrap.dedent(source))
    seen = {ast.unparse(tree)}
    nodes = list(ast.walk(tree))
    places = {id(node): place for place, node in enumerate(nodes)}
    above = {id(child): node for node in nodes for child in ast.iter_child_nodes(node)}
    for place, node in enumerate(nodes):
        told = node
        while isinstance(told, _TOO_SMALL) or isinstance(above.get(id(told)), ast.Attribute | ast.keyword):
            told = above[id(told)]  # from a number to what it stands in
        for kind, changed in _changes(node):
            other = _with(tree, place, changed)
            text = ast.unparse(ast.fix_missing_locations(other))
            if text not in seen:
                seen.add(text)
                # `ast.walk` goes level by level: what stands above a node keeps its place
                wrong = changed if told is node else list(ast.walk(other))[places[id(told)]]
                yield Slip(kind, _line(told), "" if isinstance(changed, ast.Pass) else _line(wrong), text)


_TOO_SMALL = (ast.Constant, ast.Name, ast.Attribute, ast.Slice, ast.keyword, ast.UnaryOp, ast.comprehension, ast.operator, ast.arguments)


def _with(tree, place, changed):
    """A copy of the tree with another node at a place in the order of `ast.walk`."""
    other = copy.deepcopy(tree)
    old = list(ast.walk(other))[place]

    class Put(ast.NodeTransformer):
        def visit(self, node):
            return changed if node is old else self.generic_visit(node)

    changed = copy.deepcopy(changed)
    return Put().visit(other)


def _line(node):
    """A node in one line."""
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())


def _like(node, **fields):
    """A copy of a node with some of its parts exchanged."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _changes(node):
    """What may stand in place of a node: pairs of a kind and another node."""
    change = _CHANGES.get(type(node))
    if change:
        yield from change(node)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.For | ast.If):
        yield "a line left out", ast.Pass()


# Operators

_OTHER_OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add, ast.MatMult),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Pow: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.MatMult: (ast.Mult,),
    ast.BitOr: (ast.BitAnd, ast.Sub),
}
_SIGN = {ast.Add, ast.Sub}


def _binary(node):
    kind = type(node.op)
    for other in _OTHER_OPERATORS.get(kind, ()):
        yield "sign" if kind in _SIGN else "operator", _like(node, op=other())
    for side in ("left", "right"):
        yield "a part missing", getattr(node, side)
    if kind not in (ast.Add, ast.Mult):
        yield "two sides exchanged", _like(node, left=node.right, right=node.left)
    if kind is ast.Sub:
        yield "sign", ast.UnaryOp(ast.USub(), node)
    if kind is ast.MatMult:
        for side in ("left", "right"):
            yield "transpose", _like(node, **{side: ast.Attribute(getattr(node, side), "T", ast.Load())})


def _unary(node):
    kind = {ast.USub: "sign", ast.Not: "condition turned round", ast.Invert: "condition turned round"}.get(type(node.op))
    if kind and not isinstance(node.operand, ast.Constant):
        yield kind, node.operand


_OTHER_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


def _compare(node):
    for other in _OTHER_COMPARISONS[type(node.ops[0])]:
        yield "comparison", _like(node, ops=[other(), *node.ops[1:]])


def _boolean(node):
    yield "and, or", _like(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for value in node.values:
        yield "a part missing", value


# Numbers, indices, names of arguments


def _constant(node):
    value = node.value
    if isinstance(value, bool):
        yield "True, False", ast.Constant(not value)
    elif isinstance(value, int):
        yield from (("number", _number(other)) for other in (value + 1, value - 1))
    elif isinstance(value, float):
        others = (2 * value, value / 2) if 0 < abs(value) < 1e-3 else (2 * value, value / 2, value + 1.0)  # nobody adds 1 to a tolerance
        yield from (("number", _number(other)) for other in others)


def _number(value):
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def _off_by_one(node):
    for operator in (ast.Add(), ast.Sub()):
        yield "off by one", ast.BinOp(node, operator, ast.Constant(1))


def _slice(node):
    for end in ("lower", "upper", "step"):
        bound = getattr(node, end)
        if bound is None:
            continue
        yield "a bound of the slice missing", _like(node, **{end: None})
        if not isinstance(bound, ast.Constant):
            yield from ((kind, _like(node, **{end: other})) for kind, other in _off_by_one(bound))


def _subscript(node):
    if isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Slice):
        yield "a slice missing", node.value
    elif isinstance(node.slice, ast.Name | ast.BinOp) and isinstance(node.ctx, ast.Load):
        yield from ((kind, _like(node, slice=other)) for kind, other in _off_by_one(node.slice))
    elif isinstance(node.slice, ast.Tuple) and len(node.slice.elts) == 2:
        yield "indices exchanged", _like(node, slice=_like(node.slice, elts=node.slice.elts[::-1]))


_OTHER_AXES = {-1: (0, -2, None), 0: (1, -1, None), 1: (0, None), -2: (-1, None)}


def _keywords(node):
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is None:
            continue
        rest = node.keywords[:place] + node.keywords[place + 1 :]
        yield f"without {keyword.arg}", _like(node, keywords=rest)
        if keyword.arg == "axis":
            for axis in _OTHER_AXES.get(ast.literal_eval(keyword.value), ()):
                value = ast.Constant(None) if axis is None else _number(axis)
                yield "axis", _like(node, keywords=[*node.keywords[:place], ast.keyword("axis", value), *node.keywords[place + 1 :]])


# Calls

_OTHER_FUNCTIONS = {
    "mean": ("sum", "max"),
    "sum": ("mean", "max"),
    "max": ("min", "sum"),
    "min": ("max",),
    "maximum": ("minimum",),
    "minimum": ("maximum",),
    "log": ("log2", "log10", "log1p"),
    "log2": ("log", "log10"),
    "exp": ("exp2", "expm1"),
    "cos": ("sin",),
    "sin": ("cos",),
    "tanh": ("sin",),
    "gcd": ("lcm",),
    "lcm": ("gcd",),
    "std": ("var",),
    "zeros": ("ones",),
    "zeros_like": ("ones_like",),
    "ones": ("zeros",),
    "endswith": ("startswith",),
    "standard_normal": ("random",),
    "tri": ("eye", "ones"),
    "round": ("int",),
    "all": ("any",),
    "any": ("all",),
}
_WITHOUT = {  # functions that one may forget: what is left is the argument, or what the method belongs to
    "sqrt",
    "abs",
    "exp",
    "log",
    "log2",
    "tanh",
    "round",
    "copy",
    "swapaxes",
    "transpose",
    "reversed",
    "set",
    "tolist",
    "ravel",
    "cumsum",
    "accumulate",
    "erf",
    "gelu",
    "array",
    "reshape",
    "unique",
    "softmax_backward",
}


def _call(node):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    for other in _OTHER_FUNCTIONS.get(name, ()):
        func = ast.Name(other, ast.Load()) if isinstance(node.func, ast.Name) else _like(node.func, attr=other)
        yield "another function", _like(node, func=func)
    if name in _WITHOUT:
        owner = isinstance(node.func, ast.Attribute) and not (
            isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "math")
        )
        if owner and name != "accumulate":
            yield f"{name} missing", node.func.value
        elif node.args:
            yield f"{name} missing", node.args[0]
    for i in range(len(node.args) - 1):
        args = [*node.args[:i], node.args[i + 1], node.args[i], *node.args[i + 2 :]]
        yield "arguments exchanged", _like(node, args=args)
    if name == "range":
        bound = node.args[0] if len(node.args) == 1 else node.args[1]
        for kind, other in _off_by_one(bound):
            yield kind, _like(node, args=[other] if len(node.args) == 1 else [node.args[0], other, *node.args[2:]])
        if len(node.args) == 1:
            yield "off by one", _like(node, args=[ast.Constant(1), node.args[0]])
    if name in ("array", "zeros", "empty", "zeros_like", "asarray") and not isinstance(node.func, ast.Name):
        kept = [keyword for keyword in node.keywords if keyword.arg != "dtype"]
        yield "integers", _like(node, keywords=[*kept, ast.keyword("dtype", ast.Name("int", ast.Load()))])
    yield from _keywords(node)


# Statements


def _return(node):
    if isinstance(node.value, ast.Tuple):
        elements = node.value.elts
        for i in range(len(elements) - 1):
            swapped = [*elements[:i], elements[i + 1], elements[i], *elements[i + 2 :]]
            yield "order of what is returned", _like(node, value=_like(node.value, elts=swapped))
        for i, element in enumerate(elements):
            yield "sign", _like(node, value=_like(node.value, elts=[*elements[:i], ast.UnaryOp(ast.USub(), element), *elements[i + 1 :]]))
    elif isinstance(node.value, ast.BinOp | ast.Call):
        yield "sign", _like(node, value=ast.UnaryOp(ast.USub(), node.value))
        yield "off by one", _like(node, value=ast.BinOp(node.value, ast.Add(), ast.Constant(1)))


def _augmented(node):
    for other in _OTHER_OPERATORS.get(type(node.op), ()):
        yield "sign" if type(node.op) in _SIGN else "operator", _like(node, op=other())
    plain = ast.BinOp(_like(node.target, ctx=ast.Load()), node.op, node.value)
    yield "not in place", ast.Assign([node.target], plain, lineno=0)
    yield "an operator missing", ast.Assign([node.target], node.value, lineno=0)


def _assign(node):
    target = node.targets[0]
    if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        if isinstance(target.slice, ast.Constant) and target.slice.value is ...:
            yield "not in place", _like(node, targets=[ast.Name(target.value.id, ast.Store())])
        else:
            yield "added in place of set", ast.AugAssign(target, ast.Add(), node.value)
    renewed = isinstance(node.value, ast.BinOp) and isinstance(node.value.left, ast.Name) and node.value.left.id
    if isinstance(target, ast.Name) and renewed == target.id:
        yield "in place", ast.AugAssign(target, node.value.op, node.value.right)


def _conditional(node):
    yield "condition left out", node.body
    yield "condition left out", node.orelse
    yield "condition turned round", _like(node, body=node.orelse, orelse=node.body)


def _if(node):
    yield "condition turned round", _like(node, test=ast.UnaryOp(ast.Not(), node.test))
    yield "condition left out", _like(node, test=ast.Constant(True))


def _with_statement(node):
    yield "without what it holds", ast.If(ast.Constant(True), node.body, [])


def _comprehension(node):
    for condition in node.ifs:
        yield "condition left out", _like(node, ifs=[other for other in node.ifs if other is not condition])


def _tuple(node):
    if isinstance(node.ctx, ast.Load) and len(node.elts) == 2:
        yield "two exchanged", _like(node, elts=node.elts[::-1])


_CHANGES = {
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.BoolOp: _boolean,
    ast.Constant: _constant,
    ast.Slice: _slice,
    ast.Subscript: _subscript,
    ast.Call: _call,
    ast.Return: _return,
    ast.AugAssign: _augmented,
    ast.Assign: _assign,
    ast.IfExp: _conditional,
    ast.If: _if,
    ast.With: _with_statement,
    ast.comprehension: _comprehension,
    ast.Tuple: _tuple,
}
