//! Where cases and modules are: the YAML files below a project's `tests`, or below any other directory, and the
//! module each is about.
//!
//! Refuses to choose between several modules: it says which there are.

use std::path::{Path, PathBuf};

/// Directories a search goes down.
const DEPTH_MAX: usize = 6;

/// The files with cases in `paths`: files as they are, directories searched.
pub(super) fn cases(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            // Beside its tests a project has YAML of other kinds: of its CI, of its packages.
            let tests = path.join("tests");
            let searched = if tests.is_dir() { &tests } else { path };
            search(searched, 0, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
            if found.len() == before {
                return Err(format!("{}: no .yaml file in it or below", path.display()));
            }
        } else if path.exists() {
            found.push(path.clone());
        } else {
            return Err(format!("{}: there is no such file", path.display()));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn search(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let skipped = name.starts_with('.') || name == "target" || name == "node_modules";
        if path.is_dir() && !skipped && depth < DEPTH_MAX {
            search(&path, depth + 1, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && !skipped {
            found.push(path);
        }
    }
    Ok(())
}

/// The directory of the filter a file of cases belongs to: the nearest with a `filter.toml`, else its own.
pub(super) fn project(cases: &Path) -> PathBuf {
    let cases = std::fs::canonicalize(cases).unwrap_or_else(|_| cases.to_path_buf());
    let own = cases.parent().unwrap_or(Path::new("."));
    own.ancestors().find(|directory| directory.join("filter.toml").exists()).unwrap_or(own).to_path_buf()
}

/// The module of the filter in `project` called `name`: built beside it, or below the `target` of it or of a workspace
/// around it.
pub(super) fn module(project: &Path, name: &str) -> Result<PathBuf, String> {
    for directory in project.ancestors().take(4) {
        let built = if directory == project { modules_in(directory) } else { Vec::new() };
        let mut all =
            [built, modules_below(&directory.join("target")), modules_below(&directory.join("build"))].concat();
        let named = |file: &PathBuf| {
            let stem = file.file_stem().map(|stem| stem.to_string_lossy().replace('_', "-"));
            stem.is_some_and(|stem| stem == name.replace('_', "-"))
        };
        if all.iter().any(named) {
            all.retain(named);
        } else if directory != project {
            // Another project's modules.
            all.clear();
        }
        // Of one module built for two targets, the newer.
        if let [first, rest @ ..] = &all[..] {
            if rest.iter().all(|other| other.file_name() == first.file_name()) {
                let newest = all.iter().max_by_key(|file| file.metadata().and_then(|meta| meta.modified()).ok());
                return Ok(newest.unwrap_or(first).clone());
            }
            let names: Vec<String> = all.iter().map(|file| file.display().to_string()).collect();
            return Err(format!("which module? Say --module with one of {}", names.join(", ")));
        }
    }
    Err(format!(
        "no module for {}: build it (cargo build --release --target wasm32-wasip1), or say --module FILE.wasm",
        project.display()
    ))
}

fn modules_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm")).collect()
}

/// `target/wasm32-*/release/*.wasm`, and `build/*.wasm`.
fn modules_below(target: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(target) else { return Vec::new() };
    let places =
        entries.filter_map(Result::ok).filter(|entry| entry.file_name().to_string_lossy().starts_with("wasm32-"));
    let mut found: Vec<PathBuf> = places.flat_map(|entry| modules_in(&entry.path().join("release"))).collect();
    if target.ends_with("build") {
        found.extend(modules_in(target));
    }
    found
}
