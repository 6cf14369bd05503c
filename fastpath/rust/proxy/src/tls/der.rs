//! DER, as much of it as certificates need (X.690 8.1, 10.1). Whatever is malformed is absent.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One element: its tag, its content, and what follows it.
pub(super) fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// Reads one element after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'d>(pub(super) &'d [u8]);

impl<'d> Reader<'d> {
    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Option<(u8, &'d [u8])> {
        let (tag, content, rest) = element(self.0)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element if it has this tag; otherwise it stays where it is.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (found, content, rest) = element(self.0)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// The content of the next element as more elements.
    pub(super) fn nested(&mut self, tag: u8) -> Option<Reader<'d>> {
        self.take(tag).map(Reader)
    }

    /// A point in time, in seconds since 1970; one before that is 0 (RFC 5280 4.1.2.5).
    pub(super) fn time(&mut self) -> Option<u64> {
        match self.any()? {
            (UTC_TIME, text) => {
                let (year, rest) = text.split_at_checked(2)?;
                let year = number(year)?;
                seconds(year + if year < 50 { 2000 } else { 1900 }, rest)
            }
            (GENERALIZED_TIME, text) => {
                let (year, rest) = text.split_at_checked(4)?;
                seconds(number(year)?, rest)
            }
            _ => None,
        }
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| Some(value * 10 + i64::from(char::from(*digit).to_digit(10)?)))
}

/// `MMDDHHMMSSZ` of a year. Fractions of seconds are not looked at.
fn seconds(year: i64, rest: &[u8]) -> Option<u64> {
    let part = |nth: usize| number(rest.get(nth * 2..nth * 2 + 2)?);
    let (month, day) = (part(0)?, part(1)?);
    let within = part(2)? * 3600 + part(3)? * 60 + part(4)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || rest.last() != Some(&b'Z') {
        return None;
    }
    // Days since 1970, with years that begin in March (Hinnant's `days_from_civil`).
    let shifted = if month > 2 { year } else { year - 1 };
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + of_year - 719_468;
    Some(u64::try_from(days * 86_400 + within).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Option<u64> {
        let der = [&[tag, u8::try_from(text.len()).expect("short")][..], text.as_bytes()].concat();
        Reader(&der).time()
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(time(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(GENERALIZED_TIME, "20240229120000Z"), Some(1_709_208_000));
        assert_eq!(time(GENERALIZED_TIME, "19000101000000Z"), Some(0));
    }

    #[test]
    fn what_is_malformed_is_absent() {
        for text in ["", "24", "241301000000Z", "24010100000", "2401010000xxZ", "240101000000"] {
            assert_eq!(time(UTC_TIME, text), None, "{text}");
        }
        for broken in [&[][..], &[0x30], &[0x30, 5, 1], &[0x30, 0x84, 0, 0, 0, 1, 0], &[0x30, 0x82, 1]] {
            assert_eq!(element(broken), None);
        }
    }
}
