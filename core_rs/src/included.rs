//! What is asked of a block: which of its sessions count, and which conversions.
//!
//! Each test makes zeros and ones of a whole column, which the compiler does many at once; the places of the ones are then
//! listed without a branch for each session.

use crate::block::{Block, day_and_time};
use crate::journey::{Scope, marks};
use crate::roles::Conversion;

/// Which sessions of a block count, and which conversions.
#[derive(Debug, Clone)]
pub(crate) struct Included {
    /// The mark that they have.
    mark: u8,
    /// The first and the last start, as day and time.
    window: Option<[(u16, u32); 2]>,
    /// For each code of traffic, 1 if its sessions pass.
    traffic: Option<Vec<u8>>,
    /// The number of the page that they landed on.
    landing: Option<u32>,
    /// The keys that conversions must have. Where it is given, "converting" means: with such a conversion.
    conversion: Option<[Option<u64>; 3]>,
}

impl Included {
    /// Sessions that the scope includes, of blocks whose marks and sessions are those of the question.
    pub(crate) fn all(scope: Scope, conversion_filter: bool) -> Self {
        Self {
            mark: scope.mark(conversion_filter),
            window: None,
            traffic: None,
            landing: None,
            conversion: None,
        }
    }

    /// Only those that started in the window, in milliseconds, both ends included.
    pub(crate) fn in_window(mut self, start_ms: i64, end_ms: i64) -> Self {
        self.window = Some([day_and_time(start_ms), day_and_time(end_ms)]);
        self
    }

    /// Only those whose traffic passes: 1 at the place of its code. A block without codes has code 0.
    pub(crate) fn with_traffic(mut self, passes: Vec<u8>) -> Self {
        self.traffic = Some(passes);
        self
    }

    /// Only those that landed on the page of a number.
    pub(crate) fn landed_on(mut self, page: u32) -> Self {
        self.landing = Some(page);
        self
    }

    /// Only conversions whose values have these keys count.
    pub(crate) fn with_conversion(mut self, values: [Option<u64>; 3]) -> Self {
        self.conversion = Some(values);
        self
    }

    /// Whether "converting" means: with a conversion that passes.
    pub(crate) fn has_conversion_filter(&self) -> bool {
        self.conversion.is_some()
    }

    /// Whether all sessions of a block count.
    pub(crate) fn is_all(&self, block: &Block) -> bool {
        self.mark == marks::ANY
            && (block.traffic.is_empty() && self.passes(0) || self.traffic.is_none())
            && self.landing.is_none()
            && self.window.is_none_or(|window| is_within(block, window))
    }

    /// Whether sessions pass whose traffic has a code.
    #[inline]
    fn passes(&self, code: u32) -> bool {
        let passes = |traffic: &Vec<u8>| traffic.get(code as usize) == Some(&1);
        self.traffic.as_ref().is_none_or(passes)
    }

    #[inline]
    pub(crate) fn counts(&self, conversion: &Conversion) -> bool {
        self.conversion.is_none_or(|asked| {
            let values = asked.iter().zip(&conversion.values);
            values
                .into_iter()
                .all(|(asked, value)| asked.is_none_or(|asked| asked == *value))
        })
    }

    /// Writes 1 for each session that counts, 0 for the others.
    pub(crate) fn select(&self, block: &Block, marks: &[u8], passes: &mut Vec<u8>) {
        passes.clear();
        passes.extend(marks.iter().map(|marks| u8::from(marks & self.mark != 0)));
        if let Some(window @ [(first, first_time), (last, last_time)]) = self.window
            && !is_within(block, window)
        {
            let width = last.saturating_sub(first);
            let days = block.day.iter();
            let in_days = days.map(|day| u8::from(day.wrapping_sub(first) <= width));
            and(passes, in_days);
            // Most windows are whole days.
            if (first_time, last_time) != (0, LAST_TIME) {
                let starts = block.day.iter().zip(&block.time);
                let starts = starts.map(|(&day, &time)| (day, time));
                and(
                    passes,
                    starts.map(|start| u8::from(window[0] <= start && start <= window[1])),
                );
            }
        }
        if let Some(traffic) = &self.traffic {
            let codes = block.traffic.iter();
            let passing = |&code: &u32| traffic.get(code as usize).copied().unwrap_or_default();
            and(passes, codes.map(passing));
            if block.traffic.is_empty() && !self.passes(0) {
                passes.fill(0);
            }
        }
        if let Some(landing) = self.landing {
            and(
                passes,
                block.landing.iter().map(|&page| u8::from(page == landing)),
            );
        }
    }
}

/// The last millisecond of a day.
pub(crate) const LAST_TIME: u32 = 86_399_999;

/// Whether all sessions of a block started in a window.
pub(crate) fn is_within(block: &Block, [first, last]: [(u16, u32); 2]) -> bool {
    block.days.is_some_and(|(low, high)| {
        (low > first.0 || (low == first.0 && first.1 == 0))
            && (high < last.0 || (high == last.0 && last.1 >= LAST_TIME))
    })
}

#[inline]
fn and(passes: &mut [u8], others: impl Iterator<Item = u8>) {
    for (passes, other) in passes.iter_mut().zip(others) {
        *passes &= other;
    }
}

/// Writes the places of the ones among zeros and ones.
pub(crate) fn places(passes: &[u8], places: &mut Vec<u32>) {
    const STEP: usize = 8;
    places.clear();
    places.resize(passes.len() + STEP, 0);
    let mut count = 0;
    let (steps, rest) = passes.as_chunks::<STEP>();
    let mut place = 0;
    for step in steps {
        if u64::from_ne_bytes(*step) == 0 {
            place += 8;
            continue;
        }
        // Without a branch a session, which could not be foreseen.
        let slots = &mut places[count..count + STEP];
        let mut found = 0;
        for &passes in step {
            slots[found % STEP] = place;
            found += usize::from(passes);
            place += 1;
        }
        count += found;
    }
    for &passes in rest {
        places[count] = place;
        count += usize::from(passes);
        place += 1;
    }
    places.truncate(count);
}
