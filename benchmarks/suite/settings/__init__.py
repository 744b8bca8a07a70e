"""The settings, by name."""

from benchmarks.suite.setting import Definition
from benchmarks.suite.settings.digits_conflict import DEFINITION as DIGITS_CONFLICT
from benchmarks.suite.settings.sentiment import DEFINITION as SENTIMENT

DEFINITIONS: dict[str, Definition] = {definition.name: definition for definition in (DIGITS_CONFLICT, SENTIMENT)}
