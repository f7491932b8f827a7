use evs_model::NodeId;

use super::*;

/// Daemons whose tellings reach all of them in one order.
struct World {
    daemons: Vec<Agreement>,
    /// Who is in the configuration.
    members: Vec<u32>,
    order: VecDeque<(Processor, Telling)>,
    /// What followed at each, but for tellings.
    steps: Vec<Vec<Step>>,
}

fn processor(id: u32) -> Processor {
    Processor::new(node(id), u64::from(id) * 100)
}

fn node(id: u32) -> NodeId {
    NodeId::new(id).expect("not zero")
}

fn cluster(nodes: &[u32], version: u64) -> Cluster {
    let nodes: String = nodes
        .iter()
        .map(|id| format!("[[cluster.nodes]]\nid = {id}\naddress = \"10.0.0.{id}:5405\"\n"))
        .collect();
    let text = format!("[cluster]\nname = \"x\"\nversion = {version}\n{nodes}");
    Cluster::parse(&text).expect("right")
}

impl World {
    fn new(clusters: Vec<Cluster>) -> Self {
        let daemons: Vec<_> =
            (1..).zip(clusters).map(|(id, c)| Agreement::new(processor(id), c)).collect();
        let steps = daemons.iter().map(|_| Vec::new()).collect();
        let mut world = Self { daemons, members: Vec::new(), order: VecDeque::new(), steps };
        world.install(&[1, 2, 3]);
        world
    }

    fn install(&mut self, members: &[u32]) {
        let set = members.iter().map(|id| processor(*id)).collect();
        let set = Members::new(set).expect("few");
        self.members = members.to_vec();
        for id in members {
            self.daemon(*id).install(&set);
        }
        self.collect();
    }

    fn daemon(&mut self, id: u32) -> &mut Agreement {
        &mut self.daemons[id as usize - 1]
    }

    fn collect(&mut self) {
        for (daemon, steps) in self.daemons.iter_mut().zip(&mut self.steps) {
            while let Some(step) = daemon.poll_step() {
                if let Step::Tell(telling) = step {
                    self.order.push_back((daemon.me, telling));
                } else {
                    steps.push(step);
                }
            }
        }
    }

    /// Delivers the next so many tellings to all.
    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some((from, telling)) = self.order.pop_front() else { return };
            let json = serde_json::to_string(&telling).expect("texts and numbers");
            for id in self.members.clone() {
                let daemon = self.daemon(id);
                daemon.hear(from, serde_json::from_str(&json).expect("as it was written"));
            }
            self.collect();
        }
    }

    fn settle(&mut self) {
        self.deliver(usize::MAX);
    }

    fn versions(&self) -> Vec<u64> {
        self.daemons.iter().map(|daemon| daemon.cluster().version).collect()
    }

    fn refusal(&self, id: u32) -> Option<&str> {
        let steps = &self.steps[id as usize - 1];
        steps
            .iter()
            .find_map(|step| if let Step::Refused(why) = step { Some(&why[..]) } else { None })
    }
}

fn with(cluster: &Cluster, id: u32) -> Cluster {
    let address = format!("10.0.0.{id}:5405").parse().expect("an address");
    cluster.with_node(node(id), &[address]).expect("a new one")
}

#[test]
fn what_all_accept_is_in_force_everywhere_at_one_place_of_the_order() {
    let base = cluster(&[1, 2, 3], 0);
    let mut world = World::new(vec![base.clone(); 3]);
    world.settle();
    assert!(world.order.is_empty() && world.steps.iter().all(Vec::is_empty), "all are of one mind");
    world.daemon(2).propose(&with(&base, 4)).expect("sensible");
    world.collect();
    // The proposal and two of three verdicts: nowhere.
    world.deliver(3);
    assert_eq!(world.versions(), [0, 0, 0]);
    world.deliver(1);
    assert_eq!(world.versions(), [1, 1, 1]);
    for (id, steps) in (1..).zip(&world.steps) {
        let [Step::Apply { before, now, mine }] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((**before == base, now.nodes().len(), *mine), (true, 4, id == 2));
    }
}

