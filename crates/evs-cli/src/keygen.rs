//! `evs keygen`: a new key for a cluster.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use evs_net::ClusterKey;
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(file: &Path, output: &mut Output) -> Result<(), Failure> {
    ClusterKey::generate().create(file).map_err(|error| Failure::new(error.to_string()))?;
    // Readable for its owner alone, who is root where root makes it in a directory of its own.
    let owner = fs::metadata(file)?.uid();
    output.print(|| text(file, owner), || json!({ "file": file.to_string_lossy() }))?;
    Ok(())
}

fn text(file: &Path, owner: u32) -> String {
    let shown = file.display();
    let (whose, where_to) = match owner {
        0 => (" that root alone can read", "here and there"),
        _ => ("", "there"),
    };
    format!(
        "{shown}: a new key{whose}; copy it to every node, and give it to evsd's user {where_to}: \
         `chown evs {shown}`"
    )
}
