"""The face of a package: the names it promises, loaded when they are asked for (PEP 562).

`from cllm_lib.text import load_corpus` loads the one module that holds it. What a package promises stands in its
`__init__`, module by module; all else may move.
"""

import importlib


def face(package, modules):
    """What the `__init__` of a package needs in order to offer names of its modules.

    Parameters
    ----------
    package : str
        Its `__name__`.
    modules : dict of str to str
        By module of the package, the names it offers, with spaces between. A module without names is offered itself.

    Returns
    -------
    __getattr__, __dir__, __all__
        To be assigned to these names.

    Raises
    ------
    ValueError
        If a module bears a name that is offered: importing it would put the module in the place of what was promised.
    """
    homes = {name: module for module, names in modules.items() for name in (names.split() or [module])}
    for name, module in homes.items():
        if modules.get(name):
            raise ValueError(f"{package} offers {name!r} of its module {module!r}, and has a module of that name: rename the module")

    def getter(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = _loaded(package, homes[name])
        return module if name == homes[name] else getattr(module, name)

    return getter, lambda: sorted(homes), sorted(homes)


def _loaded(package, module):
    try:
        return importlib.import_module(f"{package}.{module}")
    except ModuleNotFoundError as missing:
        if missing.name.startswith("cllm_lib"):
            raise
        raise _not_brought(missing, f"{package}.{module}") from missing


def needed(module, use, advice=None):
    """A module of a package that the library alone goes without, for the one function that uses it.

    Parameters
    ----------
    module : str
        Such as "scipy.special".
    use : str
        What it is needed for, as the beginning of a sentence.
    advice : str, optional
        What brings it; the extra for notebooks by default.

    Raises
    ------
    ModuleNotFoundError
        If it is not here: the text says what brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise _not_brought(missing, use, advice) from None


def _not_brought(missing, use, advice=None):
    name = missing.name.partition(".")[0]
    advice = advice or 'the library alone goes without; `pip install "cllm-workbook[notebooks]"` brings it'
    return ModuleNotFoundError(f"{use} needs the package {name}: {advice}", name=name)


def load_modules(package):
    """Import every module right below a package, in order of their names: what registers itself is there afterwards.

    Parameters
    ----------
    package : str
        Its name, such as `__package__`.
    """
    import pkgutil  # here, not above: every import of the library goes through this file

    for name in sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        importlib.import_module(f"{package}.{name}")
