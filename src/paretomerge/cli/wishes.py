"""From the options of `choose` to a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretomerge.cli.options import parse_names, parse_numbers
from paretomerge.errors import InputError

if TYPE_CHECKING:
    from paretomerge.choices import ChoiceRule, CriterionRule
    from paretomerge.types import Front

WAYS = "--weights, --at-least, --reference, --knee, --improve (or --improve-to), --regret"


@dataclass(frozen=True)
class Wish:
    """The options as they were given; checked against each other before anything else happens.

    Raises:
        InputError: no way of choosing, more than one, or an option without the one it belongs to.
    """

    weights: str | None
    at_least: str | None
    best: str | None
    reference: str | None
    knee: bool
    improve: str | None
    improve_to: str | None
    keep: str | None
    relax: str | None
    start: str
    regret: bool
    risk: str
    one_se: bool
    towards: str | None

    def __post_init__(self) -> None:
        """Check."""
        if self.best is not None and self.at_least is None:
            raise InputError("--best goes with --at-least: say what the others must reach, --at-least a=0.9 --best b")
        if not self.improves and (self.keep is not None or self.relax is not None or self.start != "chosen"):
            raise InputError(
                "--keep, --relax and --from go with --improve: --improve a --keep b --relax c=0.8 --from 12"
            )
        if self.risk != "mean" and not self.regret:
            raise InputError("--risk goes with --regret: --regret --risk 0.9")
        if self.towards is not None and not self.one_se:
            raise InputError("--towards goes with --one-se: --knee --one-se --towards a=0.5,b=0.5")
        if self.regret and self.one_se:
            raise InputError("--regret and --one-se are two answers to uncertainty: give one of them")
        ways = sum([self.weights is not None, self.at_least is not None, self.reference is not None, self.knee])
        ways += self.improves
        if self.one_se and not ways:
            raise InputError("--one-se goes with another rule: --knee --one-se")
        if ways > 1 or not (ways or self.regret):
            raise InputError(f"say how to choose: exactly one of {WAYS}; --regret and --one-se combine with the others")

    @property
    def improves(self) -> bool:
        """Whether objectives are classified."""
        return self.improve is not None or self.improve_to is not None

    def rule(self, front: Front, chosen: int | None) -> ChoiceRule:
        """The rule for a front, seen from its chosen point.

        Raises:
            InputError: text that cannot be read, names that the front does not have, or nothing to start from.
        """
        from paretomerge.choices import MinimumRegret, OneStandardError

        rule = self._criterion_rule(front, chosen)
        if self.regret:
            return MinimumRegret(rule, "mean" if self.risk == "mean" else _number(self.risk, "--risk"))
        if self.one_se and rule is not None:
            return OneStandardError(rule, parse_numbers(self.towards, "--towards") if self.towards else None)
        if rule is None:
            raise InputError(f"say how to choose: one of {WAYS}")
        return rule

    def _criterion_rule(self, front: Front, chosen: int | None) -> CriterionRule | None:
        from paretomerge.choices import ByWeights, Classification, Knee, ReferencePoint, Thresholds
        from paretomerge.stages.choose import resolve_each, resolve_names

        def numbers(text: str | None, option: str) -> dict[str, float]:
            return resolve_names(front, parse_numbers(text, option)) if text is not None else {}

        def names(text: str | None, option: str) -> list[str]:
            return resolve_each(front, parse_names(text, option)) if text is not None else []

        if self.weights is not None:
            return ByWeights(parse_numbers(self.weights, "--weights"))
        if self.at_least is not None:
            best = resolve_each(front, [self.best])[0] if self.best is not None else None
            return Thresholds(numbers(self.at_least, "--at-least"), best)
        if self.reference is not None:
            return ReferencePoint(numbers(self.reference, "--reference"))
        if self.improves:
            return Classification(
                self._start(chosen),
                improve=names(self.improve, "--improve"),
                improve_to=numbers(self.improve_to, "--improve-to"),
                keep=names(self.keep, "--keep"),
                relax_to=numbers(self.relax, "--relax"),
            )
        return Knee() if self.knee else None

    def _start(self, chosen: int | None) -> int:
        if self.start != "chosen":
            try:
                return int(self.start)
            except ValueError as error:
                raise InputError(f"--from {self.start!r}: give the number of a point, or 'chosen'") from error
        if chosen is None:
            raise InputError("improve from where? No point of this front was chosen yet: name one, such as --from 0")
        return chosen


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option} {text!r}: write mean, or a quantile such as 0.9") from error
