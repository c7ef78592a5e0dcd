"""Results as a table and as a plot."""

import statistics

OURS = "fastbp"
STEADY = 0.9        # share of the peak that half of the bursts reach at least, where the machine is ours alone


def rows(result):
    """Of each library: name, best and median seconds, GFLOP/s, share of the peak, time over fastbp's."""
    peak = max(result["peak_flops_per_second"])
    best = {name: min(of["seconds_per_step"]) for name, of in result["libraries"].items()}
    for name, of in result["libraries"].items():
        flops, median = result["flops"] / best[name], statistics.median(of["seconds_per_step"])
        yield name, best[name], median, flops / 1e9, flops / peak, best[name] / best[OURS]


def duration(seconds):
    """Three digits with the unit that suits them."""
    scale, unit = (1e-6, "us") if seconds < 1e-3 else (1e-3, "ms") if seconds < 1 else (1, "s")
    return f"{seconds / scale:.3g} {unit}"


def title(result):
    sizes = "-".join(map(str, result["sizes"]))
    batch = f"batch {result['batch_size']}"
    return "  ".join([result["case"], sizes, batch, result["dtype"], threads(result["n_threads"])])


def threads(n):
    return f"{n} thread{'s' if n > 1 else ''}"


def table(result):
    """One case, in lines."""
    peaks = [peak / 1e9 for peak in result["peak_flops_per_second"]]
    lines = [title(result),
             f"  {result['flops'] / 1e6:,.4g} MFLOP a step; FMA peak {max(peaks):.0f} GFLOP/s",
             f"  {'library':<22}{'best':>10}{'median':>10}{'GFLOP/s':>10}{'of peak':>9}{'/ fastbp':>10}"]
    ranked = sorted(rows(result), key=lambda row: row[1])
    for name, best, median, gflops, share, ratio in ranked:
        of = result["libraries"][name]
        label = f"{name} ({of['n_threads_used']} thr.)" if of["n_threads_used"] else name
        times = f"{duration(best):>10}{duration(median):>10}"
        lines.append(f"  {label:<22}{times}{gflops:>10.1f}{share:>9.0%}{ratio:>10.2f}  {of['note']}".rstrip())
    usual = statistics.median(peaks)
    if usual < STEADY * max(peaks):
        lines.append(f"  The machine was busy: the peak was {usual:.0f} GFLOP/s half of the time. Run it again.")
    others = [row for row in ranked if row[0] != OURS]
    if others:
        lines.append(f"  fastbp is {others[0][5]:.2f} times as fast as the best other, {others[0][0]}")
    return "\n".join(lines)


def plot(results, path):
    """Bars of the share of the peak, a panel for each dtype and thread count."""
    from matplotlib.figure import Figure

    panels = sorted({(r["dtype"], r["n_threads"]) for r in results})
    names = list(results[0]["libraries"])
    figure = Figure(figsize=(8, 2.8 * len(panels)), layout="constrained")
    for axes, (dtype, n_threads) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels):
        here = [r for r in results if (r["dtype"], r["n_threads"]) == (dtype, n_threads)]
        for i, name in enumerate(names):
            shares = [{row[0]: row[4] for row in rows(r)}[name] for r in here]
            places = [x + (i + 0.5) * 0.8 / len(names) for x in range(len(here))]
            axes.bar(places, shares, 0.8 / len(names), label=name)
        axes.set_xticks([x + 0.4 for x in range(len(here))], [r["case"] for r in here])
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.grid(axis="y", alpha=0.3)
        axes.set_title(f"Share of the FMA peak: {dtype}, {threads(n_threads)}")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    figure.savefig(path)
