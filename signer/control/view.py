"""The form of everything that the API takes and shows: documented fields, no unknown ones."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """What the API shows. The line under each field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class Body(BaseModel):
    """What the API takes. An error repeats nothing of it: what was sent may be a secret in the wrong place."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )
