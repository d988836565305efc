//! Instants that stand for every instant from a given one on: between two that fall into one class, no hours and no
//! days of the rules concerned begin or end.

use lang::time::{Hours, Timestamp, Ttl, Valid, Zone};
use std::collections::{BTreeMap, BTreeSet};

const WEEK_MINUTES: u16 = 7 * 24 * 60;
const WEEK: Ttl = Ttl::from_seconds(7 * 86_400);
/// A change of clocks hides a minute in one week, never in the next as well.
const WEEKS: u32 = 3;

/// The earliest instant of each class, from `from` on, ascending.
pub(super) fn examples(hours: &[&Hours], days: &[&Valid], zone: &Zone, from: Timestamp) -> Vec<Timestamp> {
    let classes = weekly(hours);
    let mut bounds: BTreeSet<Timestamp> = BTreeSet::from([from]);
    for valid in days {
        bounds.extend(valid.start(zone).into_iter().chain(valid.end(zone)).filter(|bound| *bound > from));
    }
    let bounds: Vec<Timestamp> = bounds.into_iter().collect();
    let mut found: BTreeSet<Timestamp> = BTreeSet::new();
    for (at, start) in bounds.iter().enumerate() {
        let end = bounds.get(at + 1).copied();
        found.extend(classes.iter().filter_map(|class| earliest(class, zone, *start, end)));
    }
    found.into_iter().collect()
}

/// Intervals of the week by the hours that contain them.
fn weekly(hours: &[&Hours]) -> Vec<Vec<(u16, u16)>> {
    let mut bounds: BTreeSet<u16> = BTreeSet::from([0, WEEK_MINUTES]);
    for (from, until) in hours.iter().flat_map(|hours| hours.intervals()) {
        bounds.insert(*from);
        bounds.insert(*until);
    }
    let mut classes: BTreeMap<Vec<bool>, Vec<(u16, u16)>> = BTreeMap::new();
    for (from, until) in bounds.iter().zip(bounds.iter().skip(1)) {
        let within = |hours: &&Hours| hours.intervals().iter().any(|(start, end)| start <= from && until <= end);
        classes.entry(hours.iter().map(within).collect()).or_default().push((*from, *until));
    }
    classes.into_values().collect()
}

/// The earliest instant of a class between two bounds, when there is one.
fn earliest(class: &[(u16, u16)], zone: &Zone, start: Timestamp, end: Option<Timestamp>) -> Option<Timestamp> {
    let inside = |at: Timestamp| {
        let minute = zone.minute_of_week(at);
        at >= start
            && end.is_none_or(|end| at < end)
            && class.iter().any(|(from, until)| (*from..*until).contains(&minute))
    };
    if inside(start) {
        return Some(start);
    }
    let instants = |step: usize| {
        (0..WEEKS).flat_map(move |week| {
            let near = start.plus(WEEK.times(week));
            class
                .iter()
                .flat_map(move |(from, until)| (*from..*until).step_by(step).map(move |m| zone.week_minute(near, m)))
        })
    };
    // The beginning of an interval, else any of its minutes: a change of clocks can hide the beginning.
    let begins = (0..WEEKS).flat_map(|week| {
        let near = start.plus(WEEK.times(week));
        class.iter().map(move |(from, _)| zone.week_minute(near, *from))
    });
    begins.filter(|at| inside(*at)).min().or_else(|| instants(1).filter(|at| inside(*at)).min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_give_one_instant_for_each_cell() {
        let zone = Zone::parse("Europe/Berlin").unwrap();
        let at = Timestamp::parse_rfc3339("2026-05-04T10:00:00+02:00").unwrap();
        let office = Hours::parse("Mon-Fri 07:00-20:00").unwrap();
        assert_eq!(examples(&[], &[], &zone, at), [at]);
        assert_eq!(examples(&[&office], &[], &zone, at).len(), 2);
        // One Monday: the week's other days are no cell of it.
        let day = Valid { from: Valid::parse_day("2026-05-11"), until: Valid::parse_day("2026-05-11") };
        let sunday = Hours::parse("Sun 00:00-24:00").unwrap();
        assert_eq!(examples(&[&sunday], &[&day], &zone, at).len(), 5);
        // The hour that a change of clocks skips is no cell of that day.
        let skipped = Valid { from: Valid::parse_day("2027-03-28"), until: Valid::parse_day("2027-03-28") };
        let hidden = Hours::parse("Sun 02:00-03:00").unwrap();
        assert_eq!(examples(&[&hidden], &[&skipped], &zone, at).len(), 5);
    }
}
