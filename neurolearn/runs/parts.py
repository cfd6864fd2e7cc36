"""What configurations are made of: frozen groups of settings, and numbers that are neither texts nor true or false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag


class Part(BaseModel):
    """A frozen group of settings that knows all its names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Values(dict):
    """Names and values that cannot be changed; everything else of a dict."""

    def _refuse(self, *_, **__):
        raise TypeError("a RunConfig does not change; make another with config.but(...).")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = clear = setdefault = _refuse

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __reduce__(self):
        return Values, (dict(self),)

    def __deepcopy__(self, memo):
        return self


def _number(value: object) -> object:
    """A text such as 1e-3, which YAML does not take for a number, may pass; true and false may not."""
    if isinstance(value, bool):
        raise ValueError("give a number")
    return value


def _whole(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("give a whole number")
    return value


Number = Annotated[float, BeforeValidator(_number)]
NotNegative = Annotated[Number, Field(ge=0)]
Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(ge=1)]
Seed = Annotated[Whole, Field(ge=0)]
Numbers = Annotated[dict[str, Number], AfterValidator(Values)]
Rates = Annotated[dict[str, NotNegative], AfterValidator(Values)]
Names = Annotated[dict[str, str], AfterValidator(Values)]
Share = Annotated[Number, Field(ge=0, le=1)]
Seconds = Annotated[Number, Field(gt=0)]
Delays = Annotated[dict[str, Seconds], AfterValidator(Values)]


def _kind(value: object) -> str:
    return "[many]" if isinstance(value, Mapping) else "[one]"


OneOrMany = Annotated[Annotated[NotNegative, Tag("[one]")] | Annotated[Rates, Tag("[many]")], Discriminator(_kind)]
Spread = Annotated[dict[Literal["threshold", "membrane", "synapse"], Share], AfterValidator(Values)]
OneOrEach = Annotated[Annotated[Share, Tag("[one]")] | Annotated[Spread, Tag("[many]")], Discriminator(_kind)]
