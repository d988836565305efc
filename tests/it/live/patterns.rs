//! Pattern masks over a real target: cells of both formats, COPY of both, large values, errors and notices.

use super::masking::{Mode, through};
use super::raw::Raw;

/// A card number that the mask finds, and one whose check digit is wrong.
const CARD: &str = "4111111111111111";
const NO_CARD: &str = "4111111111111112";

fn said(raw: &mut Raw, mode: Mode, sql: &str) -> String {
    mode.send(raw, sql);
    let all: Vec<String> = raw
        .until_ready()
        .iter()
        .map(|answer| format!("{}{}", answer.tag, String::from_utf8_lossy(&answer.body)))
        .collect();
    all.join("\n")
}

#[test]
fn what_a_pattern_finds_is_hidden_in_whatever_the_target_sends() {
    let mut raw = through("cards");
    let spaced = "4111 1111 1111 1111";
    for mode in [Mode::Simple, Mode::Extended, Mode::Undescribed, Mode::Binary] {
        for sql in [
            format!("select 'pay with ' || '41' || '{}' || ' now'", &CARD[2..]),
            format!("select ('41' || '{}')::bigint::text", &CARD[2..]),
            format!("select array['41' || '{}', 'x']", &CARD[2..]),
            format!("select jsonb_build_object('card', '41' || '{}')", &CARD[2..]),
            format!("select repeat('x', 300000) || ' 41' || '{} ' || repeat('y', 300000)", &spaced[2..]),
        ] {
            let seen = said(&mut raw, mode, &sql);
            assert!(!seen.contains(CARD) && !seen.contains(spaced), "{mode:?} {sql}");
            assert!(
                seen.contains('D') && (seen.contains("[redacted]") || seen.contains("***") || !seen.contains("41"))
            );
        }
        let seen = said(&mut raw, mode, &format!("select 'order ' || '41' || '{}'", &NO_CARD[2..]));
        assert!(seen.contains(NO_CARD), "{mode:?}: what fails its check is no card");
    }
    // A number of the server's own in text: no letters may stand for it.
    let seen = said(&mut raw, Mode::Simple, "select 4111111111111110 + 1 as n");
    assert!(!seen.contains(CARD) && !seen.contains("[redacted]"), "{seen}");
    for options in ["", " with (format csv)", " with (format binary)"] {
        let sql = format!("copy (select 7, 'to 41' || '{}') to stdout{options}", &CARD[2..]);
        let seen = said(&mut raw, Mode::Simple, &sql);
        assert!(!seen.contains(CARD) && seen.contains("to "), "{sql}: {seen}");
    }
    let seen = said(&mut raw, Mode::Simple, &format!("select ('41' || '{} x')::int", &spaced[2..]));
    assert!(seen.contains("22P02") && seen.contains("[redacted]") && !seen.contains(spaced), "{seen}");
    let notice = format!("do $$ begin raise notice 'saw 41{}', ''; end $$", &CARD[2..]);
    let seen = said(&mut raw, Mode::Simple, &notice.replace(", ''", ""));
    assert!(seen.contains("saw [redacted]") && !seen.contains(CARD), "{seen}");
}
