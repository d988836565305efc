//! Weekly hours (`Mon-Fri 07:00-20:00`) and civil days, in the policy's one timezone.

use super::{Timestamp, Ttl};
use jiff::{ToSpan, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

const DAY_MINUTES: u16 = 24 * 60;
const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The policy's timezone, from the bundled IANA database so that every machine agrees.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone with this IANA name, for example `Europe/Berlin`.
    pub fn parse(name: &str) -> Option<Self> {
        jiff::tz::db().get(name).ok().map(Self)
    }

    fn civil(&self, at: Timestamp) -> civil::DateTime {
        self.0.to_datetime(at.to_jiff())
    }

    fn instant(&self, at: civil::DateTime) -> Timestamp {
        self.0.to_ambiguous_zoned(at).compatible().map_or(Timestamp::from_unix_ms(i64::MAX), |zoned| {
            Timestamp::from_unix_ms(zoned.timestamp().as_millisecond())
        })
    }

    /// The instant at which a civil day begins in this zone.
    pub fn start_of_day(&self, day: civil::Date) -> Timestamp {
        self.instant(day.to_datetime(civil::Time::midnight()))
    }

    /// Whether the clocks change at the beginning of a civil day, so that its first instant is missing or comes twice.
    pub fn is_unclear_start(&self, day: civil::Date) -> bool {
        self.0.to_ambiguous_zoned(day.to_datetime(civil::Time::midnight())).is_ambiguous()
    }

    /// `Mon 2026-05-04 07:00` in this zone, for people.
    pub fn display(&self, at: Timestamp) -> String {
        self.civil(at).strftime("%a %Y-%m-%d %H:%M").to_string()
    }

    /// The minute of the civil week, from Monday 00:00, in which the instant lies.
    pub fn minute_of_week(&self, at: Timestamp) -> u16 {
        minute_of_week(self.civil(at))
    }

    /// The instant `minute` minutes into the civil week (Monday 00:00) that contains `near`.
    pub fn week_minute(&self, near: Timestamp, minute: u16) -> Timestamp {
        let civil = self.civil(near);
        self.instant(monday(civil).saturating_add(i64::from(minute).minutes()))
    }
}

/// A set of minutes of the civil week: sorted, disjoint half-open intervals from Monday 00:00.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours(Vec<(u16, u16)>);

/// Why a text does not state weekly hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Another form than `Mon-Fri 07:00-20:00`.
    #[error("`{0}` is not weekly hours; write for example \"Mon-Fri 07:00-20:00\"")]
    Malformed(String),
    /// The interval holds no minute.
    #[error("`{0}` contains no time: it ends when it begins")]
    Empty(String),
}

impl Hours {
    /// Reads one or more spans separated by commas; a span that ends before it begins ends on the next day.
    ///
    /// # Errors
    /// When a span has another form or contains no minute.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let mut intervals = Vec::new();
        for span in text.split(',').map(str::trim) {
            let malformed = || HoursError::Malformed(span.to_owned());
            let (days, times) = span.split_once(' ').ok_or_else(malformed)?;
            let (from, until) = times.trim().split_once('-').ok_or_else(malformed)?;
            let (from, until) =
                (minute_of_day(from).ok_or_else(malformed)?, minute_of_day(until).ok_or_else(malformed)?);
            if from == until || from == DAY_MINUTES {
                return Err(HoursError::Empty(span.to_owned()));
            }
            let length = if until > from { until - from } else { DAY_MINUTES - from + until };
            for day in days_of(days).ok_or_else(malformed)? {
                let start = day * DAY_MINUTES + from;
                let end = start + length;
                intervals.push((start, end.min(WEEK_MINUTES)));
                if end > WEEK_MINUTES {
                    intervals.push((0, end - WEEK_MINUTES));
                }
            }
        }
        Ok(Self(merge(intervals)))
    }

    /// The intervals in minutes since Monday 00:00, sorted and disjoint.
    pub fn intervals(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// The minutes that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        for (a, b) in &self.0 {
            for (c, d) in &other.0 {
                if a.max(c) < b.min(d) {
                    both.push((*a.max(c), *b.min(d)));
                }
            }
        }
        Self(merge(both))
    }

    /// Whether no minute is contained.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the instant lies within these hours.
    pub fn contains(&self, at: Timestamp, zone: &Zone) -> bool {
        let minute = minute_of_week(zone.civil(at));
        self.0.iter().any(|(from, until)| (*from..*until).contains(&minute))
    }

    /// The end of the hours that contain `at`; `None` when they never end.
    pub fn end_after(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        self.boundary_after(at, zone, |(_, until)| until)
    }

    /// The next beginning of these hours after `at`; `None` when they never begin.
    pub fn start_after(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        self.boundary_after(at, zone, |(from, _)| from)
    }

    fn boundary_after(&self, at: Timestamp, zone: &Zone, pick: fn((u16, u16)) -> u16) -> Option<Timestamp> {
        if self.0.as_slice() == [(0, WEEK_MINUTES)] {
            return None;
        }
        // An interval that ends with the week and one that begins with it are one interval in time.
        let wraps = self.0.first().is_some_and(|i| i.0 == 0) && self.0.last().is_some_and(|i| i.1 == WEEK_MINUTES);
        let monday = monday(zone.civil(at));
        let mut boundaries: Vec<Timestamp> = Vec::new();
        for week in 0..2_i64 {
            for interval in &self.0 {
                let minute = pick(*interval);
                if wraps && (minute == WEEK_MINUTES || minute == 0) {
                    continue;
                }
                let minutes = week * i64::from(WEEK_MINUTES) + i64::from(minute);
                boundaries.push(zone.instant(monday.saturating_add(minutes.minutes())));
            }
        }
        boundaries.into_iter().filter(|boundary| *boundary > at).min()
    }
}

