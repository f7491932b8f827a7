//! Scenarios that were made for certain deliberate defects, which seeds meet too seldom or cannot
//! show: how soon something happens, what a mad peer does.
//!
//! Each asserts what it is about, or holds the history against the contract; so it panics if
//! something is wrong. `tests/aimed.rs` plays all of them.

mod courses;

use evs_model::mutation::Defect;

/// A course of events with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called: what holds in it.
    pub name: &'static str,
    /// The defects that it notices.
    pub defects: &'static [Defect],
    /// Plays it; panics if something is wrong.
    pub play: fn(),
}

macro_rules! scenarios {
    ($($name:ident notices $($defect:ident),+;)*) => {
        /// All of them.
        pub const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            defects: &[$(Defect::$defect),+],
            play: courses::$name,
        },)*];
    };
}

scenarios! {
    a_lost_wake_request_is_repeated notices WakeNotRepeated;
    an_absurd_ring_sequence_is_not_believed notices AbsurdSeqBelieved;
    an_orderly_leave_sends_what_was_accepted notices LeavesAtOnce;
    a_dead_processor_does_not_live_on_in_its_recording notices ReplayAccepted;
    lost_data_costs_no_configuration notices DataNotRepeated;
    a_number_beyond_2_to_the_32_is_like_any_other notices NumbersWrap;
    a_token_that_comes_to_two_is_used_by_one notices ForAnotherTaken;
    a_token_that_is_lost_costs_no_configuration notices TokenNotRepeated, RepetitionCancelled;
    a_join_from_before_the_ring_does_not_break_it notices JoinOfAnyTime;
    who_is_heard_but_does_not_join_is_left_out notices NeverGivenUp, NoConsensus;
    who_was_left_out_is_not_waited_for_again notices TakenBackAtOnce;
    a_newcomer_that_a_member_cannot_hear_changes_nothing notices SwapsEquals;
    paths_that_heal_one_after_another_cost_few_configurations notices GrowsAtOnce;
    a_companion_whose_paths_heal_last_is_waited_for notices GrowsAtOnce;
    a_companion_who_notices_later_is_waited_for notices PartsSoon;
    a_ring_is_installed_by_all_before_it_is_left_for_a_better_one notices GrowsBeforeAll;
    who_starts_is_waited_for_though_companions_part notices AwaitedByNewsAlone;
    other_detection_targets_exclude_nobody notices LoweredAtOnce;
    a_promise_made_for_another_is_passed_on notices ObligationsNarrow;
    two_are_parted_although_one_hears_the_other notices OneRowIsAnEdge;
    a_dead_processor_is_gone_for_good notices SilenceUnnoticed;
    several_that_do_not_join_are_left_out_at_once notices GivenUpOneByOne;
    many_dead_are_excluded_as_soon_as_one notices SilenceGrows;
    who_stood_still_is_out_once_and_back_once notices GatherOnNews;
    who_stood_still_does_not_blame_others notices PauseBlamesOthers;
    who_goes_on_first_does_not_miss_who_goes_on_last notices PauseIsSilence;
    a_path_that_large_packets_do_not_pass_is_left_alone notices SmallHellosSuffice;
    large_packets_that_get_lost_are_cut notices MtuNeverShrinks;
    a_path_that_comes_and_goes_is_used_ever_more_seldom notices NoHoldDown, HoldDownStays;
    who_gets_no_data_does_not_stop_the_others notices DeafUnnoticed;
    a_window_is_shared_by_all_who_fill_it notices SharesIgnored;
    a_window_that_overflows_receivers_shrinks notices WindowNeverShrinks;
    a_window_from_which_nothing_is_lost_grows notices WindowNeverGrows;
    a_safe_message_takes_two_rotations_at_the_most notices ParkedTooSoon;
    an_idle_ring_is_quiet notices ParkedUntold;
    a_parked_token_is_not_a_lost_one notices ParkedForEver;
    what_a_lone_sender_sent_last_is_repaired notices KeptForEver;
    the_tail_of_a_burst_is_repaired_without_further_traffic notices TailNotRequested;
}
