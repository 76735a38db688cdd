"""Makes readings.csv: four weeks of one machine hall, a reading each ten minutes.

Believable rather than real: a daily and a weekly rhythm, sensors with noise of their own, a slow
drift, gaps, and eleven marked faults of four kinds. The seed is fixed, so the file is the same
on every machine: python3 make_readings.py > readings.csv
"""

import math
import random
import sys
from datetime import datetime, timedelta, timezone

STEP = timedelta(minutes=10)
START = datetime(2026, 3, 2, tzinfo=timezone.utc)
COUNT = 4 * 7 * 24 * 6
# First reading, how many, what happens.
FAULTS = [
    (310, 3, "spike"),
    (655, 2, "spike"),
    (1012, 12, "stuck"),
    (1390, 4, "hot"),
    (1704, 3, "spike"),
    (2071, 6, "hot"),
    (2444, 18, "stuck"),
    (2790, 2, "spike"),
    (3108, 5, "hot"),
    (3391, 8, "leak"),
    (3777, 3, "spike"),
]


def main():
    random.seed(20260302)
    write = sys.stdout.write
    write("time,sensor,temperature,humidity,vibration,power\n")
    drift, held = 0.0, None
    for index in range(COUNT):
        now = START + index * STEP
        hour = now.hour + now.minute / 60
        day = math.sin((hour - 9) / 24 * 2 * math.pi)
        works = now.weekday() < 5 and 6 <= hour < 22
        drift += random.gauss(0, 0.004)
        load = (0.7 + 0.2 * random.random()) if works else 0.08
        temperature = 21.5 + 3.2 * day + 2.6 * load + drift + random.gauss(0, 0.18)
        humidity = 46 - 5.5 * day - 1.1 * drift + random.gauss(0, 0.7)
        vibration = 0.12 + 0.55 * load + abs(random.gauss(0, 0.03))
        power = 1.3 + 17.5 * load + random.gauss(0, 0.25)
        kind = next((k for at, n, k in FAULTS if at <= index < at + n), None)
        if kind == "spike":
            temperature += random.choice([-1, 1]) * (9 + 4 * random.random())
        elif kind == "hot":
            temperature += 8.5
            vibration += 1.4
        elif kind == "leak":
            humidity += 24
        if kind == "stuck":
            held = held or temperature
            temperature = held
        else:
            held = None
        if random.random() < 0.006:
            continue
        write(
            f"{now:%Y-%m-%dT%H:%M:%SZ},hall-{1 + index % 3},{temperature:.2f},"
            f"{humidity:.1f},{vibration:.3f},{power:.2f}\n"
        )


if __name__ == "__main__":
    main()
