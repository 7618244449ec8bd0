"""Which point to take, and why, in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cachecore.quantity import format_bytes, quantity_bytes
from cachesim.planning.outcome import Comparison, Point, Recommendation, summary
from cachesim.planning.parameters import Parameters
from cachesim.planning.slo import Objective
from cachesim.simulation.scenario import Scenario

# Without prices and objectives: the least disk whose cold starts are no more than this above the best there are.
_AS_GOOD = 1.1
# So little more money is the price of a policy that everybody knows.
_AS_CHEAP = 1.02


def recommend(
    points: Sequence[Point],
    comparisons: Sequence[Comparison],
    objectives: Sequence[Objective],
    scenario_at: Callable[[Parameters], Scenario],
) -> Recommendation:
    """The cheapest point that meets the objectives; of several the one with the plainest policy.

    Cheap is what costs least where there are prices, else the least disk in all, then the fewest bytes fetched. Where
    policies can't be told apart, LRU is as good as any, and known best.
    """
    candidates = [point for point in points if point.meets] if objectives else list(points)
    if not candidates:
        return _nearest(points, objectives)
    if objectives or any(point.cost for point in candidates):
        best = min(candidates, key=lambda point: _price(point, scenario_at))
        most = _price(best, scenario_at)[0] * _AS_CHEAP
        good = [point for point in candidates if _price(point, scenario_at)[0] <= most]
        first = "meets " + " and ".join(one.text for one in objectives) if objectives else "costs least"
    else:
        least = min(_at_worst(point) for point in candidates)
        good = [point for point in candidates if _at_worst(point) <= least * _AS_GOOD]
        best = min(good, key=lambda point: _price(point, scenario_at))
        disks = {_disk_bytes(point, scenario_at) for point in good}
        first = "has the least disk" if len(disks) > 1 else "fetches least"
        first += " of those whose p99 cold start is within 10 % of the best"
    plain = _plainest(best, good, comparisons)
    return Recommendation(parameters=plain.parameters, why=_sentence(plain, best, first, points))


def _at_worst(point: Point) -> float:
    """The upper end of what its p99 may be: a point that nobody knows well enough is no recommendation."""
    cold = point.cold_start_seconds
    return max(cold.p99, cold.ci95[1]) if cold.ci95 else cold.p99


def _price(point: Point, scenario_at: Callable[[Parameters], Scenario]) -> tuple[float, float, float]:
    """Smaller is better."""
    money = point.cost.total if point.cost else _disk_bytes(point, scenario_at)
    return money, point.bytes_fetched, point.cold_start_seconds.p99


def _disk_bytes(point: Point, scenario_at: Callable[[Parameters], Scenario]) -> float:
    nodes = scenario_at(point.parameters).nodes
    return float(nodes.count * quantity_bytes(nodes.disk))


def _plainest(best: Point, candidates: Sequence[Point], comparisons: Sequence[Comparison]) -> Point:
    """The point with LRU, or the first policy, where the best one's lead over it may be chance."""
    policy = best.parameters.get("policy")
    rest = _rest(best.parameters)
    for comparison in comparisons:
        if comparison.parameters == rest and comparison.second == policy and not comparison.apart:
            for point in candidates:
                if _rest(point.parameters) == rest and point.parameters.get("policy") == comparison.first:
                    return point
    return best


def _rest(parameters: Parameters) -> Parameters:
    return {name: value for name, value in parameters.items() if name != "policy"}


def _sentence(chosen: Point, best: Point, first: str, points: Sequence[Point]) -> str:
    cold = chosen.cold_start_seconds
    facts = [f"p99 cold start {cold.p99:.1f} s", f"hit ratio {chosen.hit_ratio:.1%}"]
    facts.append(f"{format_bytes(int(chosen.bytes_fetched))} fetched")
    if chosen.ratio_to_bound is not None:
        facts[-1] += f", {chosen.ratio_to_bound:.2f} x of the best possible"
    if chosen.cost is not None:
        facts.append(f"at {chosen.cost.total:,.0f}")
    name = summary(chosen.parameters)
    words = f"{name} {first}" if len(points) > 1 else "The scenario as it is"
    sentence = f"{words}: {', '.join(facts)}."
    if chosen is not best:
        sentence += f" {best.parameters['policy']} can't be told apart from it."
    return sentence


def _nearest(points: Sequence[Point], objectives: Sequence[Objective]) -> Recommendation:
    """No point meets all objectives: the one that comes nearest, and what it has instead."""
    nearest = min(points, key=lambda point: max(one.shortfall(point) for one in objectives))
    missed = [one for one in objectives if not one.holds(nearest)]
    price = f", at {nearest.cost.total:,.0f}" if nearest.cost else ""
    why = (
        f"Nothing that was tried meets {' and '.join(one.text for one in missed)}: the nearest is "
        f"{summary(nearest.parameters)}, with {' and '.join(one.shown(nearest) for one in missed)}{price}."
    )
    return Recommendation(parameters=nearest.parameters, why=why)
