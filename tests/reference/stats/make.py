"""Writes reference.json: what scipy, statsmodels and numpy answer to the questions that src/stats answers.

    python -m venv .venv && .venv/bin/pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0
    .venv/bin/python tests/reference/stats/make.py

Inputs are drawn under a fixed seed and stored beside the answers, so the Rust tests need no Python.
"""

import json
import pathlib

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(20261124)


def special():
    ps = [1e-12, 1e-4, 0.025, 0.2, 0.5, 0.8, 0.975, 0.9999]
    xs = [-8.0, -2.5, -1.0, 0.0, 0.3, 1.96, 5.0]
    return {
        "normal_cdf": [[x, stats.norm.cdf(x)] for x in xs],
        "normal_quantile": [[p, stats.norm.ppf(p)] for p in ps],
        "student_cdf": [[t, df, stats.t.cdf(t, df)] for t in xs for df in (1, 2, 7, 39, 5000)],
        "student_quantile": [[p, df, stats.t.ppf(p, df)] for p in ps[1:] for df in (1, 2, 7, 39, 5000)],
        "beta_quantile": [
            [p, a, b, stats.beta.ppf(p, a, b)]
            for p in (0.025, 0.5, 0.975) for a, b in ((1, 20), (3.7, 11.2), (0.4, 30), (500, 9500), (120, 1))
        ],
        "binomial_cdf": [
            [k, n, p, stats.binom.cdf(k, n, p)] for k, n, p in
            ((0, 10, 0.3), (4, 10, 0.5), (9, 10, 0.95), (10, 10, 0.5), (480, 500, 0.95), (9530, 10000, 0.95))
        ],
        "chi_square_tail": [[x, df, stats.chi2.sf(x, df)] for x in (0.01, 1.0, 5.99, 40.0, 200.0) for df in (1, 2, 3, 9)],
    }


def shares():
    rows = []
    for k, n in ((0, 1), (1, 1), (0, 20), (1, 20), (10, 20), (19, 20), (20, 20), (0, 200), (37, 200), (199, 200)):
        wilson = proportion_confint(k, n, method="wilson")
        exact = proportion_confint(k, n, method="beta")
        rows.append({"k": k, "n": n, "wilson": wilson, "exact": exact})
    return rows


def clustered(clusters, longest, draw):
    """(name, value) per case, clusters of different length."""
    return [[f"c{c:02}", float(draw(c))] for c in range(clusters) for _ in range(rng.integers(1, longest + 1))]


def sums(cases):
    names = sorted({name for name, _ in cases})
    total = np.array([sum(v for name, v in cases if name == n) for n in names])
    weight = np.array([sum(1 for name, _ in cases if name == n) for n in names])
    return total, weight


def ratio(total, weight, axis=-1):
    return np.sum(total, axis=axis) / np.sum(weight, axis=axis)


def bootstraps():
    """scipy's BCa and percentile limits from replicates that the Rust code is handed as they are."""
    out = []
    for draw in (lambda c: rng.lognormal(0.1 * c), lambda c: rng.random() < 0.8, lambda c: rng.normal()):
        total, weight = sums(clustered(15, 5, draw))
        options = dict(paired=True, n_resamples=400, rng=rng, vectorized=True)
        first = stats.bootstrap((total, weight), ratio, method="percentile", **options)
        for level in (0.95, 0.9):
            again = dict(options, n_resamples=0, bootstrap_result=first, confidence_level=level)
            out.append({
                "sums": total.tolist(), "weights": weight.tolist(), "level": level,
                "replicates": first.bootstrap_distribution.tolist(),
                "bca": list(stats.bootstrap((total, weight), ratio, method="BCa", **again).confidence_interval),
                "percentile": list(stats.bootstrap((total, weight), ratio, method="percentile", **again).confidence_interval),
            })
    return out


def standard_errors():
    """An intercept-only regression with cluster-robust errors; its correction is C/(C-1) then."""
    out = []
    for clusters, longest in ((8, 1), (12, 6), (40, 3)):
        cases = clustered(clusters, longest, lambda c: rng.normal(0.1 * c))
        y = np.array([v for _, v in cases])
        groups = np.array([int(name[1:]) for name, _ in cases])
        fit = sm.OLS(y, np.ones_like(y)).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True})
        out.append({"cases": cases, "mean": fit.params[0], "standard_error": fit.bse[0]})
    return out


