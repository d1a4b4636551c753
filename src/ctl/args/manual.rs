//! The arguments of `hookboxctl completion` and `man`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    hookboxctl completion bash > /usr/share/bash-completion/completions/hookboxctl\n  \
    hookboxctl completion zsh > /usr/share/zsh/vendor-completions/_hookboxctl\n  \
    hookboxctl completion fish > /usr/share/fish/vendor_completions.d/hookboxctl.fish\n\n\
    The daemon is asked for names and ids while you type. When it does not answer within 200 ms,\n\
    none are offered.")]
pub struct CompletionArgs {
    /// The shell that reads the script.
    #[arg(value_enum)]
    pub shell: CompletionShell,
}

/// A shell that commands can be completed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// GNU bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish.
    Fish,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl man /usr/local/share/man\n  \
    hookboxctl man ./pages && man ./pages/man1/hookboxctl.1")]
pub struct ManArgs {
    /// The folder to write to; the pages stand below it in man1, man5, man7 and man8.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}
