"""Errors that are sentences: what was wrong, which value, what to do instead."""

from __future__ import annotations


class NeurolearnError(ValueError):
    """Base class of every error that neurolearn raises on purpose. The message is a sentence with a remedy."""


class InputError(NeurolearnError):
    """A value given to a function, an option or a file is not usable."""


class SettlingError(NeurolearnError):
    """A feedback loop is unstable, or it did not settle to its fixed point."""


class SaturationError(NeurolearnError):
    """A signal is larger than what its spiking cells can send."""


class SimulationError(NeurolearnError):
    """A simulation ended with values that are not finite, or its process did not end as it should."""


class RunError(NeurolearnError):
    """A run's folder cannot be used as it is: damaged, in use, not writable, or of another configuration or rule."""


class RuleError(NeurolearnError):
    """A rule's text breaks the grammar; prints the offending line with a caret under the place.

    message: the sentence. rule: name of the rule. equation: which text (for example ``hidden`` or
    ``plasticity of W``). line: the line itself. column: 0-based column of the caret in that line.
    """

    def __init__(self, message: str, *, rule: str = "", equation: str = "", line: str = "", column: int | None = None):
        self.message, self.rule, self.equation, self.line, self.column = message, rule, equation, line, column
        super().__init__(self._render())

    def _render(self) -> str:
        where = ", ".join(part for part in (self.rule and f"rule {self.rule!r}", self.equation) if part)
        text = f"{where}: {self.message}" if where else self.message
        if self.line and self.column is not None:
            text += f"\n    {self.line}\n    {' ' * self.column}^"
        return text