def mcnemars():
    tables = ((0, 1), (1, 0), (3, 3), (2, 9), (12, 4), (0, 6), (30, 51), (400, 330), (7, 0))
    return [{"up": u, "down": d, "p": mcnemar([[50, u], [d, 20]], exact=True).pvalue} for u, d in tables]


def sign_flips():
    """Exact two-sided permutation tests of a mean; scipy flips signs for a single sample."""
    out = []
    for size, draw in ((2, rng.normal), (7, rng.normal), (12, lambda: rng.normal(0.5)),
                       (10, lambda: float(rng.integers(-3, 4))), (11, lambda: rng.integers(-4, 6) / 3)):
        values = np.array([draw() for _ in range(size)])
        test = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
        out.append({"differences": values.tolist(), "p": test.pvalue})
    return out


def kappas():
    out = []
    for labels, n in ((2, 30), (4, 80), (6, 50)):
        truth = rng.integers(0, labels, n)
        predicted = np.where(rng.random(n) < 0.6, truth, rng.integers(0, labels, n))
        table = np.zeros((labels, labels))
        np.add.at(table, (truth, predicted), 1)
        out.append({
            "labels": labels, "truth": truth.tolist(), "predicted": predicted.tolist(),
            "equal": cohens_kappa(table).kappa, "quadratic": cohens_kappa(table, wt="quadratic").kappa,
        })
    return out


def holms():
    inputs = [[0.01], [0.01, 0.04, 0.03], [0.5, 0.9, 0.02, 0.02, 0.0], [1.0, 1.0], rng.random(12).tolist()]
    return [{"p": ps, "adjusted": multipletests(ps, method="holm")[1].tolist()} for ps in inputs]


def quantiles():
    out = []
    for n in (1, 5, 20, 100, 737):
        values, answers = rng.lognormal(size=n), []
        for q in (0.05, 0.5, 0.95, 0.99):
            limits = stats.quantile_test(values, p=q).confidence_interval(0.95)
            low, high = (None if np.isnan(limit) else limit for limit in limits)
            answers.append({"q": q, "value": np.quantile(values, q), "low": low, "high": high})
        out.append({"values": values.tolist(), "answers": answers})
    return out


def omnibus():
    scores = rng.normal(size=(25, 4)).round(1) + [0, 0, 0.4, 0]
    friedman = stats.friedmanchisquare(*scores.T)
    binary = (rng.random((60, 3)) < [0.6, 0.7, 0.8]).astype(float)
    cochran = cochrans_q(binary)
    return [
        {"blocks": scores.tolist(), "statistic": friedman.statistic, "p": friedman.pvalue},
        {"blocks": binary.tolist(), "statistic": cochran.statistic, "p": cochran.pvalue},
    ]


def powers():
    """ratio=0 is statsmodels' word for one (here: one paired) sample."""
    out = []
    for effect, spread, clusters in ((0.05, 0.4472135954999579, 200), (0.1, 0.6, 40), (-0.02, 0.3, 1000), (0.0, 1.0, 10)):
        size = effect / spread
        power = NormalIndPower(ddof=0).power(size, clusters, 0.05, ratio=0)
        needed = NormalIndPower(ddof=0).solve_power(abs(size), None, 0.05, 0.8, ratio=0) if effect else None
        out.append({"effect": effect, "spread": spread, "clusters": clusters, "power": power,
                    "needed": None if needed is None else int(np.ceil(np.squeeze(needed)))})
    return out


def main():
    reference = {
        "versions": {"numpy": np.__version__, "scipy": __import__("scipy").__version__,
                     "statsmodels": __import__("statsmodels").__version__},
        "special": special(), "shares": shares(), "bootstraps": bootstraps(), "standard_errors": standard_errors(),
        "mcnemars": mcnemars(), "sign_flips": sign_flips(), "kappas": kappas(), "holms": holms(),
        "quantiles": quantiles(), "omnibus": omnibus(), "powers": powers(),
    }
    path = pathlib.Path(__file__).with_name("reference.json")
    path.write_text(json.dumps(reference, default=float) + "\n")


if __name__ == "__main__":
    main()
