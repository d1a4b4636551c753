//! What the documents say is so: README.md and the example configuration against the code.

use std::path::{Path, PathBuf};

use hookbox::config::Config;
use hookbox::ingest::verify::{Need, TABLE};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_example_configuration_is_the_defaults_at_home_in_a_system() {
    let text = read("packaging/hookbox.toml");
    let config = Config::parse(&text, Path::new("packaging/hookbox.toml")).expect("valid");
    let system = Config {
        data: PathBuf::from("/var/lib/hookbox"),
        admin_socket: Some(PathBuf::from("/run/hookbox/admin.sock")),
        ..Config::default()
    };
    assert_eq!(config, system);
    assert!(read("README.md").contains(&text), "README.md shows another configuration than packaging/hookbox.toml");
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_hookboxd"))
        .args(["--config", "packaging/hookbox.toml", "--check"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("hookboxd runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_readme_shows_every_scheme_of_verification() {
    let readme = read("README.md");
    let mut proofs: Vec<String> = Vec::new();
    let mut settings: Vec<String> = Vec::new();
    for scheme in TABLE {
        let told = [scheme.header, scheme.algorithm, scheme.signed, scheme.replay, scheme.dedupe, scheme.checked_with];
        proofs.push(format!("| `{}` | {} |", scheme.name, told.map(|t| t.replace('|', "\\|")).join(" | ")));
        let mut keys: Vec<String> = Vec::new();
        for (need, name) in [(scheme.secret, "secret"), (scheme.public_key, "public key")] {
            match need {
                Need::Required => keys.push(name.to_owned()),
                Need::Optional => keys.push(format!("({name})")),
                Need::Unused => {}
            }
        }
        keys.extend(scheme.params.iter().map(|(key, _)| format!("`{key}`")));
        let keys = if keys.is_empty() { "-".to_owned() } else { keys.join(", ") };
        settings.push(format!("| `{}` | {keys} |", scheme.name));
    }
    for mut rows in [proofs, settings] {
        rows.sort();
        let table = rows.join("\n");
        assert!(readme.contains(&table), "README.md should hold these rows:\n{table}");
    }
}
