"""Tests run under the caps of a stage: this comes before any of them imports NumPy."""

from pipeline.common.portability import cap

cap(torch=True)
