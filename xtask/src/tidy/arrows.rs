//! Who may depend on whom (`ARCHITECTURE.md`), by the word of `cargo metadata`.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Complaint;

/// What a package of the workspace may depend on.
struct Arrow {
    package: &'static str,
    /// Packages of the workspace.
    own: &'static [&'static str],
    /// Packages of others; `None`: any.
    foreign: Option<&'static [&'static str]>,
}

const ARROWS: [Arrow; 17] = [
    Arrow { package: "evs-model", own: &[], foreign: Some(&["bytes"]) },
    Arrow { package: "totem", own: &["evs-model"], foreign: Some(&["bytes", "fastrand"]) },
    Arrow { package: "evs-service", own: &["evs-model", "totem"], foreign: Some(&["bytes"]) },
    Arrow { package: "evs-net", own: &["evs-model"], foreign: None },
    Arrow { package: "evs-config", own: &["evs-model", "evs-net"], foreign: None },
    Arrow {
        package: "evs-node",
        own: &["evs-model", "evs-net", "evs-service", "totem"],
        foreign: None,
    },
    Arrow { package: "evs-ipc", own: &["evs-model"], foreign: None },
    Arrow { package: "evs", own: &["evs-ipc", "evs-model"], foreign: None },
    Arrow { package: "evs-report", own: &["evs-model"], foreign: None },
    Arrow { package: "libevs", own: &["evs", "evs-model"], foreign: None },
    // Of evs-net it wants the key file alone, so that the format has one owner.
    Arrow {
        package: "evs-cli",
        own: &["evs", "evs-config", "evs-model", "evs-net", "evs-report"],
        foreign: None,
    },
    Arrow {
        package: "evsd",
        own: &[
            "evs-config",
            "evs-ipc",
            "evs-model",
            "evs-net",
            "evs-node",
            "evs-report",
            "evs-service",
            "totem",
        ],
        foreign: None,
    },
    Arrow {
        package: "evs-sim",
        own: &["evs-model", "evs-net", "evs-service", "totem"],
        foreign: None,
    },
    // It feeds all that takes bytes from outside.
    Arrow {
        package: "evs-fuzz",
        own: &["evs-ipc", "evs-model", "evs-net", "evs-node", "evs-service", "evsd", "totem"],
        foreign: None,
    },
    Arrow {
        package: "evs-testkit",
        own: &["evs", "evs-config", "evs-ipc", "evs-model", "evs-net", "evs-sim", "evsd"],
        foreign: None,
    },
    // It counts the instructions of what is done for every message, and forges a stranger's.
    Arrow {
        package: "evs-bench",
        own: &["evs-model", "evs-net", "evs-service", "evs-testkit", "totem"],
        foreign: None,
    },
    Arrow {
        package: "xtask",
        own: &[
            "evs",
            "evs-bench",
            "evs-cli",
            "evs-fuzz",
            "evs-model",
            "evs-net",
            "evs-sim",
            "evs-testkit",
            "evsd",
        ],
        foreign: None,
    },
];

/// What tests may use besides: generated inputs, the kit that starts daemons, and a client of them.
const TEST_ONLY: [&str; 3] = ["evs", "evs-testkit", "proptest"];

pub(super) fn check() -> Result<Vec<Complaint>> {
    let metadata = crate::cargo::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    Ok(packages.iter().flat_map(|package| check_package(package, &names)).collect())
}

fn check_package(package: &Value, own: &[&str]) -> Vec<Complaint> {
    let name = package["name"].as_str().unwrap_or_default();
    let complain = |what| Complaint { file: format!("package {name}"), line: 0, what };
    let Some(arrow) = ARROWS.iter().find(|arrow| arrow.package == name) else {
        return vec![complain("has no place in the layers of ARCHITECTURE.md".to_owned())];
    };
    let no_dependencies = Vec::new();
    let dependencies = package["dependencies"].as_array().unwrap_or(&no_dependencies);
    let mut complaints = Vec::new();
    for dependency in dependencies {
        let on = dependency["name"].as_str().unwrap_or_default();
        let for_tests = dependency["kind"].as_str() == Some("dev");
        let allowed = if own.contains(&on) {
            arrow.own.contains(&on)
        } else {
            arrow.foreign.is_none_or(|foreign| foreign.contains(&on))
        };
        if !allowed && !(for_tests && (TEST_ONLY.contains(&on) || on == name)) {
            complaints.push(complain(format!("may not depend on {on}")));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(name: &str, on: &str, kind: Option<&str>) -> usize {
        let dependencies = json!([{ "name": on, "kind": kind }]);
        let package = json!({ "name": name, "dependencies": dependencies });
        check_package(&package, &["evs-model", "totem", "evs-service", "evsd"]).len()
    }

    #[test]
    fn an_arrow_against_the_layers_is_named() {
        assert_eq!(complaints("evs-service", "totem", None), 0);
        assert_eq!(complaints("totem", "evs-service", None), 1);
        assert_eq!(complaints("totem", "serde", None), 1);
        assert_eq!(complaints("totem", "proptest", Some("dev")), 0);
        assert_eq!(complaints("totem", "proptest", None), 1);
        assert_eq!(complaints("newcomer", "bytes", None), 1);
    }
}
