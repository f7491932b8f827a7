//! `evs keygen`: a new key for a cluster.

use std::path::Path;

use evs_net::ClusterKey;
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(file: &Path, output: &mut Output) -> Result<(), Failure> {
    ClusterKey::generate().create(file).map_err(|error| Failure::new(error.to_string()))?;
    let shown = file.display();
    output.print(
        || format!("{shown}: a new key; copy it to every node, readable by evsd's user alone"),
        || json!({ "file": file.to_string_lossy() }),
    )?;
    Ok(())
}
