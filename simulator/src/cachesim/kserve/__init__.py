"""A stand-in for KServe's controller and pod mutator: InferenceServices become the pods that KServe would make."""

from cachesim.kserve.predictor import KServeOptions, predictor_pod
from cachesim.kserve.standin import KServeStandIn

__all__ = ["KServeOptions", "KServeStandIn", "predictor_pod"]
