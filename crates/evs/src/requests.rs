//! Requests that wait for the daemon's answer, and the groups that follow from the answers.

use std::collections::BTreeMap;

use evs_ipc::Outcome;
use evs_model::{Group, Groups};

use crate::{Closed, RequestError};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Join(Groups),
    Leave(Groups),
    Status,
    Ask(String),
}

/// What the daemon said.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Outcome),
    Report(String),
}

#[derive(Debug)]
struct Pending {
    request: Request,
    answer: Option<Answer>,
    /// Nobody waits for the answer any more; its effect still counts.
    abandoned: bool,
}

/// The requests of one session and the multiset of joined groups.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: u32,
    pending: BTreeMap<u32, Pending>,
    joined: BTreeMap<Group, u32>,
    /// The keys of `joined`, as a send to all of them wants them.
    targets: Vec<Group>,
}

impl Requests {
    /// Most requests that can wait for an answer.
    pub(crate) const MAX: usize = 1024;

    /// Whether no further request can wait.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= Self::MAX
    }

    /// Numbers a request.
    pub(crate) fn begin(&mut self, request: Request) -> Result<u32, RequestError> {
        if self.is_full() {
            return Err(RequestError::TooManyRequests(Self::MAX));
        }
        while self.pending.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.pending.insert(number, Pending { request, answer: None, abandoned: false });
        Ok(number)
    }

    /// Takes the daemon's answer. Returns `false` if nothing fits it: the daemon broke the
    /// protocol.
    pub(crate) fn answer(&mut self, number: u32, answer: Answer) -> bool {
        let Some(pending) = self.pending.get_mut(&number) else { return false };
        let fits = match (&pending.request, &answer) {
            (Request::Status | Request::Ask(_), Answer::Report(_)) => true,
            (Request::Join(_) | Request::Leave(_), Answer::Done(_)) => true,
            (Request::Status | Request::Ask(_), Answer::Done(_))
            | (Request::Join(_) | Request::Leave(_), Answer::Report(_)) => false,
        };
        if !fits || pending.answer.is_some() {
            return false;
        }
        let took_effect = matches!(answer, Answer::Done(Outcome::Done));
        let groups = match &pending.request {
            Request::Join(groups) if took_effect => Some((groups.clone(), true)),
            Request::Leave(groups) if took_effect => Some((groups.clone(), false)),
            Request::Join(_) | Request::Leave(_) | Request::Status | Request::Ask(_) => None,
        };
        if pending.abandoned {
            self.pending.remove(&number);
        } else {
            pending.answer = Some(answer);
        }
        if let Some((groups, join)) = groups {
            self.count(&groups, join);
        }
        true
    }

    /// The answer, once it is there.
    pub(crate) fn take_answer(&mut self, number: u32) -> Option<Answer> {
        self.pending.get(&number)?.answer.as_ref()?;
        self.pending.remove(&number)?.answer
    }

    /// Nobody will ask for the answer. A request whose answer is there is forgotten.
    pub(crate) fn abandon(&mut self, number: u32) {
        match self.pending.get_mut(&number) {
            Some(pending) if pending.answer.is_none() => pending.abandoned = true,
            Some(_) => {
                self.pending.remove(&number);
            }
            None => {}
        }
    }

    /// A request that never reached the daemon.
    pub(crate) fn withdraw(&mut self, number: u32) {
        self.pending.remove(&number);
    }

    /// The joined groups, each with how often it was joined.
    pub(crate) const fn joined(&self) -> &BTreeMap<Group, u32> {
        &self.joined
    }

    /// The joined groups, each once.
    pub(crate) fn targets(&self) -> &[Group] {
        &self.targets
    }

    fn count(&mut self, groups: &Groups, join: bool) {
        for group in groups.iter() {
            if join {
                *self.joined.entry(group).or_insert(0) += 1;
            } else if let Some(count) = self.joined.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    self.joined.remove(&group);
                }
            }
        }
        self.targets = self.joined.keys().copied().collect();
    }
}

/// The result of a join or leave.
pub(crate) fn outcome(answer: Answer, joined_groups_max: usize) -> Result<(), RequestError> {
    match answer {
        Answer::Done(Outcome::Done) => Ok(()),
        Answer::Done(Outcome::NotJoined) => Err(RequestError::NotJoined),
        Answer::Done(Outcome::TooManyGroups) => Err(too_many_groups(joined_groups_max)),
        Answer::Done(Outcome::Leaving) => Err(RequestError::Leaving),
        Answer::Report(_) => Err(Closed.into()),
    }
}

pub(crate) const fn too_many_groups(joined_groups_max: usize) -> RequestError {
    RequestError::TooManyGroups { per_request: Groups::MAX, joined: joined_groups_max }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Groups {
        let keys: Vec<_> = names.iter().map(|name| Group::named(name).expect("short")).collect();
        Groups::new(&keys).expect("few")
    }

    fn done(requests: &mut Requests, request: Request) {
        let number = requests.begin(request).expect("room");
        assert!(requests.answer(number, Answer::Done(Outcome::Done)));
        assert!(requests.take_answer(number).is_some());
    }

    #[test]
    fn a_group_joined_twice_needs_two_leaves() {
        let mut requests = Requests::default();
        done(&mut requests, Request::Join(groups(&["a", "b", "a"])));
        assert_eq!(requests.targets().len(), 2);
        done(&mut requests, Request::Leave(groups(&["a"])));
        assert_eq!(requests.targets().len(), 2);
        done(&mut requests, Request::Leave(groups(&["a", "b"])));
        assert!(requests.targets().is_empty());
    }

    #[test]
    fn an_answer_that_nobody_waits_for_still_counts() {
        let mut requests = Requests::default();
        let number = requests.begin(Request::Join(groups(&["a"]))).expect("room");
        requests.abandon(number);
        assert!(requests.answer(number, Answer::Done(Outcome::Done)));
        assert_eq!(requests.targets().len(), 1);
        assert!(requests.pending.is_empty());
    }

    #[test]
    fn an_answer_to_nothing_is_not_taken() {
        let mut requests = Requests::default();
        assert!(!requests.answer(0, Answer::Done(Outcome::Done)));
        let number = requests.begin(Request::Status).expect("room");
        assert!(!requests.answer(number, Answer::Done(Outcome::Done)));
    }

    #[test]
    fn the_limit_of_waiting_requests_is_kept() {
        let mut requests = Requests::default();
        for _ in 0..Requests::MAX {
            requests.begin(Request::Status).expect("at the limit");
        }
        assert_eq!(
            requests.begin(Request::Status),
            Err(RequestError::TooManyRequests(Requests::MAX))
        );
    }
}