#[test]
fn what_one_rejects_is_in_force_nowhere_and_the_proposer_learns_why() {
    let base = cluster(&[1, 2, 3], 0);
    let other = Cluster { name: "y".to_owned(), ..base.clone() };
    let mut world = World::new(vec![base.clone(), base.clone(), other]);
    world.settle();
    assert!(matches!(&world.steps[0][..], [Step::Differ(nodes)] if *nodes == [3]));
    world.daemon(1).propose(&with(&base, 4)).expect("sensible here");
    world.collect();
    world.settle();
    assert_eq!(world.versions(), [0, 0, 0]);
    let why = world.refusal(1).expect("told");
    assert_eq!(why, "node 3: needs a restart of every node: cluster.name");
    assert!(world.refusal(2).is_none(), "it asked for nothing");
}

#[test]
fn of_two_proposals_at_once_the_first_in_the_order_wins_everywhere() {
    let base = cluster(&[1, 2, 3], 0);
    let mut world = World::new(vec![base.clone(); 3]);
    world.settle();
    world.daemon(3).propose(&with(&base, 4)).expect("sensible");
    world.daemon(1).propose(&with(&base, 5)).expect("sensible");
    world.collect();
    world.settle();
    assert_eq!(world.versions(), [1, 1, 1]);
    let nodes: Vec<_> = world.daemons.iter().map(|d| d.cluster().nodes().len()).collect();
    assert_eq!(nodes, [4, 4, 4]);
    let loser = [1, 3].into_iter().filter(|id| world.refusal(*id).is_some()).count();
    assert_eq!(loser, 1);
    // On the base that is gone nobody builds.
    world.daemon(1).cluster = base.clone();
    world.daemon(1).propose(&with(&base, 6)).expect("it knows no better");
    world.collect();
    world.settle();
    assert!(world.refusal(1).expect("told").contains("based on version 0 of [cluster], and 1 is"));
}

#[test]
fn a_configuration_in_between_drops_what_is_not_decided_everywhere() {
    let base = cluster(&[1, 2, 3], 0);
    let mut world = World::new(vec![base.clone(); 3]);
    world.settle();
    world.daemon(1).propose(&with(&base, 4)).expect("sensible");
    world.collect();
    world.deliver(3);
    world.install(&[1, 2]);
    world.settle();
    assert_eq!(world.versions(), [0, 0, 0]);
    assert!(world.refusal(1).expect("told").contains("try again"));
    world.daemon(1).propose(&with(&base, 4)).expect("sensible");
    world.collect();
    world.settle();
    assert_eq!(world.versions(), [1, 1, 0], "all who are there agree");
}

#[test]
fn who_was_away_learns_the_newest_version() {
    let (old, new) = (cluster(&[1, 2, 3], 0), cluster(&[1, 2, 3, 4], 5));
    let mut world = World::new(vec![old.clone(), new.clone(), new.clone()]);
    world.settle();
    assert_eq!(world.versions(), [5, 5, 5]);
    assert!(matches!(&world.steps[0][..], [Step::Apply { mine: false, .. }]));
    assert!(world.steps[1].is_empty() && world.steps[2].is_empty());
    // What it cannot become without a restart it says.
    let sealed_otherwise = Cluster { seal: crate::config::Seal::None, ..new.clone() };
    let mut world = World::new(vec![old, sealed_otherwise.clone(), sealed_otherwise]);
    world.settle();
    let [Step::Behind(why)] = &world.steps[0][..] else { panic!("{:?}", world.steps) };
    assert!(why.contains("cluster.seal"), "{why}");
}

