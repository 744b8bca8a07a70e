"""The settings, by name."""

from benchmarks.suite.setting import Definition
from benchmarks.suite.settings.conflicting import ADVERSARIAL_PAIR, CONFLICTING
from benchmarks.suite.settings.digits_conflict import DEFINITION as DIGITS_CONFLICT
from benchmarks.suite.settings.dual_encoder import DEFINITION as DUAL_ENCODER
from benchmarks.suite.settings.heterogeneous import DEFINITION as HETEROGENEOUS
from benchmarks.suite.settings.images import DEFINITION as IMAGES
from benchmarks.suite.settings.images_cnn import DEFINITION as IMAGES_CNN
from benchmarks.suite.settings.imbalanced import IMBALANCED_10, IMBALANCED_50
from benchmarks.suite.settings.language_model import DEFINITION as LANGUAGE_MODEL
from benchmarks.suite.settings.many_tasks import EIGHT, SIXTEEN
from benchmarks.suite.settings.scale import SCALE_24, SCALE_96, SCALE_192
from benchmarks.suite.settings.sentiment import DEFINITION as SENTIMENT
from benchmarks.suite.settings.sentiment_four import DEFINITION as SENTIMENT_FOUR

DEFINITIONS: dict[str, Definition] = {
    definition.name: definition
    for definition in (
        DIGITS_CONFLICT,
        SENTIMENT,
        IMAGES,
        IMAGES_CNN,
        DUAL_ENCODER,
        CONFLICTING,
        ADVERSARIAL_PAIR,
        IMBALANCED_10,
        IMBALANCED_50,
        EIGHT,
        SIXTEEN,
        SCALE_24,
        SCALE_96,
        SCALE_192,
        SENTIMENT_FOUR,
        HETEROGENEOUS,
        LANGUAGE_MODEL,
    )
}
