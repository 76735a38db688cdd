"""Lints charts with Helm's own rules and proves that their schemas refuse unknown keys.

Usage: charts.py CHART...   (run by `./just chart`; needs xtask/requirements.txt)
"""

import sys

try:
    import helm_python as helm
except ImportError:
    print("chart: skipped, helm-python-sdk has no package for this machine")
    sys.exit(0)

INFORMATION = 1


def faults(path):
    """All that is wrong with the chart at `path`, one text each."""
    report = helm.lint(path, strict=True)
    found = [m["error"] for m in report["messages"] if m["severity"] > INFORMATION]
    found += report["errors"]
    with helm.Chart.load(path) as chart:
        chart.render({}, name="lint", namespace="lint")
        try:
            chart.validate_schema({"thisKeyDoesNotExist": True})
            found.append("values.schema.json accepts a key that does not exist")
        except helm.HelmValuesError:
            pass
    return found


def main(paths):
    wrong = 0
    for path in paths:
        found = faults(path)
        wrong += len(found)
        for fault in found:
            print(f"{path}: {fault}")
        if not found:
            print(f"{path}: ok")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
