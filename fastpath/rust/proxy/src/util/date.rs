//! The `date` header, formatted once a second.

use std::time::Duration;

/// The present second as an IMF-fixdate (RFC 9110 5.6.7).
#[derive(Clone, Debug)]
pub(crate) struct DateCache {
    second: u64,
    text: [u8; 29],
}

impl DateCache {
    pub(crate) fn new() -> Self {
        Self { second: 0, text: format(0) }
    }

    /// The date of `wall`, time since the Unix epoch.
    pub(crate) fn get(&mut self, wall: Duration) -> &[u8; 29] {
        if wall.as_secs() != self.second {
            self.second = wall.as_secs();
            self.text = format(self.second);
        }
        &self.text
    }
}

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

fn format(second: u64) -> [u8; 29] {
    let days = second / 86_400;
    let (year, month, day) = civil(days);
    let mut out = Vec::with_capacity(29);
    let pick = |names: &[&[u8; 3]], at: u64| -> [u8; 3] {
        usize::try_from(at).ok().and_then(|at| names.get(at)).map_or(*b"???", |name| **name)
    };
    let two = |out: &mut Vec<u8>, n: u64| {
        if n < 10 {
            out.push(b'0');
        }
        super::push_number(out, n);
    };
    out.extend_from_slice(&pick(&DAYS, days % 7));
    out.extend_from_slice(b", ");
    two(&mut out, day);
    out.push(b' ');
    out.extend_from_slice(&pick(&MONTHS, month - 1));
    out.push(b' ');
    super::push_number(&mut out, year);
    for (separator, n) in [(b' ', second / 3600 % 24), (b':', second / 60 % 60), (b':', second % 60)] {
        out.push(separator);
        two(&mut out, n);
    }
    out.extend_from_slice(b" GMT");
    out.try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant's civil_from_days).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_known_dates() {
        assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&format(1_709_164_799), b"Wed, 28 Feb 2024 23:59:59 GMT");
        assert_eq!(&format(1_709_164_800), b"Thu, 29 Feb 2024 00:00:00 GMT");
    }
}
