"""Tests run under the caps of a stage: this comes before any of them imports NumPy."""

from pipeline.common.environment import limit_instructions

limit_instructions(torch=True)
