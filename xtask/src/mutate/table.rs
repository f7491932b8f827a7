//! What the hunts came to: by defect, and by property.

use serde_json::{Value, json};

use super::hunt::Hunt;

/// The properties of `docs/contract.md` that the simulation judges. For each there is a defect
/// that is noticed because it is broken.
const PROPERTIES: [&str; 18] = [
    "EVS-1", "EVS-2", "EVS-3", "EVS-4", "EVS-5", "EVS-6", "EVS-7", "EVS-8", "EVS-9", "EVS-10",
    "EVS-11", "EVS-12", "LIVE-1", "LIVE-2", "LIVE-3", "LIVE-4", "LIVE-5", "LIVE-6",
];

/// The properties that no defect was seen to break.
pub(crate) fn unproven(hunts: &[Hunt]) -> Vec<&'static str> {
    let caught = |property: &&str| caught_by(hunts, property).next().is_none();
    PROPERTIES.into_iter().filter(caught).collect()
}

fn caught_by<'a>(hunts: &'a [Hunt], property: &'a str) -> impl Iterator<Item = &'a Hunt> {
    hunts.iter().filter(move |hunt| hunt.caught_by.as_deref() == Some(property))
}

pub(crate) fn json(hunts: &[Hunt]) -> Value {
    let mutation = |hunt: &Hunt| {
        json!({
            "name": hunt.defect.name(),
            "aimed_at": hunt.defect.breaks(),
            "caught_by": hunt.caught_by,
            "seeds": hunt.seeds,
            "scenario": hunt.scenario,
            "blind": hunt.blind,
        })
    };
    json!({ "mutations": hunts.iter().map(mutation).collect::<Vec<_>>() })
}

/// One line for each defect, then one for each property.
pub(crate) fn render(hunts: &[Hunt]) -> String {
    let mut out = format!("{:<24} {:<8} {:<10} seeds\n", "defect", "aimed at", "caught by");
    for hunt in hunts {
        let (name, aim) = (hunt.defect.name(), hunt.defect.breaks());
        let by = hunt.caught_by.as_deref().unwrap_or("SURVIVES");
        let seeds = hunt.scenario.as_ref().map_or_else(|| hunt.seeds.to_string(), Clone::clone);
        out += &format!("{name:<24} {aim:<8} {by:<10} {seeds}\n");
    }
    out += &format!("\n{:<10} {:<6} caught\n", "property", "aimed");
    for property in PROPERTIES {
        let aimed = hunts.iter().filter(|hunt| hunt.defect.breaks() == property).count();
        let caught = caught_by(hunts, property).count();
        out += &format!("{property:<10} {aimed:<6} {caught}\n");
    }
    let caught = hunts.iter().filter(|hunt| hunt.caught_by.is_some()).count();
    out += &format!("\n{caught} of {} defects are found", hunts.len());
    out
}

#[cfg(test)]
mod tests {
    use evs_model::mutation::Defect;

    use super::*;

    fn hunts() -> Vec<Hunt> {
        let hunt = |defect: Defect, by: Option<&str>, seeds| Hunt {
            defect,
            caught_by: by.map(str::to_owned),
            seeds,
            scenario: None,
            found: None,
            blind: Vec::new(),
        };
        vec![hunt(Defect::SafeAtOnce, Some("EVS-7"), 3), hunt(Defect::StaleToken, None, 2_000)]
    }

    #[test]
    fn a_survivor_has_no_property_in_json_and_stands_out_in_the_table() {
        let mutations = &json(&hunts())["mutations"];
        assert_eq!(mutations[0]["caught_by"], "EVS-7");
        assert_eq!(
            (&mutations[1]["caught_by"], &mutations[1]["seeds"]),
            (&Value::Null, &json!(2_000))
        );
        let table = render(&hunts());
        assert!(table.contains("SURVIVES") && table.ends_with("1 of 2 defects are found"));
    }

    #[test]
    fn a_property_without_a_catch_is_named() {
        let unproven = unproven(&hunts());
        assert!(unproven.contains(&"EVS-6") && !unproven.contains(&"EVS-7"));
        let aims = Defect::ALL.iter().map(|defect| defect.breaks());
        assert!(aims.into_iter().all(|aim| PROPERTIES.contains(&aim)));
        assert!(PROPERTIES.iter().all(|p| Defect::ALL.iter().any(|d| d.breaks() == *p)));
    }
}
