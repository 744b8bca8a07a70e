"""The demo: the main job on real data, in minutes, checked against the truth."""

from paretomerge.demo.study import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
