//! Manual pages: those of the programs from the definitions behind `--help`, that of `hookbox.toml`
//! from the example file that shows every key, and the overview `hookbox(7)` as it is written.

mod file_page;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::args::{Cli, ManArgs};
use super::error::CtlError;
use super::fresh_file::replace;
use super::output::Output;
use crate::config::args::Args as DaemonArgs;

/// The overview; `@VERSION@` in it is replaced.
const OVERVIEW: &str = include_str!("manual/hookbox.7");
const MANUAL: &str = "hookbox";

/// What `man` has written.
#[derive(Serialize, Deserialize)]
struct WrittenPages {
    dir: String,
    pages: Vec<String>,
}

/// A page: its file below the folder, such as `man8/hookboxd.8`, and its text.
type Page = (String, Vec<u8>);

/// Writes all pages below a folder.
pub(super) fn write(out: &mut Output, args: &ManArgs) -> Result<(), CtlError> {
    let pages = pages().map_err(failed(&args.dir))?;
    for (file, text) in &pages {
        let path = args.dir.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        replace(&path, text).map_err(failed(&path))?;
    }

    let dir = args.dir.display().to_string();
    let pages = pages.into_iter().map(|(file, _)| file).collect();
    out.one(&Answer::of(&WrittenPages { dir, pages })?, |written: &WrittenPages| {
        format!("Wrote {} manual pages below {}.", written.pages.len(), written.dir)
    })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CtlError {
    move |error| CtlError::Io { what: format!("cannot write {}", path.display()), error }
}

fn pages() -> io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut ctl = Cli::command().disable_help_subcommand(true);
    ctl.build();
    command_pages(&ctl, &mut pages)?;

    let daemon = DaemonArgs::command();
    let see = "hookboxctl(1), hookbox.toml(5), hookbox(7)";
    pages.push(("man8/hookboxd.8".to_owned(), command_page(&daemon, "8", see)?));
    pages.push(("man5/hookbox.toml.5".to_owned(), file_page::text(MANUAL)?));

    let overview = OVERVIEW.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    pages.push(("man7/hookbox.7".to_owned(), overview.into_bytes()));
    Ok(pages)
}

/// The page of a command, and those of the commands below it.
fn command_pages(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let see = match name.rsplit_once('-') {
        Some((above, _)) => format!("{}(1), hookboxd(8), hookbox(7)", parent(above)),
        None => "hookboxd(8), hookbox.toml(5), hookbox(7)".to_owned(),
    };
    pages.push((format!("man1/{name}.1"), command_page(command, "1", &see)?));

    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown.into_iter().try_for_each(|sub| command_pages(sub, pages))
}

/// The page above: `hookboxctl-endpoint` of `hookboxctl-endpoint-rotate`.
fn parent(name: &str) -> String {
    name.split('-').take(2).collect::<Vec<_>>().join("-")
}

fn command_page(command: &Command, section: &str, see: &str) -> io::Result<Vec<u8>> {
    let source = format!("hookbox {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).section(section).source(source).manual(MANUAL);

    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }

    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::default();
    // What is aligned by hand stays as it is.
    for paragraph in after.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let is_example = paragraph.starts_with("Example");
        let heading = if is_example { "EXAMPLES" } else { "NOTES" };
        roff.control("SH", [heading]);
        roff.control("nf", []);
        for line in paragraph.lines().skip(usize::from(is_example)) {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }

    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(see)]);
    roff.to_writer(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command, and every option and argument of it, that has no text.
    fn without_text(command: &Command, path: &str, found: &mut Vec<String>) {
        if command.get_about().is_none() && command.get_long_about().is_none() {
            found.push(path.to_owned());
        }
        let bare = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let bare =
            bare.filter(|arg| arg.get_help().is_none_or(|text| text.ansi().to_string().is_empty()));
        found.extend(bare.map(|arg| format!("{path} {}", arg.get_id())));
        for sub in command.get_subcommands() {
            without_text(sub, &format!("{path} {}", sub.get_name()), found);
        }
    }

    #[test]
    fn every_command_option_and_argument_has_a_text() {
        let mut found = Vec::new();
        for mut command in [Cli::command(), DaemonArgs::command()] {
            command.build();
            let name = command.get_name().to_owned();
            without_text(&command, &name, &mut found);
        }
        assert_eq!(found, Vec::<String>::new(), "these have no help text");
    }

    #[test]
    fn there_is_a_page_for_each_program_each_command_and_the_file() {
        let pages = pages().expect("they are made in memory");
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "man1/hookboxctl.1",
            "man1/hookboxctl-endpoint.1",
            "man1/hookboxctl-endpoint-create.1",
            "man1/hookboxctl-man.1",
            "man5/hookbox.toml.5",
            "man7/hookbox.7",
            "man8/hookboxd.8",
        ] {
            assert!(names.contains(&name), "{name} is missing: {names:?}");
        }
        let groups = Cli::command().get_subcommands().count();
        let of_groups = names.iter().filter(|name| name.matches('-').count() == 1).count();
        assert!(of_groups >= groups, "{of_groups} pages for {groups} commands");

        for (name, text) in &pages {
            let text = String::from_utf8_lossy(text);
            let title = text.lines().any(|line| line.starts_with(".TH"));
            assert!(title && text.contains("SEE ALSO"), "{name} is not a manual page: {text}");
        }
    }
}
