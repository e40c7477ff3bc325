"""The view as Prometheus metrics; the only place where metric names and labels are formed.

    family      what a family is: name, type, labels, help
    catalogue   every family there is, with the limits; docs/metrics.md is made of it
    collect     from a view to samples, in parts (grouped: results, work: what measuring cost)
    rendered    from parts to bytes, kept until the view changes
    document    `python -m toposcope.metrics.document` prints docs/metrics.md

Names follow the Prometheus naming practices: base units, `_total` on counters only, `_info` for facts as
labels. A label that does not apply is left out, which is the same as an empty one to Prometheus.
"""

from toposcope.metrics.catalogue import family_name
from toposcope.metrics.rendered import OPENMETRICS_CONTENT_TYPE, TEXT_CONTENT_TYPE, Rendered

__all__ = ["OPENMETRICS_CONTENT_TYPE", "TEXT_CONTENT_TYPE", "Rendered", "family_name"]
