//! Every deliberate defect (`evs_model::mutation`) has a point at which it takes effect, and stands
//! in the code that ships only.

use evs_model::mutation::Defect;

use super::Complaint;
use super::tree::Tree;

/// Where the defects are listed.
const LIST: &str = "crates/evs-model/src/mutation.rs";

/// Where the simulation would meet them.
const SIMULATED: [&str; 3] =
    ["crates/evs-net/src/", "crates/evs-service/src/", "crates/totem/src/"];

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let Some(list) = tree.file(LIST) else { return Vec::new() };
    let mut complaints = Vec::new();
    for defect in Defect::ALL {
        let point = format!("defect!({})", defect.name());
        let mut files = tree.with_extension("rs").filter(|file| file.path != LIST);
        if !files
            .any(|f| SIMULATED.iter().any(|s| f.path.starts_with(s)) && f.text.contains(&point))
        {
            complaints.push(list.complain(0, format!("{} takes effect nowhere", defect.name())));
        }
    }
    complaints
}
