"""A contract for import-linter: a dependency is imported in the named packages and nowhere else."""

from __future__ import annotations

from typing import Any

from importlinter import Contract, ContractCheck, fields, output


class OnlyIn(Contract):
    """The package ``name`` is imported directly by modules in ``wings`` alone; each of ``wings`` must import it."""

    wings = fields.ListField(subfield=fields.StringField())

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        """Collects importers outside of the wings, and wings without importer."""
        importers = graph.find_modules_that_directly_import(self.name) if self.name in graph.modules else set()
        within = {wing: [name for name in importers if _is_in(name, wing)] for wing in self.wings}
        outside = importers.difference(*within.values())
        unused = [wing for wing, names in within.items() if not names]
        return ContractCheck(kept=not outside and not unused, metadata={"outside": sorted(outside), "unused": unused})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints what :meth:`check` collected."""
        for module in check.metadata["outside"]:
            output.print_error(f"{module} imports {self.name}")
        for wing in check.metadata["unused"]:
            output.print_error(f"{wing} does not import {self.name}: take it out of the list")


def _is_in(module: str, wing: str) -> bool:
    return module == wing or module.startswith(f"{wing}.")