fn monday(at: civil::DateTime) -> civil::DateTime {
    let back = i64::from(at.weekday().to_monday_zero_offset());
    at.date().saturating_sub(back.days()).to_datetime(civil::Time::midnight())
}

fn minute_of_week(at: civil::DateTime) -> u16 {
    let field = |value: i8| u16::try_from(value).unwrap_or(0);
    field(at.weekday().to_monday_zero_offset()) * DAY_MINUTES + field(at.hour()) * 60 + field(at.minute())
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= DAY_MINUTES).then_some(total)
}

fn day(text: &str) -> Option<u16> {
    DAYS.iter().position(|day| *day == text).and_then(|i| u16::try_from(i).ok())
}

fn days_of(text: &str) -> Option<Vec<u16>> {
    match text.split_once('-') {
        None => Some(vec![day(text)?]),
        Some((from, until)) => {
            let (from, until) = (day(from)?, day(until)?);
            let length = (until + 7 - from) % 7;
            Some((0..=length).map(|i| (from + i) % 7).collect())
        }
    }
}

fn merge(mut intervals: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    intervals.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (from, until) in intervals {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => merged.push((from, until)),
        }
    }
    merged
}

/// Civil days between which a rule is valid, both included; an open side has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Valid {
    /// The first day, `YYYY-MM-DD`.
    pub from: Option<civil::Date>,
    /// The last day, `YYYY-MM-DD`.
    pub until: Option<civil::Date>,
}

impl Valid {
    /// Whether the instant lies within these days.
    pub fn contains(&self, at: Timestamp, zone: &Zone) -> bool {
        let day = zone.civil(at).date();
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }

    /// A bound of these days, `from` or `until`, whose instant is missing or comes twice.
    pub fn unclear(&self, zone: &Zone) -> Option<(&'static str, civil::Date)> {
        let from = self.from.filter(|day| zone.is_unclear_start(*day)).map(|day| ("from", day));
        let after = |day: &civil::Date| zone.is_unclear_start(day.saturating_add(1.day()));
        from.or_else(|| self.until.filter(after).map(|day| ("until", day)))
    }

    /// The first instant after the last day.
    pub fn end(&self, zone: &Zone) -> Option<Timestamp> {
        self.until.map(|day| zone.start_of_day(day.saturating_add(1.day())))
    }

    /// The first instant of the first day.
    pub fn start(&self, zone: &Zone) -> Option<Timestamp> {
        self.from.map(|day| zone.start_of_day(day))
    }
}

impl Valid {
    /// The civil day that a policy's text states.
    pub fn parse_day(text: &str) -> Option<civil::Date> {
        text.parse().ok()
    }
}

impl Ttl {
    /// The whole seconds from `from` to `until`.
    pub fn between(from: Timestamp, until: Timestamp) -> Self {
        Self::from_seconds(u32::try_from(until.ms_since(from) / 1000).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn hours_contain_civil_time_across_a_change_of_clocks() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let hours = Hours::parse("Mon-Fri 07:00-20:00").unwrap();
        assert!(hours.contains(at("2026-05-04T07:00:00+02:00"), &berlin));
        assert!(!hours.contains(at("2026-05-04T06:59:59+02:00"), &berlin));
        assert!(!hours.contains(at("2026-05-04T20:00:00+02:00"), &berlin));
        assert!(!hours.contains(at("2026-05-03T12:00:00+02:00"), &berlin), "a Sunday");
        assert!(hours.contains(at("2026-12-07T07:00:00+01:00"), &berlin), "winter time");
        assert_eq!(hours.end_after(at("2026-05-04T10:00:00+02:00"), &berlin), Some(at("2026-05-04T20:00:00+02:00")));
        assert_eq!(hours.start_after(at("2026-05-08T21:00:00+02:00"), &berlin), Some(at("2026-05-11T07:00:00+02:00")));
    }

    #[test]
    fn nightly_hours_end_on_the_next_day_and_wrap_the_week() {
        let utc = Zone::UTC;
        let nights = Hours::parse("Mon-Sun 22:00-06:00").unwrap();
        assert!(nights.contains(at("2026-05-04T01:00:00Z"), &utc));
        assert!(!nights.contains(at("2026-05-04T12:00:00Z"), &utc));
        assert_eq!(
            nights.end_after(at("2026-05-10T23:00:00Z"), &utc),
            Some(at("2026-05-11T06:00:00Z")),
            "Sunday night ends on Monday"
        );
        assert_eq!(Hours::parse("Mon-Sun 00:00-24:00").unwrap().end_after(at("2026-05-10T23:00:00Z"), &utc), None);
    }

    #[test]
    fn malformed_hours_are_refused() {
        for text in ["", "Mon", "Mon 7:00-8:00", "Mon 07:00-25:00", "Foo 07:00-08:00", "Mon 07:00-07:00"] {
            assert!(Hours::parse(text).is_err(), "{text}");
        }
    }
}
