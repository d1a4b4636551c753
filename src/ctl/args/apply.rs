//! The arguments of `hookboxctl apply`, `diff` and `export`.

use std::path::PathBuf;

use clap::Args;

use crate::api::apply::FileFormat;
use crate::api::text::SetName;

const EXAMPLE: &str = "\
Examples:
  hookboxctl apply app.toml --dry-run
  hookboxctl apply /etc/site/hooks --set site --prune
  hookboxctl export | ssh box hookboxctl apply -

A file:
  [source.github]
  verify = \"github\"
  secret = \"cred:github\"

  [endpoint.app]
  url = \"https://app.example.com/hook\"
  from = [\"github\"]
  retry_base = \"2s\"

The keys are the options of `source create` and `endpoint create` with _ for -. A setting that is
left out has its default, but for the secret, which stays as it is. A secret is never in a file:
env:NAME, cred:NAME and file:/path say where hookboxd finds it. previous_name renames what had that
name before, with everything that waits for it. All of it is done in one step, or nothing.";

/// Files, and how they are applied.
#[derive(Args, Debug, Clone, Default)]
pub struct SetArgs {
    /// A file, or a folder whose files *.toml and *.json are taken; - for stdin.
    #[arg(value_name = "FILE", required_unless_present = "file")]
    pub files: Vec<PathBuf>,
    /// The same; may be given several times.
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// How the files are written [default: by their names; toml for stdin].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// The name of the set that the files are: what they make belongs to it from then on.
    #[arg(long, value_name = "NAME")]
    pub set: Option<SetName>,
    /// Delete what belongs to the set and is in none of the files.
    #[arg(long, requires = "set")]
    pub prune: bool,
    /// Cancel the deliveries that wait for deleted endpoints, and take over what belongs to another
    /// set.
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub set: SetArgs,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 the same, 1 different, 2 not compared.\n\n\
    Examples:\n  hookboxctl diff app.toml\n  hookboxctl diff /etc/site/hooks --set site --prune")]
pub struct DiffArgs {
    #[command(flatten)]
    pub set: SetArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl export > hooks.toml\n  \
    hookboxctl export --set site --format json\n\n\
    Settings at their defaults, secrets and bins are left out. A value that is shown as …,\n\
    as in http://user:…@proxy:3128, stays as it is when the file is applied where it comes\n\
    from.")]
pub struct SetExportArgs {
    /// Only what belongs to this set.
    #[arg(long, value_name = "NAME")]
    pub set: Option<SetName>,
    /// How it is written [default: toml].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
}