#[test]
fn what_is_too_long_or_makes_no_sense_is_rejected_by_everybody() {
    let base = cluster(&[1, 2, 3], 0);
    let mut world = World::new(vec![base; 3]);
    world.settle();
    for text in ["[cluster]\nname = 7".to_owned(), "#".repeat(TEXT_BYTES_MAX + 1)] {
        world.daemon(1).mine = Some(9);
        world.order.push_back((processor(1), Telling::Propose { number: 9, cluster: text }));
        world.settle();
        assert_eq!(world.versions(), [0, 0, 0]);
        let why = world.refusal(1).expect("told").to_owned();
        assert!(why.contains("node 1: ") && why.contains("node 3: "), "{why}");
        world.steps[0].clear();
    }
}

/// One that does not answer holds nobody up for ever.
#[test]
fn a_proposal_that_is_withdrawn_ends_everywhere_and_late_answers_change_nothing() {
    let base = cluster(&[1, 2, 3], 0);
    let mut world = World::new(vec![base.clone(); 3]);
    world.settle();
    world.daemon(1).propose(&with(&base, 4)).expect("sensible");
    world.collect();
    world.deliver(1);
    let late = world.order.iter().position(|(from, _)| from.node == node(3)).expect("a verdict");
    let late = world.order.remove(late).expect("just found");
    world.settle();
    assert!(world.daemons.iter().all(|daemon| daemon.pending.is_some()));
    world.daemon(1).withdraw();
    world.collect();
    world.settle();
    assert_eq!(world.refusal(1), Some("not answered in time by node 3"));
    world.order.push_back(late);
    world.settle();
    assert_eq!(world.versions(), [0, 0, 0]);
    world.daemon(2).propose(&with(&base, 5)).expect("sensible");
    world.collect();
    world.settle();
    assert_eq!(world.versions(), [1, 1, 1], "the next one finds nothing in its way");
}

#[test]
fn a_withdrawal_behind_the_last_verdict_comes_too_late_everywhere() {
    let base = cluster(&[1, 2, 3], 0);
    let mut world = World::new(vec![base.clone(); 3]);
    world.settle();
    world.daemon(1).propose(&with(&base, 4)).expect("sensible");
    world.collect();
    world.deliver(1);
    world.daemon(1).withdraw();
    world.collect();
    world.settle();
    assert_eq!(world.versions(), [1, 1, 1]);
    assert!(world.refusal(1).is_none());
}

/// Where a member could not write its file, all know that, and whoever comes learns it.
#[test]
fn what_a_member_could_not_write_the_others_know_until_it_has() {
    let base = cluster(&[1, 2, 3], 0);
    let mut world = World::new(vec![base.clone(); 3]);
    world.settle();
    world.daemon(1).propose(&with(&base, 4)).expect("sensible");
    world.collect();
    world.settle();
    assert_eq!(world.daemon(1).writing().collect::<Vec<_>>(), [2, 3]);
    let why = "x".repeat(2 * WHY_CHARS_MAX);
    world.daemon(1).tell_written(None);
    world.daemon(2).tell_written(Some(why.clone()));
    world.collect();
    world.settle();
    assert_eq!(world.daemon(1).writing().collect::<Vec<_>>(), [3]);
    let told = [(2, &why[..WHY_CHARS_MAX])];
    for id in [1, 3] {
        assert_eq!(world.daemon(id).unwritten().collect::<Vec<_>>(), told);
        let said = |step: &Step| matches!(step, Step::Unwritten(2, _));
        assert_eq!(world.steps[id as usize - 1].iter().filter(|step| said(step)).count(), 1);
    }
    assert_eq!(world.daemon(2).unwritten().count(), 0, "of itself it knows otherwise");
    // Who is gone is not waited for, and who was away has missed it.
    world.install(&[1, 2]);
    assert_eq!(world.daemon(1).writing().count(), 0);
    world.daemon(3).unwritten.clear();
    world.settle();
    world.install(&[1, 2, 3]);
    world.settle();
    assert_eq!(world.daemon(3).unwritten().collect::<Vec<_>>(), told);
    world.daemon(2).tell_written(None);
    world.collect();
    world.settle();
    assert!(world.daemons.iter().all(|daemon| daemon.unwritten().count() == 0));
}
