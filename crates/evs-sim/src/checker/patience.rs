//! LIVE-5: D is the effective detection target, which is above the setting where hellos are known
//! to come late, and nowhere else. By how much, the processors say themselves; so they may say no
//! more than what was done to the world explains. What nothing explains no bound is made of.

use super::index::Index;
use super::stays::ms;
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let Some(circumstances) = &index.history.circumstances else { return Ok(()) };
    for (at, patience) in circumstances.patience() {
        let (told, most) = (patience.told, circumstances.bounds.patience(patience.calm));
        if told > most {
            let (at, told, most, calm) = (ms(at), ms(told), ms(most), ms(patience.calm));
            return Err(violates!(
                Live5,
                "somebody's effective target was {told} above the setting at {at}, not {most} at \
                 the most, and all hellos had been in time for {calm}"
            ));
        }
    }
    Ok(())
}

/// How often the processors spoke of their patience when they could have none.
pub(super) fn times_without_reason(index: &Index<'_>) -> usize {
    let Some(circumstances) = &index.history.circumstances else { return 0 };
    let bounds = &circumstances.bounds;
    circumstances.patience().filter(|(_, patience)| bounds.patience(patience.calm) == 0).count()
}

#[cfg(test)]
mod tests {
    use super::super::Property::Live5;
    use super::super::check;
    use super::super::fixture::*;
    use crate::history::{History, Patience, View};

    const MS: u64 = 1_000_000;

    /// One processor, alone, to whose world something is done after 50 s. It says that it is so
    /// much more patient than D, of 100 ms, when all hellos have been in time for so long, all in
    /// milliseconds.
    fn tells(told: u64, calm: u64, at_the_end: bool) -> History {
        let alone = vec![timed(1, vec![(0, regular(1, &[1]))])];
        let mut history = left_alone(alone);
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        let patience = Patience { told: told * MS, calm: calm * MS };
        if at_the_end {
            circumstances.patience = patience;
        } else {
            circumstances.spans[1].patience = patience;
        }
        history
    }

    fn left_alone(views: Vec<View>) -> History {
        calm(views, &[(0, &[]), (50_000, &[])])
    }

    #[test]
    fn patience_after_hellos_that_were_late_is_legal() {
        for at_the_end in [false, true] {
            holds(&tells(100, 3_999, at_the_end));
            holds(&tells(0, 4_000, at_the_end));
        }
    }

    #[test]
    fn patience_for_no_reason_is_noticed() {
        for at_the_end in [false, true] {
            breaks(&tells(1, 4_000, at_the_end), Live5, "not 0.000 ms at the most");
        }
    }

    #[test]
    fn more_patience_than_anybody_may_have_is_noticed() {
        breaks(&tells(101, 0, false), Live5, "101.000 ms above the setting at 50000.000 ms");
    }

    #[test]
    fn the_judge_knows_how_often_there_was_no_reason() {
        let calm = |calm| check(&tells(0, calm, true)).expect("legal").calm;
        assert_eq!((calm(3_999), calm(4_000)), (0, 1));
    }
}
