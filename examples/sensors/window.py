"""Statistics and anomalies of a window of sensor readings.

Called as `sensors/window`. Takes either text in the form of readings.csv, with its head, or JSON:
    {"rows": [{"time": "…", "temperature": 24.1, …}, …], "threshold": 6}
and answers, for each numeric column, count, mean, deviation, minimum, maximum and median, and the
readings that lie further from the median of their neighbours than `threshold` robust deviations:
the median of the absolute deviations times 1.4826, which one wild reading cannot move. That is
Hampel's identifier; it follows the rhythm of a day and leaves its steps alone.
"""

import csv
import io
import json
import math
import os
import statistics

DEFAULT_THRESHOLD = 6.0
ROBUST = 1.4826
# Two hours to each side at a reading each ten minutes.
NEIGHBOURS = 12


def handler(event, context):
    rows, threshold = parse(event)
    if not rows:
        raise ValueError("no rows: send the head and at least one reading")
    columns = numeric_columns(rows)
    if not columns:
        raise ValueError("no numeric column in the rows")
    report = {name: describe(values) for name, values in columns.items()}
    found = [a for name, values in columns.items() for a in anomalies(rows, name, values, threshold)]
    found.sort(key=lambda a: (a["index"], a["column"]))
    return {
        "from": rows[0].get("time"),
        "to": rows[-1].get("time"),
        "rows": len(rows),
        "columns": report,
        "anomalies": found,
    }


def each_day(event, context):
    """Yields the same answer for one day after another: `sensors/days --stream`."""
    rows, threshold = parse(event)
    days = {}
    for row in rows:
        days.setdefault(str(row.get("time", ""))[:10], []).append(row)
    for day in sorted(days):
        yield {"day": day, **handler({"rows": days[day], "threshold": threshold}, context)}


def parse(event):
    """Rows and threshold from either form."""
    if isinstance(event, (bytes, str)):
        text = event.decode("utf-8") if isinstance(event, bytes) else event
        if text.lstrip().startswith(("{", "[")):
            # What looks like JSON and is none is the caller's fault: say where.
            event = json.loads(text)
        else:
            return list(csv.DictReader(io.StringIO(text))), default_threshold()
    if isinstance(event, list):
        event = {"rows": event}
    if not isinstance(event, dict):
        raise TypeError("send CSV text, a list of rows, or an object with rows")
    return list(event.get("rows", [])), float(event.get("threshold", default_threshold()))


def default_threshold():
    return float(os.environ.get("ANOMALY_THRESHOLD", DEFAULT_THRESHOLD))


def numeric_columns(rows):
    """Values by column; a value that is no number is none."""
    columns = {}
    for name in rows[0]:
        values = [number(row.get(name)) for row in rows]
        if any(value is not None for value in values) and name != "time":
            columns[name] = values
    return columns


def number(value):
    if isinstance(value, bool) or value is None:
        return None
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def describe(values):
    known = [value for value in values if value is not None]
    return {
        "count": len(known),
        "mean": round(statistics.fmean(known), 4),
        "deviation": round(statistics.pstdev(known), 4),
        "min": min(known),
        "max": max(known),
        "median": round(statistics.median(known), 4),
    }


def anomalies(rows, name, values, threshold):
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    # Below a fiftieth of the column's own deviation a difference means nothing.
    floor = statistics.pstdev(value for _, value in known) / 50
    for place, (index, value) in enumerate(known):
        near = [v for _, v in known[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]]
        middle = statistics.median(near)
        spread = max(floor, ROBUST * statistics.median(abs(v - middle) for v in near))
        if spread == 0:
            continue
        score = (value - middle) / spread
        if abs(score) > threshold:
            yield {
                "index": index,
                "time": rows[index].get("time"),
                "column": name,
                "value": value,
                "score": round(score, 2),
            }
