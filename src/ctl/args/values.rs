//! Values that are checked before the daemon is asked, and belong to no setting.

use std::any::TypeId;

use clap::Command;

pub(super) fn dash(text: &str) -> Result<String, String> {
    if text == "-" {
        return Ok(text.to_owned());
    }
    Err("give the body with --data or --file, or - for stdin".into())
}

/// The same command, in which no name and no id is empty: in a URL an empty one would mean a list.
pub fn strict(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let is_text = arg.get_value_parser().type_id() == TypeId::of::<String>();
        match arg.is_positional() && is_text && arg.get_id() != "stdin" {
            true => arg.value_parser(not_empty),
            false => arg,
        }
    });
    command.mut_subcommands(strict)
}

fn not_empty(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err("is empty: give a name or an id".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A whole number from 1.
pub(super) fn from_one(text: &str) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a whole number from 1".to_owned())
}
