"""Detectors: each learns from good part images and gives a score map for one."""

from goodpart.detectors.base import Detector, HeldOut, State
from goodpart.detectors.registry import create_detector, detector_class, detector_names

__all__ = ["Detector", "HeldOut", "State", "create_detector", "detector_class", "detector_names"]
