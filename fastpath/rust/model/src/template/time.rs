//! Points in time as text: `%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%`, always in UTC.

use std::fmt::Write as _;

/// A parsed time format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// A conversion of strftime.
    Field(u8),
    /// Digits of the fraction of a second, from its first digit.
    Fraction(usize),
    /// Whole seconds since 1970.
    Epoch,
    /// Seconds since 1970 followed by this many digits of the fraction, without a point (`%s%3f` is milliseconds).
    EpochWith(usize),
}

const DEFAULT: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Default for TimeFormat {
    /// `2018-03-28T23:35:58.123Z`
    fn default() -> Self {
        Self { parts: parse(DEFAULT).unwrap_or_default() }
    }
}

impl TimeFormat {
    /// Parses a format of strftime with the fraction forms `%f`, `%1f` to `%9f`; `None` when it has an unknown conversion.
    pub fn parse(format: &str) -> Option<Self> {
        match format {
            "" => Some(Self::default()),
            _ => parse(format).map(|parts| Self { parts }),
        }
    }

    /// Appends this time, given in nanoseconds since 1970.
    pub fn write(&self, unix_nanos: u64, out: &mut Vec<u8>) {
        let moment = Moment::from(unix_nanos);
        let mut text = String::with_capacity(32);
        for part in &*self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Field(field) => moment.write(*field, &mut text),
                Part::Fraction(digits) => moment.fraction(*digits, &mut text),
                Part::Epoch => put(&mut text, format_args!("{}", moment.seconds)),
                Part::EpochWith(digits) => {
                    put(&mut text, format_args!("{}", moment.seconds));
                    moment.fraction(*digits, &mut text);
                }
            }
        }
        out.extend_from_slice(text.as_bytes());
    }
}

fn parse(format: &str) -> Option<Box<[Part]>> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = format.chars();
    while let Some(char) = rest.next() {
        if char != '%' {
            literal.push(char);
            continue;
        }
        let part = match rest.next()? {
            '%' => {
                literal.push('%');
                continue;
            }
            's' => Part::Epoch,
            'f' => Part::Fraction(9),
            digit @ '1'..='9' => match rest.next()? {
                'f' => Part::Fraction(digit.to_digit(10)? as usize),
                _ => return None,
            },
            field if field.is_ascii() && b"YmdHMSTFDRyjeaAbBhpIZznt".contains(&(field as u8)) => {
                Part::Field(field as u8)
            }
            _ => return None,
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        match (parts.last_mut(), part) {
            (Some(last @ Part::Epoch), Part::Fraction(digits)) => *last = Part::EpochWith(digits),
            (_, part) => parts.push(part),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Some(parts.into())
}

/// A point in time taken apart.
struct Moment {
    seconds: u64,
    nanos: u64,
    year: i64,
    month: usize,
    day: u64,
    day_of_year: u64,
    weekday: usize,
    hour: u64,
    minute: u64,
    second: u64,
}

impl From<u64> for Moment {
    fn from(unix_nanos: u64) -> Self {
        let seconds = unix_nanos / 1_000_000_000;
        let days = seconds / 86_400;
        let (year, month, day) = civil(days);
        let (january_first, time) = (days_before_year(year), seconds % 86_400);
        Self {
            seconds,
            nanos: unix_nanos % 1_000_000_000,
            year,
            month,
            day,
            day_of_year: days.saturating_sub(january_first) + 1,
            weekday: ((days + 4) % 7) as usize,
            hour: time / 3600,
            minute: time / 60 % 60,
            second: time % 60,
        }
    }
}

impl Moment {
    fn write(&self, field: u8, out: &mut String) {
        let hour12 = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        let month = MONTHS.get(self.month - 1).copied().unwrap_or_default();
        let weekday = WEEKDAYS.get(self.weekday).copied().unwrap_or_default();
        match field {
            b'Y' => put(out, format_args!("{}", self.year)),
            b'y' => put(out, format_args!("{:02}", self.year.rem_euclid(100))),
            b'm' => put(out, format_args!("{:02}", self.month)),
            b'd' => put(out, format_args!("{:02}", self.day)),
            b'e' => put(out, format_args!("{:2}", self.day)),
            b'j' => put(out, format_args!("{:03}", self.day_of_year)),
            b'H' => put(out, format_args!("{:02}", self.hour)),
            b'I' => put(out, format_args!("{hour12:02}")),
            b'M' => put(out, format_args!("{:02}", self.minute)),
            b'S' => put(out, format_args!("{:02}", self.second)),
            b'T' => put(out, format_args!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)),
            b'R' => put(out, format_args!("{:02}:{:02}", self.hour, self.minute)),
            b'F' => put(out, format_args!("{}-{:02}-{:02}", self.year, self.month, self.day)),
            b'D' => {
                put(out, format_args!("{:02}/{:02}/{:02}", self.month, self.day, self.year.rem_euclid(100)))
            }
            b'a' => out.push_str(weekday.get(..3).unwrap_or_default()),
            b'A' => out.push_str(weekday),
            b'b' | b'h' => out.push_str(month.get(..3).unwrap_or_default()),
            b'B' => out.push_str(month),
            b'p' => out.push_str(if self.hour < 12 { "AM" } else { "PM" }),
            b'Z' => out.push_str("UTC"),
            b'z' => out.push_str("+0000"),
            b'n' => out.push('\n'),
            _ => out.push('\t'),
        }
    }

    fn fraction(&self, digits: usize, out: &mut String) {
        let all = format!("{:09}", self.nanos);
        out.push_str(all.get(..digits).unwrap_or(&all));
    }
}

/// Writing to a `String` cannot fail.
fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

/// Days since 1970 to year, month and day in the Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (i64, usize, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = (year_of_era + era * 400) as i64 + i64::from(month <= 2);
    (year, month as usize, day)
}

fn days_before_year(year: i64) -> u64 {
    let before = (year - 1).max(1969) as u64;
    let leap_days = |y: u64| y / 4 - y / 100 + y / 400;
    (before - 1969) * 365 + leap_days(before) - leap_days(1969)
}
