//! Figures that criterion does not take, where criterion puts its own.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// `target/criterion`.
///
/// # Panics
///
/// If this program is not where Cargo puts programs.
#[must_use]
pub fn criterion_folder() -> PathBuf {
    let program = std::env::current_exe().expect("Linux knows it");
    let is_target = |folder: &&std::path::Path| folder.join("CACHEDIR.TAG").exists();
    let target = program.ancestors().find(is_target);
    target.expect("a folder of Cargo's").join("criterion")
}

/// Writes the median of `values` as criterion writes that of its samples.
///
/// # Panics
///
/// If there is no value, or the disk refuses.
pub fn record(group: &str, peer: &str, size: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    println!("{group}/{peer}/{size}: {middle:.1}");
    let estimate = json!({
        "point_estimate": middle,
        "confidence_interval": {
            "confidence_level": 1.0,
            "lower_bound": values[0],
            "upper_bound": values[values.len() - 1],
        },
        "standard_error": 0.0,
    });
    let name = json!({
        "group_id": group,
        "function_id": peer,
        "value_str": size,
        "full_id": format!("{group}/{peer}/{size}"),
    });
    let folder = criterion_folder().join(group).join(peer).join(size);
    let folder = folder.join("new");
    fs::create_dir_all(&folder).expect("the target folder is ours");
    let estimates = json!({ "median": estimate, "mean": estimate });
    fs::write(folder.join("estimates.json"), estimates.to_string()).expect("room on the disk");
    fs::write(folder.join("benchmark.json"), name.to_string()).expect("room on the disk");
}

/// Writes what else there is to say of a benchmark: columns of its table, by their names.
///
/// # Panics
///
/// If the disk refuses.
pub fn record_beside(group: &str, peer: &str, size: &str, columns: &[(&str, f64)]) {
    let columns: Map<String, Value> = columns
        .iter()
        .map(|&(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let folder = criterion_folder().join(group).join(peer).join(size);
    fs::create_dir_all(&folder).expect("the target folder is ours");
    let text = Value::Object(columns).to_string();
    println!("{group}/{peer}/{size}: {text}");
    fs::write(folder.join("beside.json"), text).expect("room on the disk");
}
