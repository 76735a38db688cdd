//! When a cron job runs: five fields, or a word.
//!
//! Shape: minute, hour, day of month, month and day of week, separated by spaces. Each is a list
//! of `*`, `n`, `n-m` and, with a step, `*/s`, `n-m/s` and `n/s`; months and days have names, too.
//! This is what the cluster's own controller reads (`robfig/cron`), but for `@every`.

/// The longest timetable, in bytes.
const MAX_BYTES: usize = 256;

/// Words that stand for five fields.
const WORDS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// The longest month of each number, from 1.
const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A text is no timetable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CronError {
    /// There are more or fewer than five fields.
    #[error("must have minute, hour, day of month, month and day of week, got {0} fields")]
    Fields(usize),
    /// It begins with `@` and is no word.
    #[error("must be @hourly, @daily, @weekly, @monthly or @yearly, got {0:?}")]
    Word(String),
    /// It is longer than anything real.
    #[error("may have at most {MAX_BYTES} bytes")]
    TooLong,
    /// One field is wrong.
    #[error("{field} {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such day, as the 30th of February.
    #[error("never comes: no month that is named has such a day")]
    Never,
}

/// What one field may hold.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names of the values from the least one.
    names: &'static [&'static str],
}

const MINUTE: Field = field("minute", 0, 59, &[]);
const HOUR: Field = field("hour", 0, 23, &[]);
const DAY: Field = field("day of month", 1, 31, &[]);
const MONTH: Field = field(
    "month",
    1,
    12,
    &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
);
const WEEKDAY: Field = field(
    "day of week",
    0,
    6,
    &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
);

const fn field(name: &'static str, least: u32, most: u32, names: &'static [&'static str]) -> Field {
    Field {
        name,
        least,
        most,
        names,
    }
}

/// Says what is wrong with a timetable.
pub(super) fn check(text: &str) -> Result<(), CronError> {
    if text.len() > MAX_BYTES {
        return Err(CronError::TooLong);
    }
    let text = text.trim();
    if text.starts_with('@') {
        let is_known = WORDS.contains(&text);
        return is_known
            .then_some(())
            .ok_or_else(|| CronError::Word(text.to_owned()));
    }
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts[..] else {
        return Err(CronError::Fields(parts.len()));
    };
    MINUTE.read(minute)?;
    HOUR.read(hour)?;
    let days = DAY.read(day)?;
    let months = MONTH.read(month)?;
    WEEKDAY.read(weekday)?;
    // With a day of the week, too, either of both is enough.
    let counts = is_any(weekday) && !is_any(day);
    let comes = |(month, most): (u32, u32)| months.has(month) && days.least() <= most;
    if counts && !(1..).zip(DAYS).any(comes) {
        return Err(CronError::Never);
    }
    Ok(())
}

fn is_any(text: &str) -> bool {
    text == "*" || text == "?"
}

/// The values of a field, a bit for each.
#[derive(Clone, Copy)]
struct Values(u64);

impl Values {
    fn has(self, value: u32) -> bool {
        self.0 & (1 << value) != 0
    }

    fn least(self) -> u32 {
        self.0.trailing_zeros()
    }
}

impl Field {
    fn wrong(&self, problem: impl Into<String>) -> CronError {
        CronError::Field {
            field: self.name,
            problem: problem.into(),
        }
    }

    fn read(&self, text: &str) -> Result<Values, CronError> {
        let mut values = Values(0);
        for part in text.split(',') {
            values.0 |= self.part(part)?.0;
        }
        Ok(values)
    }

    /// Reads `*`, `n`, `n-m`, each with an optional step.
    fn part(&self, text: &str) -> Result<Values, CronError> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (text, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if is_any(range) => (self.least, self.most),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            // `n/s` goes on to the end.
            None if step.is_some() => (self.value(range)?, self.most),
            None => (self.value(range)?, self.value(range)?),
        };
        if first > last {
            let problem = format!("has the range {range:?}, which ends before it begins");
            return Err(self.wrong(problem));
        }
        let step = step.unwrap_or(1);
        let values = (first..=last).step_by(step);
        Ok(Values(values.fold(0, |bits, value| bits | 1 << value)))
    }

    fn step(&self, text: &str) -> Result<usize, CronError> {
        let step = number(text).filter(|step| *step > 0);
        let step = step.and_then(|step| usize::try_from(step).ok());
        step.ok_or_else(|| self.wrong(format!("has the step {text:?}, which must be 1 or more")))
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        let is_name = |name: &&str| name.eq_ignore_ascii_case(text);
        if let Some((value, _)) = (self.least..)
            .zip(self.names)
            .find(|(_, name)| is_name(name))
        {
            return Ok(value);
        }
        let (least, most) = (self.least, self.most);
        let value = number(text).filter(|value| (least..=most).contains(value));
        value.ok_or_else(|| match self.names {
            [] => self.wrong(format!("must be {least} to {most}, got {text:?}")),
            [first, .., last] => self.wrong(format!(
                "must be {least} to {most} or {first} to {last}, got {text:?}"
            )),
            [only] => self.wrong(format!("must be {least} to {most} or {only}, got {text:?}")),
        })
    }
}

/// Digits only: no sign, no more than fit.
fn number(text: &str) -> Option<u32> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
