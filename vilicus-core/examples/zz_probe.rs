#![allow(missing_docs)]
#![allow(clippy::all, clippy::disallowed_methods, clippy::print_stdout)]
use std::time::Instant;
use vilicus_core::schedule::*;
use vilicus_core::*;
fn main() {
    for text in [
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 29 2 +MON#5",
        "* * * * * 8",
        "61 * * * *",
        "0 25 * * *",
        "0 0 * *",
        "0 0 * * * * *",
        "@reboot",
        "@daily Europe/Berlin",
        "0 2 * * * Europe/Berln",
        "0 2 * * * Berlin",
        "0 2 * * 0 XYZQ",
        "0 0 29 2 * UTC",
        "+ + + + +",
        "0 0 * * +",
        "0 0 L * 5L",
        "0 0 15W * *",
        "5-1 * * * *",
        "0 0 32 * *",
        "0 0 1 13 *",
        "a b c d e",
        "0 0 * * MON#6",
        "*/0 * * * *",
        "0 0 * * L",
        "0 0 31W 2 *",
        "0 0 0 30 2 +MON",
        "@midnight",
    ] {
        let now = Instant::now();
        let r = text.parse::<CronSchedule>();
        let el = now.elapsed();
        match r {
            Ok(c) => {
                let n = Instant::now();
                let x = c.next_after(Timestamp::from_millis(1_800_000_000_000));
                println!("{text}: {c} {el:?} next {x:?} {:?}", n.elapsed())
            }
            Err(e) => println!("{text}: ERR {e} {el:?}"),
        }
    }
    for text in [
        "",
        "Mon-Fri",
        "Mon-Fri 08:00-18:00 Europe/Berln",
        "Mon-Fry 08:00-18:00",
        "Mon-Fri 8-18",
        "Mon-Fri 08:00-25:00",
        "08:00-08:00",
        "24:00-08:00",
        "Mon,,Tue 08:00-09:00",
        "Mon 08:00-09:00 UTC x",
        "Mon 08:00-09:00, ; Tue 08:00-09:00",
        ";",
        "Mon 08:00-09:00;;Tue 08:00-09:00",
        "Europe/Berlin",
        "Mon–Fri 08:00-09:00",
        "Mon 08:00 - 09:00",
        "00:00-12:00 UTC; 12:00-24:00 UTC",
        "00:00-12:00 UTC; 12:30-01:30 Europe/Berlin",
        "Mon 08:00-10:00 GMT+1",
    ] {
        match text.parse::<WeeklySchedule>() {
            Ok(c) => {
                let n = Instant::now();
                let x = c.window_at(Timestamp::from_millis(1_800_000_000_000));
                println!("{text}: {c} {x:?} {:?}", n.elapsed())
            }
            Err(e) => println!("{text}: ERR {e}"),
        }
    }
    for text in [
        "*-02-30",
        "Mon *-02~01",
        "2027-2-29",
        "Fri..Mon",
        "*:*/5",
        "10:00:60",
        "12",
        "5..3:00",
        "*-*-5/27",
        "10:50/20",
        "*-*~3/5",
        "Mon Tue 10:00",
        "10:00 Berlin",
        "Mon, 12:34",
        "*-*-1~2",
        "~1",
        "10:00 10:00",
        "2026-12-01 10:00",
        "2020-1-1",
        "*-*~3..7/2",
        "*-*~1,3",
        "2..20/5:00",
        "Sat *-02-29",
        "*-*-* *:*:*",
        "*:*:0/7",
    ] {
        let now = Instant::now();
        let r = text.parse::<OnCalendar>();
        let el = now.elapsed();
        match r {
            Ok(c) => {
                let n = Instant::now();
                let x = c.next_after(Timestamp::from_millis(1_795_341_600_000));
                println!("{text}: {el:?} next {x:?} {:?}", n.elapsed())
            }
            Err(e) => println!("{text}: ERR {e} {el:?}"),
        }
    }
    for (t, d) in [("* * * * * *", 1000), ("* * 1-20 * *", 120_000), ("0 2 * * 0", 7200_000)] {
        let r = Recurrence::parse(t, Some(Millis::new(d)), None).unwrap();
        let n = Instant::now();
        let x = r.window_at(Timestamp::from_millis(1_796_000_000_000));
        println!("{t} {x:?} {:?}", n.elapsed());
        let n = Instant::now();
        let x = r.contains(Timestamp::from_millis(1_796_000_000_000));
        println!("{t} {x:?} {:?}", n.elapsed());
    }
}
