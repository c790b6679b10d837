"""The targets of the prices' quality."""

import dataclasses

Results = dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """The limits of one figure of an experiment."""

    experiment: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> str:
        """Describe the limits."""
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}"

    def reached(self, value: float) -> bool:
        """Return whether a value is within the limits."""
        enough = self.at_least is None or value >= self.at_least
        return enough and (self.at_most is None or value <= self.at_most)


def _intervals(experiment: str) -> tuple[Target, ...]:
    return (
        Target(experiment=experiment, figure="coverage_90", at_least=0.88, at_most=0.92),
        Target(experiment=experiment, figure="lowest_decile_coverage", at_least=0.85),
        Target(experiment=experiment, figure="lowest_actual_decile_coverage", at_least=0.85),
        Target(experiment=experiment, figure="unknown_coverage", at_least=0.85),
    )


TARGETS: tuple[Target, ...] = (
    Target(experiment="reference split", figure="r2", at_least=0.925),
    Target(experiment="reference split", figure="mae_mad", at_most=5_650),
    *_intervals("reference split"),
    Target(experiment="reference split, required fields", figure="r2", at_least=0.908),
    Target(experiment="reference unfiltered", figure="r2", at_least=0.92),
    Target(experiment="reference unfiltered", figure="mae_mad", at_most=8_500),
    Target(experiment="reference split, peer", figure="winkler_ratio", at_most=1.03),
    Target(experiment="latest month by quarters", figure="median_ape", at_most=7.75),
    Target(experiment="latest month by quarters", figure="young_median_ape", at_most=8.1),
    Target(experiment="latest month by quarters", figure="brand_bias", at_most=5.0),
    *_intervals("latest month by quarters"),
    Target(experiment="months ahead", figure="median_ape", at_most=8.6),
    Target(experiment="months ahead", figure="coverage_90", at_least=0.88, at_most=0.92),
    Target(experiment="months ahead", figure="lowest_decile_coverage", at_least=0.86),
    Target(experiment="months ahead", figure="lowest_actual_decile_coverage", at_least=0.86),
    Target(experiment="months ahead", figure="newest_coverage", at_least=0.86),
    Target(experiment="listings", figure="median_ape", at_most=8.8),
    Target(experiment="listings", figure="mae_mad", at_most=26_500),
    Target(experiment="listings", figure="r2_log", at_least=0.89),
    *_intervals("listings"),
    Target(experiment="listings, 2025 from before", figure="median_ape", at_most=10.3),
    *_intervals("listings, 2025 from before"),
    Target(experiment="listings, peer", figure="winkler_ratio", at_most=1.03),
    Target(experiment="default model", figure="median_ape", at_most=10.5),
    *_intervals("default model"),
    Target(experiment="default model, held out", figure="median_ape", at_most=10.5),
    *_intervals("default model, held out"),
)


def markdown(results: Results) -> str:
    """Format a table of goals and values for the experiments that have results."""
    lines = ["| experiment | figure | goal | reached | |", "|---|---|---|---|---|"]
    for target in TARGETS:
        value = results.get(target.experiment, {}).get(target.figure)
        if value is not None:
            verdict = "yes" if target.reached(value) else "**no**"
            cells = (target.experiment, target.figure, target.goal, f"{value:,g}", verdict)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
