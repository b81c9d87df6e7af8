//! Days as the message of the contract.

use crate::answer::fields::{page_day, response_of_days};
use crate::answer::messages::{put_role_count, totals};
use crate::days::Days;
use crate::roles::ROLES;
use crate::wire::put_bytes;

impl Days {
    /// The days as one `PageDaysResponse`. They have `roles` and `landing` if a page was counted.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, day) in (self.first..).zip(&self.each) {
            let mut message = Vec::new();
            put_bytes(&mut message, page_day::DATE, date(number).as_bytes());
            put_bytes(&mut message, page_day::SUMMARY_TOTALS, &totals(day.totals));
            if self.has_page {
                let mut roles = Vec::new();
                for (role, &count) in ROLES.iter().zip(&day.roles) {
                    put_role_count(&mut roles, role.number(), count);
                }
                put_bytes(&mut message, page_day::ROLES, &roles);
                put_role_count(&mut message, page_day::LANDING, day.landing);
            }
            put_bytes(&mut out, response_of_days::DAYS, &message);
        }
        out
    }
}

/// A day as `2025-07-01`.
fn date(number: i64) -> String {
    // Eras of 400 years begin on a first of March, so that a leap day is the last of its year (H. Hinnant, "chrono-
    // compatible low-level date algorithms"). The first of them began 719,468 days before 1970.
    const OF_ERA: i64 = 146_097;
    const OF_FOUR_YEARS: i64 = 1_460;
    const OF_CENTURY: i64 = 36_524;
    let days = number.saturating_add(719_468);
    let (era, day) = (days.div_euclid(OF_ERA), days.rem_euclid(OF_ERA));
    let leap_days = day / OF_FOUR_YEARS - day / OF_CENTURY + day / (OF_ERA - 1);
    let year = (day - leap_days) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    // Months count from March.
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + later;
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_have_the_dates_of_the_calendar() {
        for (number, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (790, "1972-03-01"),
            (11_016, "2000-02-29"),
            (20_270, "2025-07-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (-719_162, "0001-01-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(date(number), expected);
        }
        // Each day follows the one before it, over more than an era.
        let mut last = (1970, 1, 0);
        for number in 0..160_000 {
            let text = date(number);
            let parts: Vec<u32> = text.split('-').map(|part| part.parse().unwrap()).collect();
            let (year, month, day) = (parts[0], parts[1], parts[2]);
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let follows = match (last.0 == year, last.1 == month) {
                (true, true) => day == last.2 + 1,
                (true, false) => day == 1 && month == last.1 + 1 && last.2 == length(last, is_leap),
                (false, _) => {
                    (month, day) == (1, 1) && year == last.0 + 1 && last.1 == 12 && last.2 == 31
                }
            };
            assert!(follows, "{text}");
            last = (year, month, day);
        }
    }

    fn length((_, month, _): (u32, u32, u32), is_leap: bool) -> u32 {
        match month {
            2 => 28 + u32::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}
