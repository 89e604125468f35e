"""One rule: the action that it allows, by whom, with which arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from signer.antelope.name import Name
from signer.antelope.transaction import PermissionLevel
from signer.errors import FormatError
from signer.policy.constraint import Constraint, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from signer.antelope.foreign import ForeignAction
    from signer.config import Rule as Settings
    from signer.policy.abis import Known


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of action may be.

    Attributes:
        name: as the configuration calls it.
        contract: the account whose contract it is for.
        action: its name.
        level: the one permission that may authorise it.
        known: how its data are read.
        constraints: one for each argument; only those that may be missing (`$`) can have none.
    """

    name: str
    contract: Name
    action: Name
    level: PermissionLevel
    known: Known
    constraints: Mapping[str, Constraint]

    @classmethod
    def of(cls, settings: Settings, known: Known) -> Self:
        """Return the rule that the configuration describes, one that has no `problems`.

        Raises:
            FormatError: it has.
        """
        kinds = {field.name: field.kind for field in known.fields}
        return cls(
            name=settings.name,
            contract=Name(settings.contract),
            action=Name(settings.action),
            level=PermissionLevel(*(Name(part) for part in settings.authorization.split("@"))),
            known=known,
            constraints={
                name: Constraint.of(each, known.abi, name, kinds[name])
                for name, each in settings.arguments.items()
            },
        )

    def names(self, action: ForeignAction) -> bool:
        """Return whether this rule is about such an action."""
        return (action.account, action.name) == (self.contract, self.action)

    def misfits(self, action: ForeignAction, arguments: Mapping[str, object]) -> list[str]:
        """Return why the rule does not allow an action, nothing where it does.

        Args:
            action: one that it `names`.
            arguments: the action's data, decoded.
        """
        found = []
        if action.authorization != (self.level,):
            given = ", ".join(f"{each.actor}@{each.permission}" for each in action.authorization)
            found.append(
                f"authorised by {shown(given) or 'nobody'}, not by {self.level.actor}@{self.level.permission} alone"
            )
        for field in self.known.fields:
            constraint = self.constraints.get(field.name)
            if field.name not in arguments:
                if constraint is not None and constraint.allowed is not None:
                    found.append(f"{field.name} is missing, not {constraint.text}")
            elif constraint is None:
                found.append(f"{field.name} is given, and the rule says nothing of it")
            else:
                misfit = constraint.misfit(self.known.abi, arguments[field.name])
                found += [f"{field.name} {misfit}"] if misfit else []
        return found


def problems(settings: Settings, known: Known) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield what is wrong with a rule's arguments: the argument, the fault, the names that it could have.

    Every argument is named, or a forgotten one would be a free one.
    """
    names = tuple(field.name for field in known.fields)
    for name in settings.arguments:
        if name not in names:
            yield name, f"{settings.contract}::{settings.action} has no argument of this name", names
    for field in known.fields:
        each = settings.arguments.get(field.name)
        if each is None:
            if not field.extension:
                yield field.name, "is missing; give a value, or anything = true", ()
            continue
        try:
            Constraint.of(each, known.abi, field.name, field.kind)
        except FormatError as error:
            yield field.name, str(error), ()
