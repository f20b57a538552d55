"""From a score map to a verdict: score, limits, regions, the inspection and its metrics."""

from goodpart.decision.inspection import Inspection, Limits, Region, Verdict

__all__ = ["Inspection", "Limits", "Region", "Verdict"]
