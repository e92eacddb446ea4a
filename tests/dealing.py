"""How a run in parallel deals tests to its workers."""

from xdist.scheduler import LoadScopeScheduling

RUN_CHAPTERS = {f"tests/{name}.py" for name in ("browser/test_lab", "notebooks/test_runs", "notebooks/test_reproducible")}


class ByChapter(LoadScopeScheduling):
    """Deal tests by module, as `--dist loadscope` does, and what runs a whole chapter one by one.

    The tests of a module share what is costly to begin. But a dozen chapters in one module would be one worker's, for
    minutes, and the others idle. The cells of a notebook are a module of their own already.
    """

    def _split_scope(self, nodeid):
        return nodeid if nodeid.partition("::")[0] in RUN_CHAPTERS else super()._split_scope(nodeid)
