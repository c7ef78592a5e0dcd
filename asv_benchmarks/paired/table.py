"""What the rounds say: ratios with their spread, and a verdict."""

from dataclasses import dataclass
from statistics import median, quantiles

WORTH = 0.03        # a difference that is named: more than this, and not by chance
DISSENT = 0.1       # share of the rounds that may say the opposite: of 8, none, which chance gives once in 256
#: new: the first side lacks it; n/a: both do; failed: an error, or only the second side lacks it
VERDICTS = ("slower", "faster", "same", "new", "n/a", "failed")
SECONDS = {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Row:
    """One benchmark with its parameters. `ratio` is the second over the first, with quartiles over the rounds."""

    label: str
    unit: str
    verdict: str            #: one of VERDICTS
    values: tuple = ()      #: medians of both
    ratio: float = 1.0
    quartiles: tuple = (1.0, 1.0)
    normalised: bool = False
    note: str = ""


def row(label, unit, pairs):
    """The row of what `rounds.measure` gave."""
    for answers in pairs:
        errors = [answer["error"] for answer in answers if "error" in answer]
        if errors:
            return Row(label, unit, "failed", note=errors[0])
        skipped = ["skipped" in answer for answer in answers]
        if all(skipped):
            return Row(label, unit, "n/a")
        if any(skipped):
            return Row(label, unit, "new") if skipped[0] else Row(label, unit, "failed", note="n/a here, and measured there")
    raw = [b["value"] / a["value"] for a, b in pairs]
    normalised = [ratio * a["peak"] / b["peak"] for ratio, (a, b) in zip(raw, pairs)]
    better = spread(normalised) < spread(raw)
    ratios = normalised if better else raw
    low, middle, high = quartiles(ratios)
    values = tuple(median(answer["value"] for answer in side) for side in zip(*pairs))
    return Row(label, unit, verdict(ratios), values, middle, (low, high), better)


def verdict(ratios):
    """"slower", "faster" or "same"."""
    middle, few = median(ratios), int(DISSENT * len(ratios))
    if middle > 1 + WORTH and sum(ratio <= 1 for ratio in ratios) <= few:
        return "slower"
    if middle < 1 / (1 + WORTH) and sum(ratio >= 1 for ratio in ratios) <= few:
        return "faster"
    return "same"


def quartiles(values):
    return quantiles(values, n=4, method="inclusive")


def spread(ratios):
    low, _, high = quartiles(ratios)
    return high - low


def calibration(turns):
    """How far the machine's own speed moved over all turns: quartiles of the FMA chain over its median."""
    peaks = [answer["peak"] for answer in turns if "peak" in answer]
    low, middle, high = quartiles(peaks)
    return low / middle - 1, high / middle - 1


def number(value, unit):
    if unit != "seconds":
        return f"{value:.6g}"
    name = next((name for name, scale in SECONDS.items() if value >= scale), "ns")
    return f"{value / SECONDS[name]:.4g} {name}"


def table(rows, names):
    """Rows as text, `names` of the two sides above."""
    width = max(len(row.label) for row in rows)
    lines = [f"{'':{width}} {names[0]:>12} {names[1]:>12}   ratio   quartiles"]
    for row in rows:
        text = f"{row.label:{width}}"
        if row.values:
            first, second = (number(value, row.unit) for value in row.values)
            mark = "*" if row.normalised else " "
            text += f" {first:>12} {second:>12}  {row.ratio:6.3f}{mark} {row.quartiles[0]:.3f} to {row.quartiles[1]:.3f}"
        lines.append(f"{text}  {row.verdict if row.verdict != 'same' else ''}".rstrip())
    return "\n".join(lines)


def status(rows):
    """Of the process: 2 for a failure or nothing compared, 1 for something slower, else 0."""
    if any(row.verdict == "failed" for row in rows) or not any(row.values for row in rows):
        return 2
    return int(any(row.verdict == "slower" for row in rows))
