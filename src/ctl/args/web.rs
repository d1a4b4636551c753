//! The arguments of `hookboxctl web`.

use std::net::SocketAddr;

use clap::Args;

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  hookboxctl web\n  hookboxctl web --listen 127.0.0.1:0 --no-open\n\n\
    For a daemon on another machine, in two terminals of yours:\n  \
    ssh -t box hookboxctl web --no-open\n  \
    ssh -N -o ExitOnForwardFailure=yes -L 8421:127.0.0.1:8421 box\n\
    and open the URL that the first one prints.\n\n\
    The URL opens the page once; the tab that opened it may use the page until the command ends\n\
    (Ctrl-C). The page may do what you may do with hookboxctl, and nothing else.\n\n\
    Where others have accounts on the machine, --listen 127.0.0.1:0 takes a fresh port for each\n\
    run, so that nobody can have served something at its address before."
)]
pub struct WebArgs {
    /// Where the page is served: an address of loopback with a port; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8421",
        value_parser = loopback,
    )]
    pub listen: SocketAddr,
    /// Only print the URL; open no browser.
    #[arg(long)]
    pub no_open: bool,
}

/// Reads an address of loopback: the page is for this machine alone.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .replace("localhost:", "127.0.0.1:")
        .parse()
        .map_err(|_| "give an address and a port, such as 127.0.0.1:8421".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("the page is served on loopback only (127.0.0.1 or [::1]); from another \
                      machine use ssh -L"
            .to_owned()),
    }
}
